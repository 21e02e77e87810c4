// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/vip_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

namespace lb {
namespace {

ServiceTable::VipMapEntry entry(std::uint16_t port, std::uint32_t flags) {
  ServiceTable::VipMapEntry made{};
  made.key.family = 4;
  made.key.port_be = port;
  made.value.flags = flags;
  return made;
}

/// The map that a change makes of `from`, as port -> flags.
std::map<std::uint16_t, std::uint32_t> applied(const VipEntries& from, const VipMapChange& change) {
  std::map<std::uint16_t, std::uint32_t> map;
  for (const auto& e : from) map[e.key.port_be] = e.value.flags;
  for (const auto& key : change.remove) EXPECT_EQ(map.erase(key.port_be), 1U);
  for (const auto& e : change.put) map[e.key.port_be] = e.value.flags;
  return map;
}

TEST(VipMapChange, NothingChangesBetweenEqualMaps) {
  VipEntries entries = {entry(2, 0), entry(1, 0)};
  auto change = vip_map_change(entries, {entry(1, 0), entry(2, 0)});
  EXPECT_TRUE(change.put.empty());
  EXPECT_TRUE(change.remove.empty());
}

TEST(VipMapChange, FromNothingAndToNothing) {
  EXPECT_EQ(vip_map_change({}, {entry(1, 0)}).put.size(), 1U);
  EXPECT_EQ(vip_map_change({entry(1, 0)}, {}).remove.size(), 1U);
  EXPECT_TRUE(vip_map_change({}, {}).put.empty());
}

TEST(VipMapChange, ChangedValueIsPutAndNotRemoved) {
  auto change = vip_map_change({entry(1, 0)}, {entry(1, 7)});
  ASSERT_EQ(change.put.size(), 1U);
  EXPECT_EQ(change.put[0].value.flags, 7U);
  EXPECT_TRUE(change.remove.empty());
}

TEST(VipMapChange, LeadsFromAnyMapToAnyOther) {
  std::mt19937 random(3);
  for (int i = 0; i < 500; ++i) {
    VipEntries from;
    VipEntries to;
    for (std::uint16_t port = 0; port < 20; ++port) {
      if (random() % 2 == 0) from.push_back(entry(port, random() % 2));
      if (random() % 2 == 0) to.push_back(entry(port, random() % 2));
    }
    std::ranges::shuffle(from, random);
    std::ranges::shuffle(to, random);
    EXPECT_EQ(applied(from, vip_map_change(from, to)), applied(to, {}));
  }
}

/// A VIP map whose call number `fails_at` and all after it, or that one alone, fail.
struct FakeProgram {
  std::map<std::uint16_t, std::uint32_t> map;
  std::size_t room = 100;
  int calls = 0;
  int fails_at = -1;
  bool fails_for_good = false;
  std::vector<std::uint16_t> removed;

  [[nodiscard]] bool fails() {
    int call = calls++;
    return fails_at >= 0 && (call == fails_at || (fails_for_good && call > fails_at));
  }
  Status put_vip(const lb_vip_key& key, const lb_vip_value& value) {
    if (fails()) return fail(ENOMEM, "no memory");
    if (map.size() == room && !map.contains(key.port_be)) return fail(E2BIG, "full");
    map[key.port_be] = value.flags;
    return {};
  }
  Status delete_vip(const lb_vip_key& key) {
    if (fails()) return fail(ENOMEM, "no memory");
    EXPECT_EQ(map.erase(key.port_be), 1U);
    removed.push_back(key.port_be);
    return {};
  }
};

// A key whose value changed, one that goes and one that comes, and one that stays as it is. A key
// that is away for a moment lets packets pass to the kernel, which resets their connections.
TEST(VipMapMirror, FailureAnywhereLeavesTheMapAsItWas) {
  const VipEntries before = {entry(1, 0), entry(2, 0), entry(3, 0)};
  const VipEntries wanted = {entry(1, 7), entry(3, 0), entry(4, 0), entry(5, 0)};
  VipMapChange change = vip_map_change(before, wanted);
  const auto steps = static_cast<int>(change.remove.size() + change.put.size());
  ASSERT_EQ(steps, 4);
  for (bool for_good : {false, true}) {
    for (int step = 0; step < steps; ++step) {
      FakeProgram program;
      VipMapMirror mirror;
      ASSERT_TRUE(mirror.put(program, before));
      program.fails_at = program.calls + step;
      program.fails_for_good = for_good;
      Status done = mirror.remove(program, change.remove);
      if (done) done = mirror.put(program, change.put);
      ASSERT_FALSE(done);
      mirror.restore(program, before);
      EXPECT_EQ(std::ranges::count(program.removed, 1), 0) << "its value changed, it stays";
      EXPECT_EQ(std::ranges::count(program.removed, 3), 0);
      if (!for_good) {
        EXPECT_EQ(program.map, applied(before, {})) << step;
      }
      EXPECT_EQ(program.map, applied(mirror.entries(), {})) << "the truth, also when nothing works";
    }
  }
}

// 1 and 2 went, 4 came and 5 did not: there is room for 1 or 2 again, for both when 4 is gone.
TEST(VipMapMirror, RestoreFindsItsRoomInAFullMap) {
  const VipEntries before = {entry(1, 0), entry(2, 0), entry(3, 0)};
  FakeProgram program;
  program.room = 3;
  VipMapMirror mirror;
  ASSERT_TRUE(mirror.put(program, before));
  ASSERT_TRUE(mirror.remove(program, {entry(1, 0).key, entry(2, 0).key}));
  ASSERT_TRUE(mirror.put(program, {entry(4, 0)}));
  mirror.restore(program, before);
  EXPECT_EQ(program.map, applied(before, {}));
  EXPECT_EQ(program.map, applied(mirror.entries(), {}));
}

}  // namespace
}  // namespace lb
