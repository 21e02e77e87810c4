// SPDX-License-Identifier: Apache-2.0
#include "observe/leak/mapping_ledger.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <random>

#include "observe/leak/arenas.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kPages = 64;

/// Who has each page; the other implementation.
using Model = std::array<std::optional<std::uint64_t>, kPages>;

MappingLedger::Range pages(std::size_t first, std::size_t count) {
  return {first * kPage, (first + count) * kPage};
}

Model held(const MappingLedger& ledger, std::uint32_t space) {
  Model model;
  ledger.for_each(
      [&](std::uint32_t of, MappingLedger::Range range, const MappingLedger::Origin& origin) {
        if (of != space) return;
        for (auto at = range.start; at < range.end; at += kPage) {
          EXPECT_FALSE(model.at(at / kPage)) << "two intervals hold page " << at / kPage;
          model.at(at / kPage) = origin.stack;
        }
      });
  return model;
}

TEST(MappingLedger, LengthsAreRoundedToPages) {
  EXPECT_EQ(MappingLedger::range_of(kPage, 1).end, 2 * kPage);
  EXPECT_EQ(MappingLedger::range_of(kPage, kPage).end, 2 * kPage);
  EXPECT_EQ(MappingLedger::range_of(kPage, 0).end, kPage);
  EXPECT_GE(MappingLedger::range_of(~0ULL - 100, ~0ULL).end, ~0ULL - 100);
}

TEST(MappingLedger, AMiddlePartLeavesBothEnds) {
  MappingLedger ledger;
  ledger.map(1, pages(0, 10), {7, 0, false});
  ledger.begin_unmap(1, 5, pages(3, 2));
  ledger.end_unmap(1, 5, false);
  auto model = held(ledger, 1);
  EXPECT_EQ(model[2], 7U);
  EXPECT_FALSE(model[3]);
  EXPECT_FALSE(model[4]);
  EXPECT_EQ(model[5], 7U);
}

TEST(MappingLedger, TheBreakGrowsAndShrinks) {
  MappingLedger ledger;
  ledger.set_break(1, {kPage, 4 * kPage}, {1, 0, true});
  ledger.set_break(1, {kPage, 6 * kPage}, {2, 0, true});
  ledger.set_break(1, {kPage, 5 * kPage}, {3, 0, true});
  auto model = held(ledger, 1);
  EXPECT_EQ(model[3], 1U);
  EXPECT_EQ(model[4], 2U);
  EXPECT_FALSE(model[5]);
  ledger.know_break(2, 8 * kPage);
  ledger.set_break(2, {kPage, 9 * kPage}, {4, 0, true});
  EXPECT_FALSE(held(ledger, 2)[7]);
  EXPECT_EQ(held(ledger, 2)[8], 4U);
}

TEST(MappingLedger, HoldsWhatAModelOfPagesHolds) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    MappingLedger ledger;
    std::array<Model, 3> models;
    for (std::uint64_t step = 1; step <= 200; ++step) {
      const std::uint32_t space = random() % 2;
      auto& model = models.at(space);
      const std::size_t first = random() % kPages;
      const std::size_t count = random() % (kPages - first) + (random() % 8 != 0 ? 1 : 0);
      const auto end = std::min(kPages, first + count);
      const auto range = pages(first, end - first);
      switch (random() % 4) {
        case 0:
        case 1:
          ledger.map(space, range, {step, 0, false});
          for (auto i = first; i < end; ++i) model[i] = step;
          break;
        case 2:
          ledger.begin_unmap(space, 9, range);
          ledger.end_unmap(space, 9, false);
          for (auto i = first; i < end; ++i) model[i].reset();
          break;
        default:
          ledger.begin_unmap(space, 9, range);
          ledger.end_unmap(space, 9, true);  // it failed
      }
      ASSERT_EQ(held(ledger, space), model) << "seed " << seed << ", step " << step;
    }
    ledger.copy(0, 2);
    ASSERT_EQ(held(ledger, 2), models[0]);
    ledger.forget(0);
    ASSERT_EQ(held(ledger, 0), Model());
    ASSERT_EQ(held(ledger, 2), models[0]);
  }
}

TEST(MappingLedger, WhatFailedToGoDoesNotCoverWhatCameMeanwhile) {
  MappingLedger ledger;
  ledger.map(1, pages(0, 8), {1, 0, false});
  ledger.begin_unmap(1, 5, pages(0, 8));
  ledger.map(1, pages(2, 2), {2, 0, false});
  ledger.end_unmap(1, 5, true);
  auto model = held(ledger, 1);
  EXPECT_EQ(model[1], 1U);
  EXPECT_EQ(model[2], 2U);
  EXPECT_EQ(model[3], 2U);
  EXPECT_EQ(model[4], 1U);
}

TEST(MappingLedger, TotalsCountWhatWasMappedWhateverBecameOfIt) {
  MappingLedger ledger;
  ledger.map(1, pages(0, 2), {7, 0, false});
  ledger.map(1, pages(0, 3), {7, 0, false});
  const auto& totals = ledger.totals(1);
  EXPECT_EQ(totals.at({7, false}).calls, 2U);
  EXPECT_EQ(totals.at({7, false}).bytes, 5 * kPage);
  EXPECT_TRUE(ledger.totals(99).empty());
}

TEST(Arenas, DoorsOfAllocatorsAreKnownByAnyOfTheirNames) {
  for (const char* name :
       {"malloc", "__libc_malloc", "__GI___libc_malloc", "_int_malloc", "sysmalloc", "free",
        "operator new(unsigned long)", "_mid_memalign", "calloc"}) {
    EXPECT_TRUE(is_allocator_function(name)) << name;
  }
  for (const char* name :
       {"main", "mmap", "__mmap64", "my_malloc_user", "", "_", "__libc_start_main"}) {
    EXPECT_FALSE(is_allocator_function(name)) << name;
  }
}

}  // namespace
}  // namespace lb::observe
