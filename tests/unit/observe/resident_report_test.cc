// SPDX-License-Identifier: Apache-2.0
#include "observe/resident/resident_report.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <string>

#include "dataplane/base/fd.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kPage = ResidentLedger::kPageBytes;
constexpr std::uint64_t kHeap = 0x10000;
constexpr std::uint64_t kMapped = 0x40000;

ResidentLook look_with(std::vector<ResidentRegion> regions) {
  ResidentLook look;
  look.regions = std::move(regions);
  look.mappings = {{kHeap, kHeap + 16 * kPage, "[heap]", false, false},
                   {kMapped, kMapped + 16 * kPage, "", false, false},
                   {0x80000, 0x90000, "/usr/lib/libc.so.6", false, false},
                   {0xa0000, 0xb0000, "/memfd:x (deleted)", false, true}};
  return look;
}

struct World {
  ResidentLedger ledger;
  ResidentLives lives = {{1, {17, "server", 1, false, false, 0, {}, 0, true}}};
  ResidentReporter reporter{0};

  void see(const ResidentLook& look) {
    reporter.see(1, lives.at(1), look, ledger);
    reporter.seen_all();
  }
  Report report(const observe_losses& losses = {}, std::uint64_t now_ns = 1'000'000'000) {
    Report report;
    reporter.build(
        lives, ledger, losses, now_ns,
        [](std::uint64_t id) { return id == 0 ? kNone : static_cast<std::uint32_t>(id); }, report);
    return report;
  }
};

double figure(const Report& report, const std::string& name) {
  const auto found = std::ranges::find(report.figures, name, &Figure::name);
  return found == report.figures.end() ? -1 : found->value.value;
}

TEST(ResidentReporter, RowsAreByKindCallAndStackAndSumToTheGrowth) {
  World world;
  const std::vector<ResidentLedger::Range> before = {{kHeap, kHeap + 2 * kPage}};
  world.ledger.begin(1, before, {}, kHeap + 16 * kPage);
  world.lives.at(1).first_bytes = 2 * kPage;
  world.ledger.map(1, {kMapped, kMapped + 16 * kPage}, {5, true, false});
  world.ledger.touch(1, kMapped, {7, Fault::User}, false);
  world.ledger.touch(1, kMapped + kPage, {7, Fault::Kernel}, false);
  world.ledger.touch(1, kHeap + 3 * kPage, {8, Fault::User}, false);
  world.see(look_with({{kHeap, kHeap + kPage, false, false},  // one of before has gone
                       {kHeap + 3 * kPage, kHeap + 5 * kPage, false, false},
                       {kMapped, kMapped + 2 * kPage, false, false},
                       {0x80000, 0x80000 + 3 * kPage, true, false},
                       {0xa0000, 0xa0000 + kPage, true, false}}));
  const auto report = world.report();
  std::map<std::vector<std::string>, double> rows;
  double sum = 0;
  for (const auto& row : report.rows) {
    rows[row.labels] += row.values[1].value;
    sum += row.values[0].value;
  }
  EXPECT_EQ((rows[{"anonymous", "server/17", "#5 (mmap)", "user"}]), 1);
  EXPECT_EQ((rows[{"anonymous", "server/17", "#5 (mmap)", "kernel"}]), 1);
  EXPECT_EQ((rows[{"heap", "server/17", "[heap]", "user"}]), 1);
  EXPECT_EQ((rows[{"heap", "server/17", "[heap]", "not seen"}]), 1);
  EXPECT_EQ((rows[{"file", "server/17", "/usr/lib/libc.so.6", "not seen"}]), 3);
  EXPECT_EQ((rows[{"shared", "server/17", "/memfd:x (deleted)", "not seen"}]), 1);
  EXPECT_EQ(sum, 8 * kPage);
  EXPECT_EQ(figure(report, "leak"), 8 * kPage);
  EXPECT_EQ(figure(report, "gone"), kPage);
  EXPECT_EQ(figure(report, "growth"), 7 * kPage);
  EXPECT_EQ(figure(report, "faults"), 3);
}

TEST(ResidentReporter, WhatAnEndedProcessHeldHasGoneAndItsPeakStays) {
  World world;
  world.ledger.begin(1, {}, {}, 0);
  world.ledger.touch(1, kMapped, {7, Fault::User}, false);
  world.see(look_with({{kMapped, kMapped + 4 * kPage, false, false}}));
  world.see(look_with({{kMapped, kMapped + kPage, false, false}}));
  world.lives.at(1).ended = true;
  world.ledger.end(1);
  world.reporter.ended(1);
  const auto report = world.report();
  EXPECT_EQ(figure(report, "leak"), 0);
  EXPECT_EQ(figure(report, "peak"), 4 * kPage);
  EXPECT_EQ(figure(report, "faults"), 1);
  ASSERT_FALSE(report.rows.empty());
  EXPECT_EQ(report.rows[0].labels[1], "server/17 (ended)");
  EXPECT_EQ(report.rows[0].values[0].value, 0);
  EXPECT_EQ(report.rows[0].values[4].value, 3 * kPage);
}

TEST(ResidentReporter, ThePeakIsOfWhatWasHeldAtOneMoment) {
  World world;
  world.see(look_with({{kMapped, kMapped + 4 * kPage, false, false}}));
  world.lives.at(1).ended = true;
  world.reporter.ended(1);
  world.lives[2] = {18, "next", 2, false, false, 0, {}, 0, true};
  world.reporter.see(2, world.lives.at(2),
                     look_with({{kMapped, kMapped + 3 * kPage, false, false}}), world.ledger);
  world.reporter.seen_all();
  EXPECT_EQ(figure(world.report(), "peak"), 4 * kPage);
}

TEST(ResidentReporter, RowsThatHoldNothingAreLeftOutAboveALimit) {
  World world;
  ResidentLook look;
  for (std::uint64_t file = 0; file < ResidentReporter::kRowsMax; ++file) {
    const auto at = kMapped + 2 * file * kPage;
    look.regions.push_back({at, at + kPage, true, false});
    look.mappings.push_back({at, at + kPage, "/tmp/" + std::to_string(file), false, false});
  }
  world.see(look);
  EXPECT_EQ(world.report().rows.size(), ResidentReporter::kRowsMax);
  world.see(look_with({{0x80000, 0x80000 + kPage, true, false}}));
  const auto report = world.report();
  EXPECT_EQ(report.rows.size(), 1U);
  EXPECT_EQ(figure(report, "leak"), kPage);
  ASSERT_EQ(report.honesty.notes.size(), 1U);
  EXPECT_EQ(report.honesty.notes[0].find("65536 rows"), 0U) << report.honesty.notes[0];
}

TEST(ResidentReporter, OfAForkedProcessTheFirstLookIsTheBegin) {
  World world;
  const std::vector<ResidentLedger::Range> before = {{kHeap, kHeap + 4 * kPage}};
  world.ledger.begin(1, before, {}, 0);
  world.lives.at(1).first_known = false;
  auto look = look_with({{kHeap, kHeap + kPage, false, false}});
  look.status.all = 7 << 20;
  world.see(look);
  look.regions[0].end += 2 * kPage;  // without a fault: more of before than there was
  world.see(look);
  const auto report = world.report();
  EXPECT_EQ(figure(report, "gone"), 0);
  ASSERT_EQ(report.sections[0].lines.size(), 1U);
  const auto& line = report.sections[0].lines[0];
  EXPECT_EQ(line[2], "0 B") << "gone";
  EXPECT_EQ(line[6], "0 B") << "growth of VmRSS";
}

TEST(ResidentReporter, AProcessThatCannotBeSeenMakesFiguresUnreliableUntilItIsOrEnds) {
  World world;
  auto reliable = [&world](std::size_t figure) { return world.report().figures[figure].reliable; };
  world.see(look_with({{kMapped, kMapped + kPage, false, false}}));
  world.reporter.miss(1);
  for (std::size_t figure = 0; figure < 3; ++figure) EXPECT_FALSE(reliable(figure)) << figure;
  EXPECT_NE(world.report().figures[0].help.find("could not be looked at"), std::string::npos);
  world.see(look_with({}));
  EXPECT_TRUE(reliable(0));
  world.reporter.miss(1);
  world.reporter.ended(1);
  EXPECT_TRUE(reliable(0));
}

TEST(ResidentReporter, FaultsOnPagesThatAreThereMakeLeakAndGoneUnreliable) {
  World world;
  world.see(look_with({}));
  world.reporter.doubt_before();
  const auto report = world.report();
  EXPECT_FALSE(report.figures[0].reliable);
  EXPECT_NE(report.figures[0].help.find("numa_balancing"), std::string::npos);
  EXPECT_FALSE(report.figures[1].reliable);
  EXPECT_TRUE(report.figures[2].reliable) << "growth needs no faults";
}

TEST(ResidentReporter, AHugePageOfSharedMemoryBelongsToItsTouchAndOneOfAFileDoesNot) {
  constexpr std::uint64_t kHuge = ResidentLedger::kHugeBytes;
  World world;
  ResidentLook look;
  look.mappings = {{kHuge, 2 * kHuge, "/dev/hugepages/x", false, true},
                   {3 * kHuge, 4 * kHuge, "/usr/bin/x", false, false}};
  look.regions = {{kHuge, 2 * kHuge, true, true}, {3 * kHuge, 4 * kHuge, true, true}};
  world.ledger.touch(1, kHuge + 5 * kPage, {7, Fault::User}, false);
  world.ledger.touch(1, 3 * kHuge + 5 * kPage, {7, Fault::User}, false);
  world.see(look);
  std::map<std::pair<std::string, std::string>, double> pages;
  for (const auto& row : world.report().rows) {
    pages[{row.labels[0], row.labels[3]}] += row.values[1].value;
  }
  EXPECT_EQ((pages[{"shared", "user"}]), 512);
  EXPECT_EQ((pages[{"file", "user"}]), 1);
  EXPECT_EQ((pages[{"file", "not seen"}]), 511);
}

TEST(ResidentReporter, LossesMakeTheFigureUnreliable) {
  World world;
  world.see(look_with({}));
  EXPECT_TRUE(world.report().figures[0].reliable);
  observe_losses losses{};
  losses.ring_full = 1;
  const auto report = world.report(losses);
  EXPECT_EQ(report.figures[0].name, "leak");
  EXPECT_FALSE(report.figures[0].reliable);
  EXPECT_EQ(report.honesty.lost, 1U);
}

TEST(ResidentReporter, RatesAreSinceTheLastReport) {
  World world;
  world.see(look_with({{kMapped, kMapped + kPage, false, false}}));
  (void)world.report({}, 1'000'000'000);
  world.see(look_with({{kMapped, kMapped + 5 * kPage, false, false}}));
  const auto report = world.report({}, 3'000'000'000);
  EXPECT_EQ(figure(report, "growth_rate"), 2 * kPage);
  EXPECT_EQ(report.rows[0].values[3].value, 2 * kPage);
}

TEST(NameMappings, TheFirstCallerThatIsNoAllocatorGivesTheName) {
  Report report;
  for (const char* name : {"mmap", "sysmalloc", "malloc", "load_table", "main"}) {
    Frame frame;
    frame.kind = FrameKind::User;
    frame.places.push_back({name, "", 0, false});
    report.frames.push_back(frame);
  }
  report.stacks = {{{0, 1, 2, 3, 4}, false}, {{0, 1}, true}};
  report.rows = {{{"anonymous", "p/1", "#0 (mmap)", "user"}, kNone, {}},
                 {{"anonymous", "p/1", "#1 (brk)", "user"}, kNone, {}},
                 {{"anonymous", "p/1", "#9 (brk)", "user"}, kNone, {}},
                 {{"file", "p/1", "/lib/x", "user"}, kNone, {}}};
  name_mappings(report);
  EXPECT_EQ(report.rows[0].labels[2], "load_table (mmap)");
  EXPECT_EQ(report.rows[1].labels[2], "sysmalloc (brk)");
  EXPECT_EQ(report.rows[2].labels[2], "#9 (brk)");
  EXPECT_EQ(report.rows[3].labels[2], "/lib/x");
}

TEST(AddResidentSites, TheSiteIsBehindAllocatorsAndWrappers) {
  Report report;
  for (const char* name : {"sysmalloc", "malloc", "load_table", "main"}) {
    Frame frame;
    frame.kind = FrameKind::User;
    frame.places.push_back({name, "", 0, false});
    report.frames.push_back(frame);
  }
  report.dimensions = {"kind"};
  report.stacks = {{{0, 1, 2, 3}, false}};
  report.rows = {{{"heap"}, 0, {}}, {{"file"}, kNone, {}}};
  add_resident_sites(report);
  EXPECT_EQ(report.dimensions, (std::vector<std::string>{"kind", "site"}));
  EXPECT_EQ(report.rows[0].labels[1], "load_table");
  EXPECT_EQ(report.rows[1].labels[1], "-");
}

TEST(ResidentLook, TheBreakEndsWithTheLastMappingOfTheHeap) {
  ResidentLook look;
  EXPECT_EQ(look.break_end(), 0U);
  look.mappings = {{kHeap, kHeap + kPage, "[heap]", false, false},
                   {kHeap + kPage, kHeap + 2 * kPage, "[heap]", false, false},
                   {kMapped, kMapped + kPage, "", false, false}};
  EXPECT_EQ(look.break_end(), kHeap + 2 * kPage);
}

TEST(ResidentLook, FilesOfHugePagesAndOfSharedMemoryAreNoDevices) {
  const auto mappings = parse_mappings(
      "7f0000000000-7f0000200000 rw-s 00000000 00:1f 5        /dev/hugepages/table\n"
      "7f0000200000-7f0000400000 rw-s 00000000 00:1f 6        /dev/hugepages1G/table\n"
      "7f0000400000-7f0000401000 rw-s 00000000 00:17 7        /dev/shm/queue\n"
      "7f0000500000-7f0000700000 rw-s 00000000 00:10 8        /anon_hugepage (deleted)\n");
  ASSERT_EQ(mappings.size(), 4U);
  for (const auto& mapping : mappings) {
    EXPECT_FALSE(mapping.device) << mapping.name;
    EXPECT_TRUE(mapping.in_memory) << mapping.name;
  }
}

TEST(ResidentLook, ReadsWhatMapsSayOfAMapping) {
  const auto mappings = parse_mappings(
      "55d0c0000000-55d0c0001000 rw-p 00000000 00:00 0                          [heap]\n"
      "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"
      "not a mapping\n"
      "7f0000002000-7f0000003000 rw-s 00000000 00:01 12                         /dev/zero "
      "(deleted)\n"
      "7f0000004000-7f0000005000 r--p 00000000 08:01 99       /usr/lib/a name with spaces\n"
      "7f0000006000-7f0000007000 rw-s 00000000 00:06 5        /dev/dri/card0\n"
      "7ffd00000000-7ffd00001000 r--p 00000000 00:00 0                          [vvar]\n");
  ASSERT_EQ(mappings.size(), 6U);
  EXPECT_EQ(mappings[0].name, "[heap]");
  EXPECT_EQ(mappings[1].name, "");
  EXPECT_TRUE(mappings[2].in_memory);
  EXPECT_FALSE(mappings[2].device);
  EXPECT_EQ(mappings[3].name, "/usr/lib/a name with spaces");
  EXPECT_TRUE(mappings[4].device);
  EXPECT_TRUE(mappings[5].device);
}

TEST(ResidentLook, ReadsTheLinesOfStatus) {
  const auto status = parse_status(
      "Name:\tx\nVmRSS:\t    1024 kB\nRssAnon:\t     512 kB\nRssFile:\t 500 kB\nRssShmem:\t12 "
      "kB\n");
  EXPECT_EQ(status, (ResidentStatus{1024 * 1024, 512 * 1024, 500 * 1024, 12 * 1024}));
  EXPECT_EQ(parse_status("VmRSS:\n"), ResidentStatus());
}

/// Resident bytes of a range.
std::uint64_t resident_in(const ResidentLook& look, std::uint64_t start, std::uint64_t end) {
  std::uint64_t sum = 0;
  for (const auto& region : look.regions) {
    const auto from = std::max(region.start, start);
    const auto to = std::min(region.end, end);
    if (from < to) sum += to - from;
  }
  return sum;
}

/// Whether reading untouched memory gives the page of zeros here; some kernels give memory at once.
/// Of two pages of this size that were read.
bool has_page_of_zeros(std::uintptr_t read_page, std::uint64_t page_bytes = kPage) {
  std::array<std::uint64_t, 2> entries{};
  const Fd file(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto page = read_page + i * page_bytes;
    EXPECT_EQ(pread(file.get(), &entries[i], sizeof entries[i],
                    static_cast<off_t>(page / kPage * sizeof entries[i])),
              ssize_t{sizeof entries[i]});
  }
  return entries[0] == entries[1];
}

TEST(ResidentLook, BothWaysSeeWhatIsTouchedAndNoPageOfZeros) {
  constexpr std::size_t kBytes = 64 * kPage;
  void* area = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(area, MAP_FAILED);
  ASSERT_EQ(madvise(area, kBytes, MADV_NOHUGEPAGE), 0);
  auto* bytes = static_cast<volatile char*>(area);
  for (std::size_t page = 0; page < 10; ++page) bytes[page * kPage] = 1;
  for (std::size_t page = 20; page < 30; ++page) (void)bytes[page * kPage];
  const auto start = reinterpret_cast<std::uintptr_t>(area);
  if (geteuid() != 0) GTEST_SKIP() << "frames are hidden from all but root";
  const std::size_t pages = has_page_of_zeros(start + 20 * kPage) ? 10 : 20;
  for (const bool scan : {true, false}) {
    const auto look = look_at(static_cast<std::uint32_t>(getpid()), scan);
    ASSERT_TRUE(look) << look.error().message;
    EXPECT_EQ(resident_in(*look, start, start + kBytes), pages * kPage) << "scan " << scan;
    EXPECT_GT(look->status.all, 0U);
    EXPECT_TRUE(std::ranges::is_sorted(look->regions, {}, &ResidentRegion::start));
  }
  munmap(area, kBytes);
}

TEST(ResidentLook, BothWaysSeeNoHugePageOfZeros) {
  constexpr std::size_t kHuge = ResidentLedger::kHugeBytes;
  if (geteuid() != 0) GTEST_SKIP() << "frames are hidden from all but root";
  void* area = mmap(nullptr, 4 * kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(area, MAP_FAILED);
  ASSERT_EQ(madvise(area, 4 * kHuge, MADV_HUGEPAGE), 0);
  const auto over = reinterpret_cast<std::uintptr_t>(area) % kHuge;
  auto* bytes = static_cast<volatile char*>(area) + (kHuge - over) % kHuge;
  (void)bytes[0];
  (void)bytes[kHuge];
  bytes[2 * kHuge] = 1;
  const auto start = reinterpret_cast<std::uintptr_t>(bytes);
  const bool zeros = has_page_of_zeros(start, kHuge);
  for (const bool scan : {true, false}) {
    const auto look = look_at(static_cast<std::uint32_t>(getpid()), scan);
    ASSERT_TRUE(look) << look.error().message;
    if (zeros) {
      EXPECT_EQ(resident_in(*look, start, start + 2 * kHuge), 0U) << "scan " << scan;
    }
    EXPECT_GT(resident_in(*look, start + 2 * kHuge, start + 3 * kHuge), 0U) << "scan " << scan;
  }
  munmap(area, 4 * kHuge);
  if (!zeros) GTEST_SKIP() << "there is no huge page of zeros here";
}

TEST(ResidentLook, AProcessWhoseMainThreadHasEndedIsSeen) {
  if (geteuid() != 0) GTEST_SKIP() << "frames are hidden from all but root";
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    static std::array<int, 2> pipe_ends;
    pipe_ends = ends;
    pthread_t thread{};
    auto tell = [](void*) -> void* {
      // Until the maps of the main thread are empty.
      const auto path = "/proc/" + std::to_string(getpid()) + "/maps";
      char byte = 0;
      for (bool shown = true; shown;) {
        const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        shown = file && read(file.get(), &byte, 1) > 0;
      }
      (void)!write(pipe_ends[1], "x", 1);
      for (;;) pause();
    };
    if (pthread_create(&thread, nullptr, tell, nullptr) != 0) _exit(1);
    syscall(SYS_exit, 0);
  }
  close(ends[1]);
  char byte = 0;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);
  close(ends[0]);
  const auto look = look_at(static_cast<std::uint32_t>(pid));
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  ASSERT_TRUE(look) << look.error().message;
  EXPECT_GT(look->bytes(), 0U);
  EXPECT_GT(look->status.all, 0U);
}

TEST(ResidentLook, AProcessThatHasEndedIsAnError) {
  const auto look = look_at(0x7ffffff0);
  ASSERT_FALSE(look);
  EXPECT_EQ(look.error().code.value(), ESRCH);
}

}  // namespace
}  // namespace lb::observe
