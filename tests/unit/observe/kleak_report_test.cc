// SPDX-License-Identifier: Apache-2.0
// Verdicts on caches and the Report, from snapshots made by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "observe/kleak/event_json.h"
#include "observe/kleak/leak_report.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kFilp = 0xffff888000000100;
constexpr std::uint64_t kEpi = 0xffff888000000200;
constexpr std::uint64_t kSecond = 1'000'000'000;

KernelLeakSnapshot two_caches() {
  KernelLeakSnapshot snapshot;
  snapshot.caches[kFilp] = {"filp", 0, 0, 0};
  snapshot.caches[kEpi] = {"eventpoll_epi", 0, 0, 0};
  snapshot.slabinfo_before = Slabinfo{{"filp", {100, 192, 21}}, {"eventpoll_epi", {256, 128, 32}}};
  snapshot.slabinfo_after = snapshot.slabinfo_before;
  snapshot.now_ns = 11 * kSecond;
  return snapshot;
}

const SlabBaseline kBaseline = {{{"filp", {100, 21}}, {"eventpoll_epi", {256, 64}}}};

void add_group(KernelLeakSnapshot& snapshot, std::uint64_t cache, std::uint64_t bytes,
               std::int64_t blocks, std::uint64_t calls, std::uint64_t stack = 0) {
  KernelLeakSnapshot::Group group;
  group.key = {.stack = stack,
               .cache = cache,
               .bytes = bytes,
               .tgid = 7,
               .kind = KMEM_SLAB,
               .level = 0,
               .unused = 0};
  group.sums.blocks = blocks;
  group.sums.peak_blocks = blocks;
  group.sums.calls = calls;
  std::strncpy(group.sums.comm, "redis", sizeof group.sums.comm - 1);
  snapshot.groups.push_back(group);
  for (std::int64_t i = 0; i < blocks; ++i) {
    KernelLeakSnapshot::Block block;
    block.address = snapshot.blocks.size() + 1;
    block.block.group = group.key;
    block.block.time_ns = static_cast<std::uint64_t>(i + 1) * kSecond;
    snapshot.blocks.push_back(block);
  }
}

Report build(const KernelLeakSnapshot& snapshot, KernelLeakOptions options = {}) {
  KernelLeakReporter reporter(std::move(options), {}, kBaseline, {kSecond, kSecond});
  Report report;
  reporter.build(snapshot, [](std::uint64_t) { return kNone; }, report);
  return report;
}

const Figure& figure(const Report& report, const std::string& name) {
  for (const auto& one : report.figures) {
    if (one.name == name) return one;
  }
  ADD_FAILURE() << name;
  return report.figures.front();
}

double value_of(const Report& report, const Row& row, const std::string& measure) {
  for (std::size_t i = 0; i < report.measures.size(); ++i) {
    if (report.measures[i].name == measure) return row.values.at(i).value;
  }
  ADD_FAILURE() << measure;
  return -1;
}

TEST(JudgeCaches, BelievesACacheWhoseCountsAgreeWithSlabinfo) {
  KernelLeakSnapshot snapshot = two_caches();
  snapshot.caches[kFilp] = {"filp", 1000, 980, 0};
  auto verdict = judge_caches(snapshot, &kBaseline).at(kFilp);
  EXPECT_TRUE(verdict.frees_visible);
  EXPECT_EQ(verdict.hidden, 0U);
  EXPECT_EQ(verdict.objects_max, 100U);
}

TEST(JudgeCaches, FindsFreesThatSlabinfoProves) {
  KernelLeakSnapshot snapshot = two_caches();
  snapshot.caches[kEpi] = {"eventpoll_epi", 160'000, 0, 0};
  auto verdict = judge_caches(snapshot, &kBaseline).at(kEpi);
  EXPECT_FALSE(verdict.frees_visible);
  EXPECT_EQ(verdict.hidden, 160'000U - 64U);
}

TEST(JudgeCaches, AllowsForFreeObjectsOnTheSlabsOfCpus) {
  KernelLeakSnapshot snapshot = two_caches();
  snapshot.caches[kEpi] = {"eventpoll_epi", 64, 0, 0};
  EXPECT_TRUE(judge_caches(snapshot, &kBaseline).at(kEpi).frees_visible);
  snapshot.caches[kEpi].allocs = 65;
  EXPECT_FALSE(judge_caches(snapshot, &kBaseline).at(kEpi).frees_visible);
}

TEST(JudgeCaches, FindsAddressesThatCameBackUnlessRecursionExplainsThem) {
  KernelLeakSnapshot snapshot = two_caches();
  snapshot.caches[kFilp].reused = 3;
  EXPECT_FALSE(judge_caches(snapshot, nullptr).at(kFilp).frees_visible);
  snapshot.missed = 3;
  EXPECT_TRUE(judge_caches(snapshot, nullptr).at(kFilp).frees_visible);
}

TEST(JudgeCaches, CreditsFreesOfUnknownCachesToEachOfThem) {
  KernelLeakSnapshot snapshot = two_caches();
  snapshot.caches[kEpi] = {"eventpoll_epi", 500, 0, 0};
  snapshot.caches[KMEM_CACHE_NONE] = {"", 0, 500, 0};
  EXPECT_TRUE(judge_caches(snapshot, &kBaseline).at(kEpi).frees_visible);
}

TEST(JudgeCaches, SumsTheCopiesOfAKmallocCache) {
  constexpr std::uint64_t kBucket =
      static_cast<std::uint64_t>(KMEM_BUCKET_NORMAL) << KMEM_BUCKET_SHIFT | 64;
  KernelLeakSnapshot snapshot = two_caches();
  snapshot.caches[kBucket] = {"kmalloc-64", 0, 0, 0};
  snapshot.slabinfo_before = snapshot.slabinfo_after =
      Slabinfo{{"kmalloc-64", {10, 64, 64}},
               {"kmalloc-rnd-03-64", {30, 64, 64}},
               {"kmalloc-rnd-03-640", {5, 64, 64}}};
  EXPECT_EQ(judge_caches(snapshot, &kBaseline).at(kBucket).objects_max, 40U);
}

TEST(KernelLeakReport, OfNothingHasNoRowsAndNoLeak) {
  const Report report = build(two_caches());
  EXPECT_TRUE(report.rows.empty());
  EXPECT_EQ(figure(report, "leak").value, Value(0));
}

TEST(KernelLeakReport, GivesExactFiguresWithoutSampling) {
  KernelLeakSnapshot snapshot = two_caches();
  add_group(snapshot, kFilp, 192, 10, 25);
  const Report report = build(snapshot);
  ASSERT_EQ(report.rows.size(), 1U);
  const Row& row = report.rows.front();
  EXPECT_THAT(row.labels, testing::ElementsAre("slab", "filp", "redis/7", "<=256", "visible"));
  EXPECT_EQ(value_of(report, row, "bytes"), 1920);
  EXPECT_EQ(value_of(report, row, "allocated_bytes"), 25 * 192);
  EXPECT_EQ(value_of(report, row, "rate"), 2.5);
  // Blocks are 1 to 10 s old.
  EXPECT_EQ(value_of(report, row, "age_1s"), 0);
  EXPECT_EQ(value_of(report, row, "age_10s"), 9);
  EXPECT_EQ(value_of(report, row, "age_1m"), 1);
  EXPECT_EQ(figure(report, "leak").value, Value(1920));
  EXPECT_TRUE(figure(report, "leak").reliable);
}

TEST(KernelLeakReport, LeavesHiddenFreesOutOfTheLeakAndBoundsThem) {
  KernelLeakSnapshot snapshot = two_caches();
  add_group(snapshot, kEpi, 128, 400, 400);
  add_group(snapshot, kFilp, 192, 1, 1);
  snapshot.caches[kEpi].reused = 1000;
  const Report report = build(snapshot);
  EXPECT_EQ(figure(report, "leak").value, Value(192));
  EXPECT_EQ(figure(report, "hidden").value, Value(256 * 128, 0, 256 * 128));
  EXPECT_FALSE(figure(report, "hidden").reliable);
  EXPECT_EQ(report.rows.front().labels.back(), "not visible");
  EXPECT_EQ(report.rows.front().values.front(), Value(256 * 128, 0, 256 * 128));
  EXPECT_EQ(report.honesty.frees_hidden, 1000U);
  EXPECT_THAT(report.honesty.notes, testing::Contains(testing::HasSubstr("eventpoll_epi")));
}

TEST(KernelLeakReport, CountsOnlyWhatIsOldEnough) {
  KernelLeakSnapshot snapshot = two_caches();
  add_group(snapshot, kFilp, 192, 10, 10);
  KernelLeakOptions options;
  options.older_ms = 8'000;
  EXPECT_EQ(figure(build(snapshot, options), "blocks").value, Value(3));
}

TEST(KernelLeakReport, ScalesSampledBlocksByTheirLevel) {
  KernelLeakSnapshot snapshot = two_caches();
  add_group(snapshot, kFilp, 192, 10, 10);
  snapshot.groups.back().key.level = 2;
  KernelLeakOptions options;
  options.sample_bytes = 512 * 1024;
  const Report report = build(snapshot, options);
  const Value leak = figure(report, "leak").value;
  EXPECT_NEAR(leak.value, 10.0 * 4 * 512 * 1024, 2000);
  EXPECT_LT(leak.low, leak.value);
  EXPECT_GT(leak.high, leak.value);
}

TEST(KernelLeakReport, ShowsEachBlockOldestFirst) {
  KernelLeakSnapshot snapshot = two_caches();
  add_group(snapshot, kFilp, 192, 3, 3);
  KernelLeakOptions options;
  options.show_allocs = true;
  const Report report = build(snapshot, options);
  ASSERT_EQ(report.sections.size(), 2U);
  ASSERT_EQ(report.sections[1].lines.size(), 3U);
  EXPECT_EQ(report.sections[1].lines[0][0], "0x1");
  EXPECT_EQ(report.sections[1].lines[0][2], "10s");
}

TEST(KernelLeakReport, TellsInterruptsFromProcesses) {
  KernelLeakSnapshot snapshot = two_caches();
  add_group(snapshot, kFilp, 192, 1, 1, 5);
  KernelText text;
  text.interrupts = {{1000, 2000}};
  Report report;
  report.frames.push_back({.kind = FrameKind::Kernel, .address = 1500, .places = {}});
  report.stacks.push_back({{0}, false});
  auto stack = [](std::uint64_t) { return 0U; };
  KernelLeakReporter reporter({}, text, kBaseline, {kSecond, kSecond});
  reporter.build(snapshot, stack, report);
  ASSERT_EQ(report.rows.size(), 1U);
  EXPECT_EQ(report.rows.front().labels.at(2), "[interrupt]");
  KernelLeakOptions of_process;
  of_process.targets.everything = false;
  of_process.targets.pids = {7};
  KernelLeakReporter targeted(of_process, text, kBaseline, {kSecond, kSecond});
  report.rows.clear();
  targeted.build(snapshot, stack, report);
  EXPECT_TRUE(report.rows.empty());
}

TEST(KernelLeakReport, DropsWhatIsBetweenTheTracepointAndTheProgram) {
  KernelLeakSnapshot snapshot = two_caches();
  add_group(snapshot, kFilp, 192, 1, 1, 5);
  KernelText text;
  text.trampolines = {{1000, 2000}};
  Report report;
  for (const std::uint64_t address : {1500U, 2000U, 1500U}) {
    report.frames.push_back({.kind = FrameKind::Kernel, .address = address, .places = {}});
  }
  report.stacks.push_back({{0, 1, 2}, false});
  KernelLeakReporter reporter({}, text, kBaseline, {kSecond, kSecond});
  reporter.build(snapshot, [](std::uint64_t) { return 0U; }, report);
  EXPECT_THAT(report.stacks.front().frames, testing::ElementsAre(1, 2));
}

TEST(EventJson, QuotesNamesThatProcessesGiveThemselves) {
  kmem_event event{};
  event.address = 0xffff8880deadbeef;
  event.type = KMEM_EVENT_FREE;
  event.block.group.bytes = 64;
  std::strncpy(event.comm, "a\"\\\n\xff", sizeof event.comm - 1);
  const std::vector<std::uint64_t> stack = {0x10, 0x20};
  const std::string line = event_json(event, "filp", stack);
  EXPECT_THAT(line, testing::HasSubstr(R"("event":"free")"));
  EXPECT_THAT(line, testing::HasSubstr(R"("address":"0xffff8880deadbeef","bytes":64)"));
  EXPECT_THAT(line, testing::HasSubstr(R"("comm":"a\"\\\u000a?")"));
  EXPECT_THAT(line, testing::HasSubstr(R"("stack":["0x10","0x20"])"));
}

}  // namespace
}  // namespace lb::observe
