// SPDX-License-Identifier: Apache-2.0
// Symboliser: frames of this process, of programs that run, have ended or were deleted, of other
// mount namespaces, of the kernel and of records.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "observe/symbols/symboliser.h"
#include "tests/unit/observe/symbols_fixture.h"

namespace lb::observe {

// Outside of the unnamed namespace, for plain names. The frames are this program's own code.
[[gnu::always_inline]] inline std::uint64_t symboliser_test_inner() {
  std::uint64_t pc = 0;
  asm volatile("lea 0(%%rip), %0" : "=r"(pc));
  asm volatile("nop");  // what the address is of
  return pc;
}
[[gnu::noinline]] std::uint64_t symboliser_test_outer() { return symboliser_test_inner(); }

namespace {

using testing::HasSubstr;

/// A Report of single frames, each a leaf of its own stack.
Report report_of(const std::vector<Frame>& frames) {
  Report report;
  report.frames = frames;
  for (std::uint32_t i = 0; i < frames.size(); ++i) report.stacks.push_back({.frames = {i}});
  return report;
}

Report resolved(Symboliser& symboliser, std::uint32_t pid, std::uint64_t address) {
  Report report =
      report_of({{.kind = FrameKind::User, .address = address, .pid = pid, .places = {}}});
  const Status status = symboliser.resolve(report);
  EXPECT_TRUE(status) << status.error().message;
  return report;
}

std::uint32_t own_pid() { return static_cast<std::uint32_t>(::getpid()); }

std::string names(const Frame& frame) {
  std::string out;
  for (const Place& place : frame.places) {
    out += place.function + (place.inlined ? " in " : "");
  }
  return out;
}

class SymboliserOf : public SymbolPrograms {
 protected:
  void expect_outer(const Report& report, bool lines) {
    const Frame& frame = report.frames.at(0);
    if (!lines) {
      EXPECT_EQ(names(frame), "outer");
      return;
    }
    ASSERT_EQ(names(frame), "inner in outer");
    EXPECT_THAT(frame.places[0].file, HasSubstr("probe.c"));
    EXPECT_EQ(frame.places[0].line, kInnerLine);
    EXPECT_EQ(frame.places[1].line, kCallLine);
  }
};

TEST(Symboliser, ResolvesInlinedFunctionsOfItself) {
  Symboliser symboliser;
  const Report report = resolved(symboliser, own_pid(), symboliser_test_outer());
  const Frame& frame = report.frames[0];
  ASSERT_FALSE(frame.places.empty());
  EXPECT_EQ(frame.places.back().function, "lb::observe::symboliser_test_outer()");
  EXPECT_FALSE(frame.places.back().inlined);
  ASSERT_LT(frame.object, report.objects.size());
  EXPECT_EQ(report.objects[frame.object].path, std::filesystem::read_symlink("/proc/self/exe"));
  if (frame.places.back().line == 0) GTEST_SKIP() << "this test has no line information (-g)";
  ASSERT_EQ(frame.places.size(), 2U);
  EXPECT_EQ(frame.places[0].function, "lb::observe::symboliser_test_inner()");
  EXPECT_TRUE(frame.places[0].inlined);
  EXPECT_EQ(frame.places[1].line, frame.places[0].line + 3) << "the line of the call";
}

TEST(Symboliser, ReturnAddressIsOfTheCallBeforeIt) {
  // The first byte of a function: as a leaf it is that function, as a return address it is behind
  // the last byte of the one before.
  const auto start = reinterpret_cast<std::uint64_t>(&symboliser_test_outer);
  const Frame own{.kind = FrameKind::User, .address = start, .pid = own_pid(), .places = {}};
  const auto name_in = [&](std::vector<Stack> stacks) {
    Report report;
    report.frames = {own, own};
    report.frames[0].address = start + 1;
    report.stacks = std::move(stacks);
    Symboliser symboliser;
    EXPECT_TRUE(symboliser.resolve(report));
    return names(report.frames[1]);
  };
  EXPECT_THAT(name_in({{.frames = {1, 0}}}), HasSubstr("symboliser_test_outer"));
  EXPECT_THAT(name_in({}), HasSubstr("symboliser_test_outer"));
  EXPECT_THAT(name_in({{.frames = {0, 1}}}), Not(HasSubstr("symboliser_test_outer")));
  EXPECT_THAT(name_in({{.frames = {1}}, {.frames = {0, 1}}}),
              Not(HasSubstr("symboliser_test_outer")));
  EXPECT_THAT(name_in({{.frames = {99, 1, 99}}}), HasSubstr("symboliser_test_outer"))
      << "an index outside of the table is no frame";
}

TEST(Symboliser, FirstUserFrameBelowKernelFramesIsALeaf) {
  const auto start = reinterpret_cast<std::uint64_t>(&symboliser_test_outer);
  Report report =
      report_of({{.kind = FrameKind::Kernel, .address = 1, .places = {}},
                 {.kind = FrameKind::User, .address = start, .pid = own_pid(), .places = {}}});
  report.stacks = {{.frames = {0, 1}}};
  Symboliser symboliser;
  [[maybe_unused]] const Status status = symboliser.resolve(report);  // 1 is no kernel address
  EXPECT_THAT(names(report.frames[1]), HasSubstr("symboliser_test_outer"));
  EXPECT_TRUE(report.frames[0].places.empty());
}

TEST(Symboliser, LeavesWhatItCannotResolve) {
  Symboliser symboliser;
  EXPECT_TRUE(resolved(symboliser, own_pid(), 16).frames[0].places.empty());
  const Report gone = resolved(symboliser, 0x7fffffff, symboliser_test_outer());
  EXPECT_TRUE(gone.frames[0].places.empty());
  EXPECT_EQ(gone.frames[0].object, kNone);
  Report broken = report_of({{.kind = FrameKind::User, .object = 5, .offset = 1, .places = {}}});
  EXPECT_TRUE(symboliser.resolve(broken));
  EXPECT_TRUE(broken.frames[0].places.empty());
  Report empty;
  EXPECT_TRUE(symboliser.resolve(empty));
  EXPECT_FALSE(symboliser.learn(0x7fffffff));
}

TEST(Symboliser, TouchesNothingThatIsResolved) {
  Symboliser symboliser;
  Report report = resolved(symboliser, own_pid(), symboliser_test_outer());
  const Report before = report;
  EXPECT_TRUE(symboliser.resolve(report));
  EXPECT_EQ(report, before);
}

TEST(Symboliser, ResolvesTheVdso) {
  const std::uint64_t vdso = ::getauxval(AT_SYSINFO_EHDR);
  if (vdso == 0) GTEST_SKIP() << "no vDSO";
  Symboliser symboliser;
  std::string all;
  for (std::uint64_t offset = 0; offset < 4096; offset += 16) {
    const Report report = resolved(symboliser, own_pid(), vdso + offset);
    all += names(report.frames[0]) + " ";
    ASSERT_EQ(report.objects.at(0).path, "[vdso]");
  }
  EXPECT_THAT(all, HasSubstr("clock_gettime"));
}

TEST(Symboliser, ResolvesTheKernelAndItsModules) {
  Symboliser symboliser;
  const auto symbols = symboliser.kernel();
  if (!symbols) GTEST_SKIP() << symbols.error().message;
  const auto start = (*symbols)->address_of("_stext");
  ASSERT_TRUE(start);
  Report report = report_of({{.kind = FrameKind::Kernel, .address = *start, .places = {}},
                             {.kind = FrameKind::Kernel, .address = 7, .places = {}}});
  ASSERT_TRUE(symboliser.resolve(report));
  EXPECT_EQ(names(report.frames[0]), (*symboliser.kernel())->find(*start)->name);
  EXPECT_EQ(report.objects.at(report.frames[0].object).path, "[kernel]");
  EXPECT_EQ(names(report.frames[1]), "");
  EXPECT_GT(symboliser.memory_bytes(), 1U << 20);
}

TEST(Symboliser, SameAnswersWithNoRoomAtAll) {
  Symboliser small({.objects = 100, .files = 0, .bytes = 0, .places = 1});
  Symboliser large;
  std::vector<Frame> frames;
  const auto start = reinterpret_cast<std::uint64_t>(&symboliser_test_outer);
  const auto libc = reinterpret_cast<std::uint64_t>(&::strtoull);
  for (std::uint64_t i = 0; i < 20; ++i) {
    for (const std::uint64_t from : {start, libc}) {
      frames.push_back(
          {.kind = FrameKind::User, .address = from + 4 * i, .pid = own_pid(), .places = {}});
    }
  }
  Report one = report_of(frames);
  Report other = report_of(frames);
  ASSERT_TRUE(small.resolve(one));
  ASSERT_TRUE(large.resolve(other));
  EXPECT_EQ(one, other);
  EXPECT_LT(small.memory_bytes(), large.memory_bytes());
}

TEST_F(SymboliserOf, AStaticProgramAtAFixedAddress) {
  if (!compile("fixed", "-static -no-pie")) GTEST_SKIP() << "no static libc";
  const WaitingProgram program(path("fixed"));
  ASSERT_NE(program.address(), 0U);
  Symboliser symboliser;
  const Report report = resolved(symboliser, program.pid(), program.address());
  expect_outer(report, true);
  EXPECT_EQ(report.frames[0].offset, program.address());
}

TEST_F(SymboliserOf, AStaticProgramAtAnyAddress) {
  if (!compile("any", "-static-pie")) GTEST_SKIP() << "no static libc";
  const WaitingProgram program(path("any"));
  ASSERT_NE(program.address(), 0U);
  Symboliser symboliser;
  const Report report = resolved(symboliser, program.pid(), program.address());
  expect_outer(report, true);
  EXPECT_LT(report.frames[0].offset, program.address());
}

TEST_F(SymboliserOf, ASharedProgramWithoutBuildId) {
  ASSERT_TRUE(compile("shared", "-Wl,--build-id=none"));
  const WaitingProgram program(path("shared"));
  ASSERT_NE(program.address(), 0U);
  Symboliser symboliser;
  const Report report = resolved(symboliser, program.pid(), program.address());
  expect_outer(report, true);
  EXPECT_EQ(report.objects.at(0), (MappedObject{.path = path("shared"), .build_id = ""}));
}

TEST_F(SymboliserOf, AProgramThatHasEnded) {
  ASSERT_TRUE(compile("ended", ""));
  WaitingProgram program(path("ended"));
  ASSERT_NE(program.address(), 0U);
  Symboliser symboliser;
  const std::uint32_t pid = program.pid();
  ASSERT_TRUE(symboliser.learn(pid));
  program.stop();
  ASSERT_TRUE(std::filesystem::remove(path("ended")));
  EXPECT_FALSE(symboliser.learn(pid));
  expect_outer(resolved(symboliser, pid, program.address()), true);
}

TEST_F(SymboliserOf, AProgramWhoseFileIsDeletedOrAnother) {
  ASSERT_TRUE(compile("deleted", ""));
  const WaitingProgram program(path("deleted"));
  ASSERT_NE(program.address(), 0U);
  // In its place: a program with other functions at its addresses.
  ASSERT_TRUE(
      run("rm deleted && echo 'int main(void) { return 0; }' > other.c && "
          "cc -g -o deleted other.c"));
  Symboliser symboliser;
  const Report report = resolved(symboliser, program.pid(), program.address());
  if (::access(fmt::format("/proc/{}/map_files/.", program.pid()).c_str(), R_OK) != 0 ||
      ::geteuid() != 0) {
    EXPECT_EQ(names(report.frames[0]), "") << "never the names of another file";
    GTEST_SKIP() << "no CAP_SYS_ADMIN: the mapped file itself cannot be opened";
  }
  expect_outer(report, true);
  EXPECT_EQ(report.objects.at(0).path, path("deleted"));
}

TEST_F(SymboliserOf, ARecordedFrameByTheBuildIdOfItsPath) {
  ASSERT_TRUE(compile("recorded", ""));
  const WaitingProgram program(path("recorded"));
  ASSERT_NE(program.address(), 0U);
  Symboliser live;
  Report record = resolved(live, program.pid(), program.address());
  record.frames[0].places.clear();
  record.frames[0].pid = 0x7fffffff;
  ASSERT_FALSE(record.objects.at(0).build_id.empty());

  Symboliser replay;
  Report again = record;
  ASSERT_TRUE(replay.resolve(again));
  expect_outer(again, true);

  Report other_build = record;
  other_build.objects[0].build_id.back() ^= 1;
  ASSERT_TRUE(replay.resolve(other_build));
  EXPECT_EQ(names(other_build.frames[0]), "") << "the file at the path is of another build";

  Report no_id = record;
  no_id.objects[0].build_id.clear();
  ASSERT_TRUE(replay.resolve(no_id));
  EXPECT_EQ(names(no_id.frames[0]), "") << "nothing tells that the file is the same";
}

TEST_F(SymboliserOf, AContainerWithItsDebugFile) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for a mount namespace";
  ASSERT_TRUE(compile("inside", ""));
  ASSERT_TRUE(
      run("objcopy --only-keep-debug inside inside.debug && "
          "objcopy --strip-all --add-gnu-debuglink=inside.debug inside && mkdir mnt"));
  const std::string mount_point = path("mnt");
  const auto enter = [&] {
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, nullptr) == 0 &&
           run("mkdir mnt/.debug && cp inside mnt && mv inside.debug mnt/.debug");
  };
  WaitingProgram program(mount_point + "/inside", enter);
  if (program.address() == 0) GTEST_SKIP() << "no mount namespace";
  ASSERT_FALSE(std::filesystem::exists(mount_point + "/inside"));
  const std::uint32_t pid = program.pid();
  {
    Symboliser symboliser;
    const Report report = resolved(symboliser, pid, program.address());
    expect_outer(report, true);
    EXPECT_EQ(report.objects.at(0).path, mount_point + "/inside");
  }
  Symboliser later;
  ASSERT_TRUE(later.learn(pid));
  program.stop();
  expect_outer(resolved(later, pid, program.address()), true);
}

}  // namespace
}  // namespace lb::observe
