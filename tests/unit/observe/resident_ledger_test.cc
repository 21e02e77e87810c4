// SPDX-License-Identifier: Apache-2.0
#include "observe/resident/resident_ledger.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <random>

namespace lb::observe {
namespace {

constexpr std::uint64_t kPage = ResidentLedger::kPageBytes;
constexpr std::size_t kPages = 64;

using Range = ResidentLedger::Range;

Range pages(std::size_t first, std::size_t count) {
  return {first * kPage, (first + count) * kPage};
}

Touch by(std::uint64_t stack) { return {stack, Fault::User}; }

/// What is known of each page; the other implementation.
struct ModelPage {
  Touch touch;
  MappedBy mapped;
  bool before = false;

  bool operator==(const ModelPage&) const = default;
};
using Model = std::array<ModelPage, kPages>;

Model held(const ResidentLedger& ledger, std::uint32_t space) {
  Model model;
  std::uint64_t at = 0;
  ledger.walk(space, pages(0, kPages), false, [&](const ResidentLedger::Run& run) {
    EXPECT_EQ(run.range.start, at) << "a hole";
    EXPECT_LT(run.range.start, run.range.end);
    at = run.range.end;
    for (auto page = run.range.start / kPage; page < run.range.end / kPage; ++page) {
      model.at(page) = {run.touch, run.mapped, run.before};
    }
  });
  EXPECT_EQ(at, kPages * kPage);
  return model;
}

void forget_page(ModelPage& page) {
  page.touch = {};
  page.before = false;
}

TEST(ResidentLedger, KnowsNothingOfASpaceThatNeverWas) {
  EXPECT_EQ(held(ResidentLedger(), 7), Model());
  EXPECT_TRUE(ResidentLedger().faults(7).empty());
}

TEST(ResidentLedger, TheLastTouchOfAPageHolds) {
  ResidentLedger ledger;
  ledger.touch(1, 5 * kPage + 17, by(1), false);
  ledger.touch(1, 5 * kPage + 4095, by(2), true);
  EXPECT_EQ(held(ledger, 1)[5].touch, by(2));
  EXPECT_EQ(held(ledger, 1)[6].touch, Touch());
}

TEST(ResidentLedger, APageOfBeforeIsOneNoLongerWhenItComesBack) {
  ResidentLedger ledger;
  const std::array<Range, 1> before = {pages(2, 3)};
  ledger.begin(1, before, {}, 0);
  ledger.touch(1, 2 * kPage, by(1), true);   // written, and it was there
  ledger.touch(1, 3 * kPage, by(1), false);  // it had gone
  const auto model = held(ledger, 1);
  EXPECT_TRUE(model[2].before);
  EXPECT_FALSE(model[3].before);
  EXPECT_TRUE(model[4].before);
  EXPECT_EQ(ledger.bytes_before(1), 2 * kPage);
}

TEST(ResidentLedger, FaultsAreCountedByStackAndMapping) {
  ResidentLedger ledger;
  const MappedBy mapping{9, true, false};
  ledger.map(1, pages(0, 4), mapping);
  for (std::size_t page = 0; page < 6; ++page) ledger.touch(1, page * kPage, by(1), false);
  EXPECT_EQ(ledger.faults(1).at({by(1), mapping}).count, 4U);
  EXPECT_EQ(ledger.faults(1).at({by(1), MappedBy{}}).count, 2U);
  EXPECT_EQ(ledger.faults(1).at({by(1), MappedBy{}}).address, 5 * kPage);
  ledger.end(1);
  EXPECT_EQ(held(ledger, 1), Model());
  EXPECT_EQ(ledger.faults(1).size(), 2U);
}

TEST(ResidentLedger, AMoveTakesTouchesAlongAsFarAsThereIsRoom) {
  ResidentLedger ledger;
  ledger.map(1, pages(0, 4), {8, true, false});
  for (std::size_t page = 0; page < 4; ++page) ledger.touch(1, page * kPage, by(page + 1), false);
  ledger.move(1, pages(0, 4), pages(10, 3), {9, true, false});
  auto model = held(ledger, 1);
  EXPECT_EQ(model[0], ModelPage());
  EXPECT_EQ(model[10].touch, by(1));
  EXPECT_EQ(model[12].touch, by(3));
  EXPECT_EQ(model[13].touch, Touch());
  EXPECT_EQ(model[12].mapped.stack, 9U);
  ledger.move(1, pages(10, 3), pages(10, 5), {7, true, false});  // grows where it is
  model = held(ledger, 1);
  EXPECT_EQ(model[12].touch, by(3));
  EXPECT_EQ(model[12].mapped.stack, 9U);
  EXPECT_EQ(model[13].mapped.stack, 7U);
  ledger.move(1, pages(10, 5), pages(10, 1), {6, true, false});
  model = held(ledger, 1);
  EXPECT_EQ(model[10].touch, by(1));
  EXPECT_EQ(model[11], ModelPage());
}

TEST(ResidentLedger, OfAMergedMappingTheNewPartIsWhatWasNotMapped) {
  ResidentLedger ledger;
  const std::array<Range, 2> mapped = {pages(4, 4), pages(12, 4)};
  ledger.begin(1, {}, mapped, 0);
  ledger.touch(1, 5 * kPage, by(1), false);
  ledger.map_within(1, pages(4, 12), 4 * kPage, {8, true, false});  // between the two
  auto model = held(ledger, 1);
  EXPECT_FALSE(model[7].mapped.known);
  EXPECT_EQ(model[8].mapped.stack, 8U);
  EXPECT_EQ(model[11].mapped.stack, 8U);
  EXPECT_FALSE(model[12].mapped.known);
  EXPECT_EQ(model[5].touch, by(1)) << "what was there stays as it was";
  ledger.map_within(1, pages(2, 14), 2 * kPage, {9, true, false});  // below
  ledger.map_within(1, pages(20, 3), 3 * kPage, {7, true, false});  // with nobody
  model = held(ledger, 1);
  EXPECT_EQ(model[3].mapped.stack, 9U);
  EXPECT_EQ(model[20].mapped.stack, 7U);
}

TEST(ResidentLedger, AMergeThatDoesNotAddUpIsNobodys) {
  struct Case {
    Range whole;
    std::size_t asked;
  };
  // Two holes; one that is too large; none.
  for (const auto& [whole, asked] :
       {Case{pages(0, 12), 4}, Case{pages(4, 12), 4}, Case{pages(4, 4), 3}}) {
    ResidentLedger ledger;
    ledger.map(1, pages(4, 4), {1, true, false});
    ledger.touch(1, 5 * kPage, by(3), false);
    ledger.map_within(1, whole, asked * kPage, {8, true, false});
    const auto model = held(ledger, 1);
    for (const auto& page : model) EXPECT_EQ(page, ModelPage());
  }
}

TEST(ResidentLedger, AfterALossOnlyWhatMergedWithNobodyHasACaller) {
  ResidentLedger ledger;
  ledger.map(1, pages(4, 4), {1, true, false});
  ledger.lose_all();
  ledger.map_within(1, pages(20, 4), 3 * kPage, {8, true, false});
  EXPECT_FALSE(held(ledger, 1)[20].mapped.known) << "a neighbour may be in it that was lost";
  ledger.map_within(1, pages(20, 4), 4 * kPage, {8, true, false});
  EXPECT_EQ(held(ledger, 1)[20].mapped.stack, 8U) << "there is none";
}

TEST(ResidentLedger, AMoveThatDoesNotAddUpLosesStacks) {
  ResidentLedger ledger;
  ledger.map(1, pages(0, 8), {1, true, false});
  ledger.touch(1, 3 * kPage, by(3), false);
  ledger.touch(1, 7 * kPage, by(4), false);
  ledger.move_within(1, pages(2, 3), pages(20, 9), 4 * kPage, {8, true, false});
  const auto model = held(ledger, 1);
  EXPECT_EQ(model[3], ModelPage()) << "it is somewhere else";
  EXPECT_EQ(model[7].touch, by(4));
  for (std::size_t page = 20; page < 29; ++page) EXPECT_EQ(model.at(page), ModelPage());
}

TEST(ResidentLedger, AfterALossMappingsAreWhatTheyAreSaidToBe) {
  ResidentLedger ledger;
  ledger.map(1, pages(4, 4), {1, true, false});
  ledger.lose_all();
  ledger.map(1, pages(10, 2), {2, true, false});
  const std::array<Range, 2> mapped = {pages(4, 4), pages(9, 4)};
  ledger.know_mappings(1, mapped);
  ledger.map_within(1, pages(4, 5), kPage, {8, true, false});  // 8 is the only hole
  const auto model = held(ledger, 1);
  EXPECT_FALSE(model[7].mapped.known);
  EXPECT_EQ(model[10].mapped.stack, 2U) << "what was seen since then holds";
  EXPECT_EQ(model[8].mapped.stack, 8U);
}

TEST(ResidentLedger, WhatMayHaveFailedTakesNothingOfBefore) {
  ResidentLedger ledger;
  const std::array<Range, 1> before = {pages(2, 4)};
  ledger.begin(1, before, before, 0);
  ledger.touch(1, 3 * kPage, by(1), true);
  ledger.unmap(1, pages(2, 4));
  EXPECT_EQ(ledger.bytes_before(1), 4 * kPage);
  EXPECT_EQ(held(ledger, 1)[3].touch, Touch());
  ledger.map(1, pages(2, 2), {5, true, false});
  EXPECT_EQ(ledger.bytes_before(1), 2 * kPage);
}

TEST(ResidentLedger, AMoveWithinAMergedMapping) {
  ResidentLedger ledger;
  const std::array<Range, 2> mapped = {pages(0, 10), pages(20, 4)};
  ledger.begin(1, {}, mapped, 0);
  ledger.touch(1, 5 * kPage, by(1), false);
  // Pages 4 to 7 become eight, below those at 20.
  ledger.move_within(1, pages(4, 4), pages(12, 12), 8 * kPage, {9, true, false});
  auto model = held(ledger, 1);
  EXPECT_EQ(model[13].touch, by(1));
  EXPECT_EQ(model[19].mapped.stack, 9U);
  EXPECT_FALSE(model[20].mapped.known);
  EXPECT_EQ(model[5], ModelPage());
  // What is left of the old mapping is stored anew: that moves nothing, though its size fits.
  ledger.move_within(1, pages(4, 2), pages(0, 4), 4 * kPage, {7, true, false});
  EXPECT_EQ(held(ledger, 1), model);
  // Growth in place, into the hole behind it; of the whole mapping only the end is new.
  ledger.move_within(1, pages(22, 2), pages(12, 15), 5 * kPage, {6, true, false});
  model = held(ledger, 1);
  EXPECT_FALSE(model[23].mapped.known);
  EXPECT_EQ(model[24].mapped.stack, 6U);
  EXPECT_EQ(model[26].mapped.stack, 6U);
  EXPECT_EQ(model[13].touch, by(1));
}

TEST(ResidentLedger, TheBreakCutsOffWhatItLeaves) {
  ResidentLedger ledger;
  ledger.begin(1, {}, {}, pages(0, 8).end);
  ledger.set_break(1, pages(4, 8), {1, true, true});
  ledger.touch(1, 7 * kPage, by(1), false);
  ledger.touch(1, 9 * kPage, by(1), false);
  auto model = held(ledger, 1);
  EXPECT_FALSE(model[7].mapped.known);
  EXPECT_EQ(model[9].mapped, (MappedBy{1, true, true}));
  ledger.set_break(1, {4 * kPage, 9 * kPage}, {2, true, true});
  EXPECT_EQ(held(ledger, 1)[9], ModelPage());
  ledger.set_break(1, {4 * kPage, 9 * kPage + 1}, {3, true, true});  // a byte is a page
  model = held(ledger, 1);
  EXPECT_EQ(model[8].mapped.stack, 1U);
  EXPECT_EQ(model[9].mapped.stack, 3U);
  EXPECT_EQ(model[9].touch, Touch());
}

TEST(ResidentLedger, WhatWasLostIsToldAndNotGuessed) {
  ResidentLedger ledger;
  ledger.touch(1, 0, by(1), false);
  ledger.touch(1, kPage, by(1), false);
  ledger.lose(1, kPage);
  auto model = held(ledger, 1);
  EXPECT_EQ(model[0].touch, by(1));
  EXPECT_EQ(model[1].touch.fault, Fault::Lost);
  ledger.lose_all();
  EXPECT_EQ(held(ledger, 1)[0].touch.fault, Fault::Lost);
  ledger.touch(1, 0, by(2), false);
  EXPECT_EQ(held(ledger, 1)[0].touch, by(2));
}

TEST(ResidentLedger, AHugePageBelongsToTheOnlyTouchInIt) {
  constexpr std::uint64_t kHuge = ResidentLedger::kHugeBytes;
  ResidentLedger ledger;
  ledger.touch(1, 3 * kPage, by(1), false);
  ledger.touch(1, kHuge + 5 * kPage, by(2), false);
  ledger.touch(1, kHuge + 9 * kPage, by(3), false);
  std::map<Touch, std::uint64_t> sums;
  ledger.walk(1, {0, 3 * kHuge}, true, [&](const ResidentLedger::Run& run) {
    sums[run.touch] += run.range.end - run.range.start;
  });
  EXPECT_EQ(sums[by(1)], kHuge);
  EXPECT_EQ(sums[by(2)], kPage);
  EXPECT_EQ(sums[by(3)], kPage);
  EXPECT_EQ(sums[Touch()], 2 * kHuge - 2 * kPage);
}

TEST(ResidentLedger, AHugePageHasNoTouchOfWhatWasThereBefore) {
  constexpr std::uint64_t kHuge = ResidentLedger::kHugeBytes;
  ResidentLedger ledger;
  ledger.touch(1, 3 * kPage, by(1), false);
  ledger.give_back(1, {0, kHuge});
  ledger.touch(1, 9 * kPage, by(2), false);
  ledger.walk(1, {0, kHuge}, true,
              [](const ResidentLedger::Run& run) { EXPECT_EQ(run.touch, by(2)); });
}

TEST(ResidentLedger, WhatIsGivenBackIsNotOfBefore) {
  ResidentLedger ledger;
  const std::array<Range, 1> before = {pages(2, 3)};
  ledger.begin(1, before, {}, 0);
  ledger.give_back(1, pages(2, 2));
  EXPECT_EQ(ledger.bytes_before(1), kPage);
}

TEST(ResidentLedger, OfBeforeIsKeptOnlyWhatIsInTheRanges) {
  ResidentLedger ledger;
  const std::array<Range, 2> before = {pages(2, 10), pages(20, 2)};
  ledger.begin(1, before, {}, 0);
  const std::array<Range, 2> kept = {pages(0, 4), pages(8, 2)};
  ledger.keep_before(1, kept);
  const auto model = held(ledger, 1);
  for (std::size_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(model.at(page).before, page == 2 || page == 3 || page == 8 || page == 9) << page;
  }
  ledger.keep_before(1, {});
  EXPECT_EQ(ledger.bytes_before(1), 0U);
}

TEST(ResidentLedger, ALossOfAnythingIsOneOfMappingsAndOfTheBreakToo) {
  ResidentLedger ledger;
  ledger.map(1, pages(30, 4), {8, true, false});
  ledger.set_break(1, pages(4, 8), {1, true, true});
  ledger.lose_all();
  EXPECT_FALSE(held(ledger, 1)[30].mapped.known);
  ledger.set_break(1, pages(4, 12), {2, true, true});  // which call gave how much is not known
  EXPECT_FALSE(held(ledger, 1)[15].mapped.known);
  ledger.set_break(1, pages(4, 14), {3, true, true});
  const auto model = held(ledger, 1);
  EXPECT_FALSE(model[15].mapped.known);
  EXPECT_EQ(model[16].mapped.stack, 3U);
  EXPECT_EQ(model[17].mapped.stack, 3U);
}

TEST(ResidentLedger, RangesAreWholePages) {
  EXPECT_EQ(ResidentLedger::pages_of(kPage, 1), pages(1, 1));
  EXPECT_EQ(ResidentLedger::pages_of(kPage + 1, kPage), pages(1, 2));
  EXPECT_EQ(ResidentLedger::pages_of(kPage, 0).end, kPage);
  EXPECT_GT(ResidentLedger::pages_of(kPage, ~0ULL).end, kPage);
}

TEST(ResidentLedger, HoldsWhatAModelOfPagesHolds) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    ResidentLedger ledger;
    std::array<Model, 3> models;
    for (std::uint32_t space = 0; space < 2; ++space) {
      const std::array<Range, 1> before = {pages(random() % 32, random() % 32)};
      ledger.begin(space, before, {}, 0);
      for (auto page = before[0].start; page < before[0].end; page += kPage) {
        models.at(space).at(page / kPage).before = true;
      }
    }
    for (std::uint64_t step = 1; step <= 300; ++step) {
      const std::uint32_t space = random() % 2;
      auto& model = models.at(space);
      const std::size_t first = random() % kPages;
      const std::size_t end = first + random() % (kPages - first + 1);
      const MappedBy mapped{random() % 4, true, false};
      switch (random() % 8) {
        case 0:
          ledger.map(space, pages(first, end - first), mapped);
          for (auto i = first; i < end; ++i) {
            forget_page(model.at(i));
            model.at(i).mapped = mapped;
          }
          break;
        case 1: {
          const std::size_t room = std::min(first, end - first);  // below: they never overlap
          const std::size_t to = room == 0 ? 0 : random() % (first - room + 1);
          if (room == 0) break;
          ledger.move(space, pages(first, end - first), pages(to, room), mapped);
          const Model old = model;
          for (auto i = first; i < end; ++i) model.at(i) = {};
          for (std::size_t i = 0; i < room; ++i) {
            model.at(to + i) = {old.at(first + i).touch, mapped, old.at(first + i).before};
          }
          break;
        }
        case 2:
          ledger.unmap(space, pages(first, end - first));
          for (auto i = first; i < end; ++i) model.at(i) = {{}, {}, model.at(i).before};
          break;
        case 3:
          ledger.give_back(space, pages(first, end - first));
          for (auto i = first; i < end; ++i) forget_page(model.at(i));
          break;
        default: {
          const bool present = random() % 2 == 0;
          model.at(first).touch = by(random() % 3);
          ledger.touch(space, first * kPage + random() % kPage, model.at(first).touch, present);
          if (!present) model.at(first).before = false;
        }
      }
      ASSERT_EQ(held(ledger, space), model) << "seed " << seed << ", step " << step;
    }
    ledger.copy(0, 2);
    ASSERT_EQ(held(ledger, 2), models[0]);
    EXPECT_TRUE(ledger.faults(2).empty());
    ledger.forget(0);
    ASSERT_EQ(held(ledger, 0), Model());
    ASSERT_EQ(held(ledger, 2), models[0]);
  }
}

TEST(IntervalMap, KeepsTheFewestIntervals) {
  IntervalMap<int> map;
  map.assign(0, 10, 1);
  map.assign(10, 20, 1);
  EXPECT_EQ(map.size(), 1U);
  map.assign(5, 6, 2);
  EXPECT_EQ(map.size(), 3U);
  map.assign(5, 6, 1);
  EXPECT_EQ(map.size(), 1U);
  EXPECT_EQ(map.length(), 20U);
  map.assign(20, 30, 2);
  map.assign(15, 20, 2);
  EXPECT_EQ(map.size(), 2U);
  EXPECT_EQ(map.same_until(0, 100), 15U);
  EXPECT_EQ(map.same_until(15, 18), 18U);
  EXPECT_EQ(map.same_until(30, 100), 100U);
  EXPECT_EQ(map.find(30), nullptr);
  map.assign(7, 7, 9);
  EXPECT_EQ(map.size(), 2U);
}

TEST(IntervalMap, GivesWhatItTakesOutCutToTheRange) {
  IntervalMap<int> map;
  map.assign(0, 10, 1);
  map.assign(12, 20, 2);
  const auto taken = map.take(8, 14);
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[0], (IntervalMap<int>::Piece{8, 10, 1}));
  EXPECT_EQ(taken[1], (IntervalMap<int>::Piece{12, 14, 2}));
  EXPECT_EQ(map.length(), 14U);
}

}  // namespace
}  // namespace lb::observe
