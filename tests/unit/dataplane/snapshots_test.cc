// SPDX-License-Identifier: Apache-2.0
// Snapshots: when an object is freed, and that it is never freed under a reader.
#include "dataplane/table/snapshots.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace lb {
namespace {

std::atomic<int> alive{0};

struct Object {
  explicit Object(std::uint64_t value = 0) {
    payload.fill(value);
    alive.fetch_add(1);
  }
  ~Object() {
    payload.fill(0xdeaddeaddeaddead);
    alive.fetch_sub(1);
  }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  Generation generation = Generation::None;
  std::array<std::uint64_t, 16> payload;
};

TEST(Snapshots, GivesNothingBeforeTheFirstPublication) {
  Snapshots<Object> snapshots(2);
  EXPECT_EQ(snapshots.current(), nullptr);
  EXPECT_EQ(snapshots.adopt(0), nullptr);
  EXPECT_EQ(snapshots.adopted(0), Generation::None);
  EXPECT_EQ(snapshots.reclaim(), 0U);
  EXPECT_EQ(snapshots.readers(), 2U);
}

TEST(Snapshots, NumbersGenerationsFromOne) {
  Snapshots<Object> snapshots(1);
  EXPECT_EQ(snapshots.publish(std::make_unique<Object>()), Generation{1});
  EXPECT_EQ(snapshots.publish(std::make_unique<Object>()), Generation{2});
  EXPECT_EQ(snapshots.adopt(0)->generation, Generation{2});
  EXPECT_EQ(snapshots.adopted(0), Generation{2});
}

TEST(Snapshots, KeepsWhatAnyReaderMayHold) {
  alive = 0;
  {
    Snapshots<Object> snapshots(2);
    for (int i = 0; i < 3; ++i) snapshots.publish(std::make_unique<Object>());
    EXPECT_EQ(snapshots.reclaim(), 3U);  // nobody has reported: somebody may be about to adopt any
    snapshots.adopt(0);
    EXPECT_EQ(snapshots.reclaim(), 3U);
    snapshots.adopt(1);
    EXPECT_EQ(snapshots.reclaim(), 1U);
    EXPECT_EQ(alive.load(), 1);
    snapshots.publish(std::make_unique<Object>());
    snapshots.publish(std::make_unique<Object>());
    snapshots.adopt(0);
    EXPECT_EQ(snapshots.reclaim(), 3U);  // reader 1 still holds generation 3
    snapshots.adopt(1);
    EXPECT_EQ(snapshots.reclaim(), 1U);
  }
  EXPECT_EQ(alive.load(), 0);
}

TEST(Snapshots, OfNoReadersKeepsTheNewestOnly) {
  Snapshots<Object> snapshots(0);
  snapshots.publish(std::make_unique<Object>());
  snapshots.publish(std::make_unique<Object>());
  EXPECT_EQ(snapshots.reclaim(), 1U);
  EXPECT_EQ(snapshots.current()->generation, Generation{2});
}

TEST(SnapshotsThreads, NothingIsFreedUnderAReader) {
  alive = 0;
  constexpr std::size_t kReaders = 3;
  Snapshots<Object> snapshots(kReaders);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> bad{0}, adoptions{0};
  auto read = [&](std::size_t index) {
    Generation last = Generation::None;
    while (!stop.load(std::memory_order_relaxed)) {
      const Object* object = snapshots.adopt(index);
      adoptions.fetch_add(1, std::memory_order_relaxed);
      if (object == nullptr) continue;
      for (std::uint64_t word : object->payload) {
        if (word != raw(object->generation)) bad.fetch_add(1, std::memory_order_relaxed);
      }
      if (object->generation < last) bad.fetch_add(1, std::memory_order_relaxed);
      last = object->generation;
    }
  };
  std::vector<std::thread> readers;
  for (std::size_t i = 0; i < kReaders; ++i) readers.emplace_back(read, i);
  std::size_t most_kept = 0;
  for (std::uint64_t generation = 1;
       generation <= 5000 || (adoptions.load() < 1000 && generation < 5000000); ++generation) {
    snapshots.publish(std::make_unique<Object>(generation));
    most_kept = std::max(most_kept, snapshots.reclaim());
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(bad.load(), 0U);
  for (std::size_t i = 0; i < kReaders; ++i) snapshots.adopt(i);
  EXPECT_EQ(snapshots.reclaim(), 1U);
  EXPECT_EQ(alive.load(), 1);
}

}  // namespace
}  // namespace lb
