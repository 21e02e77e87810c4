// SPDX-License-Identifier: Apache-2.0
// SlotPlan: each rule of a slot's transition by itself, what a corrupt table does to it, and random
// changes against the slow model.
#include "dataplane/table/slot_plan.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>

#include "tests/unit/dataplane/slot_model.h"

namespace lb {
namespace {

using Owners = std::vector<std::uint16_t>;
using Slot = SlotPlan::Slot;
constexpr std::uint16_t kNobody = LB_SLOT_NOBODY;
constexpr std::uint32_t kWindow = 900;
const MemberBits kAll(8, true);

MemberBits without(std::initializer_list<std::size_t> dead) {
  MemberBits alive = kAll;
  for (std::size_t member : dead) alive[member] = false;
  return alive;
}
Slot steady(std::uint16_t owner) { return {.owner = owner}; }
Slot closed(std::uint16_t owner) { return {.owner = owner, .exceptions = true}; }
Slot open(std::uint16_t owner, std::uint16_t old, std::uint32_t deadline_s) {
  return {.owner = owner, .old = old, .open = true, .deadline_s = deadline_s};
}
/// A table with `members` members and room for `slots` slots.
std::shared_ptr<TableObject> table_of(std::uint32_t slots, std::uint32_t members) {
  HeapTableMemory memory;
  auto table = *memory.make(slots, members);
  for (std::uint32_t i = 0; i < members; ++i) table->members()[i].place = i + 1;
  table->head().members = members;
  return table;
}

TEST(SlotPlan, WithoutASlotThereIsNothingToDo) {
  SlotPlan plan;
  plan.advance({.owners = {}, .alive = kAll, .now_s = 1, .window_s = kWindow});
  EXPECT_FALSE(plan.close_due(~0U));
  EXPECT_FALSE(plan.clear_exceptions({}));
  plan.except_all();
  EXPECT_EQ(plan.slots() + plan.open_slots() + plan.exception_slots(), 0U);
  EXPECT_FALSE(plan.next_deadline_s());
}

TEST(SlotPlan, StartsSteadyAndStaysSoWhileNothingChanges) {
  const Owners owners{0, 1, kNobody};
  SlotPlan plan(owners);
  plan.advance({.owners = owners, .alive = kAll, .now_s = 100, .window_s = kWindow});
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(plan.slot(i), steady(owners[i]));
  EXPECT_EQ(plan.open_slots(), 0U);
  EXPECT_FALSE(plan.next_deadline_s());
  EXPECT_EQ(plan.window_s(), kWindow);
}

TEST(SlotPlan, TheFirstChangeOpensTheSlotsWhoseOwnerItChanges) {
  SlotPlan plan(Owners{0, 1});
  plan.advance({.owners = Owners{2, 1}, .alive = kAll, .now_s = 100, .window_s = kWindow});
  EXPECT_EQ(plan.slot(0), open(2, 0, 1000));
  EXPECT_EQ(plan.slot(1), steady(1));
  EXPECT_EQ(plan.open_slots(), 1U);
  EXPECT_EQ(plan.next_deadline_s(), 1000U);
}

TEST(SlotPlan, LaterChangesReplaceOnlyTheOwner) {
  SlotPlan plan(Owners{0});
  std::uint32_t now = 100;
  for (std::uint16_t owner : {1, 2, 0, 1}) {  // also back to old
    plan.advance({.owners = Owners{owner}, .alive = kAll, .now_s = now, .window_s = kWindow});
    EXPECT_EQ(plan.slot(0), open(owner, 0, 1000)) << "old and deadline are the first change's";
    now += 100;
  }
  plan.advance({.owners = Owners{kNobody}, .alive = kAll, .now_s = now, .window_s = kWindow});
  EXPECT_EQ(plan.slot(0), open(kNobody, 0, 1000)) << "nobody takes new flows, old keeps its own";
}

TEST(SlotPlan, ADeadOldClosesTheSlotAtOnce) {
  for (const MemberBits& alive : {without({0}), MemberBits{}}) {  // down, and no member any more
    SlotPlan plan(Owners{0});
    plan.advance({.owners = Owners{1}, .alive = kAll, .now_s = 100, .window_s = kWindow});
    plan.advance({.owners = Owners{1}, .alive = alive, .now_s = 101, .window_s = kWindow});
    EXPECT_EQ(plan.slot(0), closed(1)) << "flows of owners in between may be remembered";
    EXPECT_EQ(plan.open_slots(), 0U);
    EXPECT_EQ(plan.exception_slots(), 1U);
    EXPECT_FALSE(plan.next_deadline_s());
  }
}

TEST(SlotPlan, ADeadOldAndANewOwnerAtOnceOpenTheSlotAnew) {
  SlotPlan plan(Owners{0});
  plan.advance({.owners = Owners{1}, .alive = kAll, .now_s = 100, .window_s = kWindow});
  plan.advance({.owners = Owners{2}, .alive = without({0}), .now_s = 200, .window_s = kWindow});
  EXPECT_EQ(plan.slot(0), open(2, 1, 1100));
}

TEST(SlotPlan, ASlotWhoseOwnerIsDeadDoesNotOpen) {
  SlotPlan plan(Owners{0, kNobody});
  plan.advance({.owners = Owners{1, 1}, .alive = without({0}), .now_s = 100, .window_s = kWindow});
  EXPECT_EQ(plan.slot(0), steady(1));
  EXPECT_EQ(plan.slot(1), steady(1)) << "it had none";
  EXPECT_EQ(plan.open_slots(), 0U);
}

TEST(SlotPlan, ExceptionsOutliveAChangeFromADeadOwner) {
  SlotPlan plan(Owners{0});
  plan.except_all();
  plan.advance({.owners = Owners{1}, .alive = without({0}), .now_s = 100, .window_s = kWindow});
  EXPECT_EQ(plan.slot(0), closed(1));
}

TEST(SlotPlan, AClosedSlotWithExceptionsOpensAndClosesAgain) {
  SlotPlan plan(Owners{0});
  plan.except_all();
  EXPECT_EQ(plan.slot(0), closed(0));
  plan.advance({.owners = Owners{1}, .alive = kAll, .now_s = 100, .window_s = kWindow});
  EXPECT_EQ(plan.slot(0), open(1, 0, 1000));
  EXPECT_EQ(plan.exception_slots(), 0U);
  EXPECT_FALSE(plan.clear_exceptions(SlotBits(1, false))) << "an open slot has none to clear";
  EXPECT_TRUE(plan.close_due(1000));
  EXPECT_EQ(plan.slot(0), closed(1));
}

TEST(SlotPlan, ClosesAtTheDeadlineAndNeverEarlier) {
  SlotPlan plan(Owners{0, 0});
  plan.advance({.owners = Owners{1, 0}, .alive = kAll, .now_s = 100, .window_s = kWindow});
  plan.advance({.owners = Owners{1, 1}, .alive = kAll, .now_s = 101, .window_s = kWindow});
  EXPECT_FALSE(plan.close_due(999));
  EXPECT_EQ(plan.next_deadline_s(), 1000U);
  EXPECT_TRUE(plan.close_due(1000));
  EXPECT_EQ(plan.slot(0), closed(1));
  EXPECT_EQ(plan.slot(1), open(1, 0, 1001));
  EXPECT_EQ(plan.next_deadline_s(), 1001U);
  EXPECT_TRUE(plan.close_due(5000));
  EXPECT_FALSE(plan.next_deadline_s());
  EXPECT_FALSE(plan.close_due(5000));
}

TEST(SlotPlan, ClosesWithoutExceptionsWhereNoFlowIsKnownToDisagree) {
  SlotPlan plan(Owners{0, 0, 0});
  plan.advance({.owners = Owners{1, 1, 1}, .alive = kAll, .now_s = 0, .window_s = 1});
  const SlotBits disagree{false, true};  // shorter: nobody disagrees
  EXPECT_TRUE(plan.close_due(1, &disagree));
  EXPECT_EQ(plan.slot(0), steady(1));
  EXPECT_EQ(plan.slot(1), closed(1));
  EXPECT_EQ(plan.slot(2), steady(1));
}

TEST(SlotPlan, ExceptionsEndWhereNoFlowDisagrees) {
  SlotPlan plan(Owners{0, 1, 2});
  plan.except_all();
  EXPECT_EQ(plan.exception_slots(), 3U);
  EXPECT_TRUE(plan.clear_exceptions({true, false, true}));
  EXPECT_EQ(plan.slot(0), closed(0));
  EXPECT_EQ(plan.slot(1), steady(1));
  EXPECT_FALSE(plan.clear_exceptions({true, false, true})) << "nothing changed";
  EXPECT_TRUE(plan.clear_exceptions({}));
  EXPECT_EQ(plan.exception_slots(), 0U);
}

TEST(SlotPlan, APlanThatIsTakenBackAsksWhereTheOtherDiffered) {
  SlotPlan before(Owners{0, 1, 2});
  SlotPlan refused = before;
  refused.advance({.owners = Owners{0, 1, 3}, .alive = kAll, .now_s = 5, .window_s = kWindow});
  EXPECT_EQ(before.differs_from(refused), (SlotBits{false, false, true}));
  before.except(before.differs_from(refused));
  EXPECT_EQ(before.slot(0), steady(0));
  EXPECT_EQ(before.slot(2), closed(2)) << "3 may have got flows, which are remembered";
  before.except(before.differs_from(SlotPlan(Owners{7})));
  EXPECT_EQ(before.exception_slots(), 3U) << "another number of slots: nothing is known";
}

TEST(SlotPlan, DeadlinesAreExactWhileThereAreFew) {
  SlotPlan plan(Owners(64, 0));
  Owners owners(64, 0);
  for (std::uint32_t i = 0; i < 29; ++i) {
    owners[i] = 1;
    plan.advance({.owners = owners, .alive = kAll, .now_s = 100 + i, .window_s = kWindow});
    EXPECT_EQ(plan.slot(i).deadline_s, 1000 + i);
  }
}

TEST(SlotPlan, ManyDeadlinesAreMergedIntoLaterOnes) {
  constexpr std::uint32_t kChanges = 3000;
  SlotPlan plan(Owners(kChanges, 0));
  Owners owners(kChanges, 0);
  for (std::uint32_t now = 0; now < kChanges; ++now) {
    plan.close_due(now);
    owners[now] = 1;
    plan.advance({.owners = owners, .alive = kAll, .now_s = now, .window_s = kWindow});
    ASSERT_EQ(plan.open_slots() + plan.exception_slots(), now + 1);
    std::set<std::uint32_t> deadlines;
    for (std::uint32_t i = 0; i <= now; ++i) {
      const Slot slot = plan.slot(i);
      if (!slot.open) {
        ASSERT_GE(now, i + kWindow) << "slot " << i << " closed too early";
        continue;
      }
      ASSERT_GE(slot.deadline_s, i + kWindow);
      ASSERT_LE(slot.deadline_s, i + kWindow + kWindow / 32) << "the merging has an end";
      deadlines.insert(slot.deadline_s);
    }
    ASSERT_LE(deadlines.size(), std::size_t{LB_DEADLINES});
  }
}

// Every window has a grid of its own, so that in the end there is no index left.
TEST(SlotPlan, DeadlinesNeverRunOutAndAreNeverEarly) {
  std::mt19937 random(7);
  constexpr std::uint32_t kChanges = 2000;
  SlotPlan plan(Owners(kChanges, 0));
  Owners owners(kChanges, 0);
  std::vector<std::uint32_t> wanted(kChanges);
  for (std::uint32_t i = 0; i < kChanges; ++i) {
    const std::uint32_t window = 1000 + static_cast<std::uint32_t>(random() % 1'000'000);
    owners[i] = 1;
    plan.advance({.owners = owners, .alive = kAll, .now_s = i, .window_s = window});
    wanted[i] = i + window;
    ASSERT_EQ(plan.open_slots(), i + 1);
  }
  for (std::uint32_t i = 0; i < kChanges; ++i) ASSERT_GE(plan.slot(i).deadline_s, wanted[i]);
  EXPECT_TRUE(plan.close_due(3'000'000));
  EXPECT_EQ(plan.open_slots(), 0U);
}

TEST(SlotPlan, ADeadlineBeyondTheClockStaysInIt) {
  SlotPlan plan(Owners{0});
  plan.advance({.owners = Owners{1}, .alive = kAll, .now_s = 10, .window_s = ~0U});
  EXPECT_EQ(plan.slot(0).deadline_s, ~0U);
}

TEST(SlotPlan, MoreSlotsTakeOverFromThoseOfTheirHashes) {
  SlotPlan plan(Owners{0, 1, 2});
  plan.advance({.owners = Owners{0, 1, 3}, .alive = kAll, .now_s = 0, .window_s = 9});
  SlotPlan larger = plan.resized(6);
  for (std::uint32_t i = 0; i < 6; ++i) EXPECT_EQ(larger.slot(i), plan.slot(i / 2)) << i;
  EXPECT_EQ(larger.open_slots(), 2U);
  EXPECT_EQ(larger.next_deadline_s(), 9U);
  EXPECT_TRUE(larger.close_due(9));
  EXPECT_EQ(larger.resized(3).exception_slots(), 1U);
  EXPECT_EQ(plan.resized(3), plan);
  EXPECT_EQ(plan.resized(1).slot(0), closed(1)) << "flows of the others may be remembered";
  std::mt19937_64 random(3);
  SlotPlan old(Owners{0, 1, 2, 3, 4, 5, 6, 7});
  SlotPlan next = old.resized(1021);
  int moved = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t hash = random();
    moved +=
        old.slot(lb_hash_slot(hash, 5, 8)).owner != next.slot(lb_hash_slot(hash, 5, 1021)).owner;
  }
  EXPECT_LT(moved, 60) << "only those at a border: 7 of 1021 slots, by half";
}

TEST(SlotPlan, IsReadBackFromTheTableThatItWasWrittenTo) {
  SlotPlan plan(Owners{0, 1, 2, kNobody, 3});
  plan.except({false, false, false, false, true});
  plan.advance(
      {.owners = Owners{4, 1, 2, kNobody, 3}, .alive = kAll, .now_s = 100, .window_s = kWindow});
  plan.advance(
      {.owners = Owners{4, 5, 2, kNobody, 3}, .alive = kAll, .now_s = 150, .window_s = kWindow});
  auto table = table_of(5, 8);
  plan.write(*table);
  const lb_table_head& head = table->head();
  EXPECT_EQ(head.slots, 5U);
  EXPECT_EQ(head.open_slots, 2U);
  EXPECT_EQ(head.exception_slots, 1U);
  EXPECT_EQ(head.window_s, kWindow);
  EXPECT_EQ(table->hot(0), 4 | LB_SLOT_ASK);
  EXPECT_EQ(table->hot(2), 2);
  EXPECT_EQ(table->hot(3), LB_SLOT_NOBODY);
  EXPECT_EQ(table->hot(4), 3 | LB_SLOT_ASK);
  EXPECT_EQ(table->state(0) & LB_STATE_OLD, 0U);
  EXPECT_NE(table->state(0) & LB_STATE_OPEN, 0U);
  EXPECT_EQ(head.deadline_s[table->state(0) >> LB_STATE_DEADLINE_SHIFT & LB_STATE_DEADLINE], 1000U);
  EXPECT_NE(table->state(4) & LB_STATE_EXCEPTIONS, 0U);
  EXPECT_EQ(table->state(4) & LB_STATE_OPEN, 0U);
  auto again = SlotPlan::read(*table);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, plan);
  EXPECT_TRUE(again->close_due(1000));
  EXPECT_TRUE(plan.close_due(1000));
  EXPECT_EQ(*again, plan);
}

TEST(SlotPlan, ATableThatCannotBeOneIsRefused) {
  auto refused = [](auto&& break_it) {
    SlotPlan plan(Owners{0, 1});
    plan.advance({.owners = Owners{0, 2}, .alive = kAll, .now_s = 100, .window_s = kWindow});
    auto table = table_of(2, 3);
    plan.write(*table);
    break_it(*table);
    return !SlotPlan::read(*table);
  };
  EXPECT_FALSE(refused([](TableObject&) {}));
  EXPECT_TRUE(refused([](TableObject& t) { t.head().magic ^= 1; }));
  EXPECT_TRUE(refused([](TableObject& t) { t.head().version += 1; }));
  EXPECT_TRUE(refused([](TableObject& t) { t.head().slots = 0; }));
  EXPECT_TRUE(refused([](TableObject& t) { t.head().slots = 5; })) << "more than fit";
  EXPECT_TRUE(refused([](TableObject& t) { t.head().slots = 0x80000001; }));
  EXPECT_TRUE(refused([](TableObject& t) { t.head().members = 4; })) << "more than fit";
  EXPECT_TRUE(refused([](TableObject& t) { t.head().members = 2; })) << "slot 1 is the third's";
  EXPECT_TRUE(refused([](TableObject& t) { t.hot_slots()[0] = 3; }));
  EXPECT_TRUE(refused([](TableObject& t) { t.members()[0].place = 0; })) << "an index that is free";
  EXPECT_TRUE(refused([](TableObject& t) { t.members()[1].place = 0; })) << "old is gone";
  EXPECT_TRUE(refused([](TableObject& t) { t.slot_states()[1] |= LB_STATE_OLD; }));
  EXPECT_FALSE(refused([](TableObject& t) { t.hot_slots()[0] = LB_SLOT_NOBODY; }));
}

TEST(SlotPlan, RandomTablesAreRefusedOrUsable) {
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    auto table = table_of(16, 8);
    SlotPlan(Owners(16, 3)).write(*table);
    for (std::uint32_t& deadline : table->head().deadline_s) deadline = random();
    for (auto& word : table->hot_slots()) word = random() % 8 | (random() & LB_SLOT_ASK);
    for (auto& state : table->slot_states()) state = random() % 8 | (random() & 0xffff0000);
    for (int i = 0; i < round % 3; ++i) {  // and now and then something out of bounds
      (random() & 1 ? table->hot_slots()[random() % 16] : table->hot_slots()[0]) = random();
      reinterpret_cast<std::uint8_t*>(&table->head())[random() % sizeof(lb_table_head)] = random();
    }
    auto plan = SlotPlan::read(*table);
    if (!plan) continue;
    plan->advance({.owners = Owners(plan->slots(), 1), .alive = kAll, .now_s = 1, .window_s = 1});
    plan->close_due(~0U);
    plan->clear_exceptions({});
    EXPECT_EQ(plan->open_slots() + plan->exception_slots(), 0U);
    plan->write(*table);
  }
}

TEST(SlotPlan, DoesWhatTheSlowModelDoes) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    constexpr std::uint32_t kSlots = 97;
    auto owners = [&random] {
      Owners made(kSlots);
      for (auto& owner : made) owner = random() % 9 == 8 ? kNobody : random() % 8;
      return made;
    };
    Owners now_owned = owners();
    SlotPlan plan(now_owned);
    SlotModel model(now_owned, SlotModel::Old::Kept);
    for (std::uint32_t now = 0; now < 400; ++now) {
      MemberBits alive(8);
      for (std::size_t i = 0; i < 8; ++i) alive[i] = random() % 4 != 0;
      if (random() % 40 == 0) {  // few enough at once for exact deadlines
        Owners next = random() % 4 == 0 ? owners() : now_owned;
        for (int i = 0; i < 10; ++i) next[random() % kSlots] = random() % 8;
        now_owned = next;
      }
      const SlotPlan::Change change{
          .owners = now_owned, .alive = alive, .now_s = now, .window_s = 50 + now % 7};
      plan.advance(change);
      model.advance(change);
      plan.close_due(now);
      model.close_due(now);
      if (now % 5 == 0) {
        SlotBits disagree(kSlots);
        for (std::size_t i = 0; i < kSlots; ++i) disagree[i] = random() % 2 != 0;
        plan.clear_exceptions(disagree);
        model.clear_exceptions(disagree);
      }
      std::uint32_t open = 0;
      for (std::uint32_t i = 0; i < kSlots; ++i) {
        ASSERT_EQ(plan.slot(i), model.slot(i)) << "slot " << i << ", second " << now;
        open += model.slot(i).open;
      }
      ASSERT_EQ(plan.open_slots(), open);
    }
  }
}

}  // namespace
}  // namespace lb
