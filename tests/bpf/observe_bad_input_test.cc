// SPDX-License-Identifier: Apache-2.0
// What users get wrong, and what a machine lacks, with `lbctl observe` as a whole: it says what is
// wrong, ends with the right status, no figure is silently wrong, and the traced program goes on
// unharmed (observe_bad_input_target.c ends with status 7 then).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/fd.h"
#include "observe/output/json.h"
#include "observe/report.h"
#include "tests/support/eventually.h"

namespace lb::observe {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

constexpr std::chrono::seconds kLimit{60};
constexpr int kUnharmed = 7;
constexpr int kFailed = 1;
constexpr int kWrongUse = 2;
// What the target does for the letter l, and for s.
constexpr double kBlocks = 100;
constexpr double kBlockBytes = 1000;
constexpr double kCalls = 200;
constexpr double kStacks = 32768;
constexpr double kStackBytes = 16;
constexpr uid_t kNobody = 65534;

std::string built(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}
std::string lbctl() { return built("../control/lbctl"); }
std::string target(const std::string& kind) { return built("observe_bad_input_" + kind); }

std::string contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

/// A folder that goes with the object.
class Folder {
 public:
  Folder() {
    std::string name = ::testing::TempDir() + "bad_input.XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A program that runs, its output and messages in files; killed with the object.
class Running {
 public:
  /// `before`: what the child does before it executes; false: it cannot.
  explicit Running(Words words, const std::function<bool()>& before = {}) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::array<int, 2> in{};
    if (pipe2(in.data(), O_CLOEXEC) != 0) std::abort();
    constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    const Fd out(::open(folder_.file("out").c_str(), kFlags, 0600));
    const Fd err(::open(folder_.file("err").c_str(), kFlags, 0600));
    if (!out || !err) std::abort();
    ::signal(SIGPIPE, SIG_IGN);  // a target that is gone is an error of write(2)
    pid_ = fork();
    if (pid_ == 0) {
      ::signal(SIGPIPE, SIG_DFL);
      dup2(in[0], STDIN_FILENO);
      dup2(out.get(), STDOUT_FILENO);
      dup2(err.get(), STDERR_FILENO);
      if (before && !before()) _exit(126);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
    ::close(in[0]);
    in_.reset(in[1]);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (pid_ <= 0) return;
    kill(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] std::string pid() const { return std::to_string(pid_); }
  [[nodiscard]] std::string out() const { return contents(folder_.file("out")); }
  [[nodiscard]] std::string err() const { return contents(folder_.file("err")); }
  void kill(int signal) const { ::kill(pid_, signal); }
  /// False: it has ended without.
  [[nodiscard]] bool writes(const std::string& text) const {
    bool ended = false;
    const bool seen = test::eventually(
        [&] {
          ended = has_ended();  // before the look: what it wrote last counts
          return out().contains(text) || ended;
        },
        kLimit);
    return seen && (!ended || out().contains(text));
  }
  /// Gives the target a job and waits until it is done.
  [[nodiscard]] bool does(char job) {
    const std::string before = out();
    return ::write(in_.get(), &job, 1) == 1 && writes(before + job);
  }
  /// Its exit status, or 1000 and the signal; its input ends. Nothing: it does not end.
  std::optional<int> end() {
    in_.reset();
    int status = 0;
    if (!test::eventually([&] { return wait4(pid_, &status, WNOHANG, &usage_) == pid_; }, kLimit)) {
      return std::nullopt;
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  /// Of one that has ended.
  [[nodiscard]] long peak_kib() const { return usage_.ru_maxrss; }

 private:
  [[nodiscard]] bool has_ended() const {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid_;
  }

  Folder folder_;
  pid_t pid_ = -1;
  Fd in_;
  rusage usage_{};
};

Words observe(const Words& words) {
  Words all{lbctl(), "observe"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

struct Ended {
  std::optional<int> status;
  std::string out;
  std::string err;
  long peak_kib = 0;
};

Ended run(const Words& words, const std::function<bool()>& before = {}) {
  Running lbctl(observe(words), before);
  const auto status = lbctl.end();
  return {status, lbctl.out(), lbctl.err(), lbctl.peak_kib()};
}

Report last_report(const std::string& text) {
  std::string_view lines = text;
  while (lines.ends_with('\n')) lines.remove_suffix(1);
  lines.remove_prefix(lines.rfind('\n') + 1);
  auto report = from_json(lines);
  EXPECT_TRUE(report) << (report ? "" : report.error().message) << "\n" << text.substr(0, 500);
  return report ? std::move(*report) : Report{};
}

struct Traced {
  Ended tracer;
  Report report;
};

/// `lbctl observe leak` on a command, which must not be harmed; its report is read from a file.
Traced trace(const Words& options, const Words& command) {
  const Folder folder;
  Words words{"leak", "-o", "jsonl", "--output", folder.file("report")};
  words.insert(words.end(), options.begin(), options.end());
  words.emplace_back("--");
  words.insert(words.end(), command.begin(), command.end());
  Traced traced{run(words), {}};
  EXPECT_THAT(traced.tracer.err, HasSubstr("the command has ended: exit status 7"));
  traced.report = last_report(contents(folder.file("report")));
  return traced;
}

double figure(const Report& report, const std::string& name) {
  const auto found = std::ranges::find(report.figures, name, &Figure::name);
  EXPECT_NE(found, report.figures.end()) << name;
  return found == report.figures.end() ? -1 : found->value.value;
}

std::string notes(const Report& report) {
  std::string all;
  for (const std::string& note : report.honesty.notes) all += note + "\n";
  return all;
}

/// The row of the blocks that the target keeps.
const Row* kept_row(const Report& report) {
  const auto row = std::ranges::find_if(report.rows, [](const Row& one) {
    return one.values[0].value == kBlocks * kBlockBytes && one.values[1].value == kBlocks;
  });
  return row == report.rows.end() ? nullptr : &*row;
}

std::vector<std::string> functions(const Report& report, const Row& row) {
  std::vector<std::string> names;
  if (row.stack == kNone) return names;
  for (const std::uint32_t at : report.stacks[row.stack].frames) {
    for (const Place& place : report.frames[at].places) names.push_back(place.function);
  }
  return names;
}

bool attached(const std::string& report) {
  return test::eventually([&] { return contents(report).contains('\n'); }, kLimit);
}

// ---- processes --------------------------------------------------------------------------------

TEST(ObserveBadInput, SaysThatAProcessIsGone) {
  std::string pid;
  {
    Running gone({target("plain")});
    pid = gone.pid();
    ASSERT_EQ(gone.end(), kUnharmed);
  }
  for (const Words& tracer : {Words{"leak"}, Words{"leak", "--kernel"}, Words{"pages"}}) {
    Words words = tracer;
    words.insert(words.end(), {"-p", pid});
    const Ended ended = run(words);
    EXPECT_EQ(ended.status, kFailed);
    EXPECT_THAT(ended.err, HasSubstr("there is no process " + pid));
    EXPECT_EQ(ended.out, "");
  }
}

TEST(ObserveBadInput, EndsWithAProcessAndKeepsWhatItHeld) {
  const Folder folder;
  const std::string file = folder.file("report");
  Running program({target("plain")});
  ASSERT_TRUE(program.does('?'));
  Running tracer(observe(
      {"leak", "-p", program.pid(), "--interval", "100ms", "-o", "jsonl", "--output", file}));
  ASSERT_TRUE(attached(file)) << tracer.err();
  ASSERT_TRUE(program.does('l'));
  program.kill(SIGKILL);
  EXPECT_EQ(tracer.end(), 0) << tracer.err();
  EXPECT_THAT(tracer.err(), HasSubstr("process " + program.pid() + " has ended"));
  const Report report = last_report(contents(file));
  EXPECT_EQ(figure(report, "leak"), kBlocks * kBlockBytes);
  EXPECT_EQ(figure(report, "blocks"), kBlocks);
  EXPECT_EQ(report.honesty.missed + report.honesty.map_full + report.honesty.lost, 0U);
  const Row* row = kept_row(report);
  ASSERT_NE(row, nullptr);
  EXPECT_THAT(functions(report, *row), ::testing::Contains("leak_here"));
}

TEST(ObserveBadInput, RefusesA32BitProcess) {
  if (access(target("32bit").c_str(), X_OK) != 0) {
    GTEST_SKIP() << "no compiler for 32-bit programs when this was built";
  }
  Running program({target("32bit")});
  if (!program.does('?')) GTEST_SKIP() << "this kernel runs no 32-bit programs";
  const Ended ended = run({"leak", "-p", program.pid()});
  EXPECT_EQ(ended.status, kFailed);
  EXPECT_THAT(ended.err, HasSubstr("is 32-bit code: only 64-bit programs can be traced"));
  EXPECT_TRUE(program.does('?'));
  EXPECT_EQ(program.end(), kUnharmed);
}

// ---- programs and libraries -------------------------------------------------------------------

TEST(ObserveBadInput, OfAStrippedProgramFiguresAreRightAndAddressesStandForNames) {
  const Traced traced = trace({}, {target("stripped"), "l"});
  ASSERT_EQ(traced.tracer.status, 0) << traced.tracer.err;
  const Report& report = traced.report;
  EXPECT_EQ(figure(report, "leak"), kBlocks * kBlockBytes);
  EXPECT_EQ(figure(report, "blocks"), kBlocks);
  const Row* row = kept_row(report);
  ASSERT_NE(row, nullptr);
  ASSERT_NE(row->stack, kNone);
  int unnamed = 0;
  for (const std::uint32_t at : report.stacks[row->stack].frames) {
    const Frame& frame = report.frames[at];
    if (frame.object == kNone || !report.objects[frame.object].path.ends_with("_stripped")) {
      continue;
    }
    ++unnamed;
    EXPECT_TRUE(frame.places.empty());
    EXPECT_NE(frame.offset, 0U);
    EXPECT_NE(report.objects[frame.object].build_id, "");
  }
  EXPECT_GE(unnamed, 2);  // leak_here (inlined or not), main, _start
}

TEST(ObserveBadInput, OfAStaticProgramWithSymbolsFiguresAreRight) {
  const Traced traced = trace({}, {target("static"), "l"});
  ASSERT_EQ(traced.tracer.status, 0) << traced.tracer.err;
  EXPECT_GE(figure(traced.report, "leak"), kBlocks * kBlockBytes);  // and what its C library keeps
  const Row* row = kept_row(traced.report);
  ASSERT_NE(row, nullptr);
  EXPECT_THAT(functions(traced.report, *row), ::testing::Contains("leak_here"));
}

TEST(ObserveBadInput, OfAStaticStrippedProgramItSaysThatNoAllocatorIsFound) {
  Running program({target("static_stripped")});
  ASSERT_TRUE(program.does('l'));
  const Ended ended = run({"leak", "-p", program.pid()});
  EXPECT_EQ(ended.status, kFailed);
  EXPECT_THAT(ended.err, HasSubstr("no allocator function found"));
  EXPECT_THAT(ended.err, HasSubstr("--alloc"));
  EXPECT_TRUE(program.does('l'));
  EXPECT_EQ(program.end(), kUnharmed);
  // As a command it runs, and the report says that it says nothing.
  const Traced traced = trace({}, {target("static_stripped"), "l"});
  EXPECT_THAT(notes(traced.report), HasSubstr("no allocator function found"));
  const Ended judged = run({"leak", "--fail-if", "leak > 1", "--", target("static_stripped"), "l"});
  EXPECT_EQ(judged.status, kFailed);
  EXPECT_THAT(judged.err, HasSubstr("cannot decide"));
}

TEST(ObserveBadInput, RefusesALibraryWithoutTheFunctions) {
  Running program({target("plain")});
  ASSERT_TRUE(program.does('?'));
  for (const std::string& file : {target("nothing.so"), std::string("/proc/self/status")}) {
    for (const Words& of : {Words{"-p", program.pid()}, Words{"--", target("plain"), "l"}}) {
      Words words{"leak", "--alloc", file};
      words.insert(words.end(), of.begin(), of.end());
      const Ended ended = run(words);
      EXPECT_EQ(ended.status, kFailed) << ended.out;
      EXPECT_THAT(ended.err, HasSubstr("--alloc"));
      EXPECT_THAT(ended.err, HasSubstr(file));
    }
  }
  if (access(target("32bit").c_str(), R_OK) == 0) {
    const Ended ended = run({"leak", "--alloc", target("32bit"), "-p", program.pid()});
    EXPECT_EQ(ended.status, kFailed);
    EXPECT_THAT(ended.err, HasSubstr("is 32-bit code"));
  }
  const Ended prefix = run({"leak", "--alloc", "nobody_", "-p", program.pid()});
  EXPECT_EQ(prefix.status, kFailed);
  EXPECT_THAT(prefix.err, HasSubstr("nobody_malloc"));
  EXPECT_TRUE(program.does('l'));
  EXPECT_EQ(program.end(), kUnharmed);
}

// ---- the machine ------------------------------------------------------------------------------

const std::vector<Words> kTracers = {{"leak", "--kernel"}, {"pages"}, {"leak"}};

/// Each tracer on the process, for a short while if it could.
Ended attempt(const Words& tracer, const Running& program, const std::function<bool()>& before) {
  Words words = tracer;
  words.insert(words.end(), {"-p", program.pid(), "--duration", "1s"});
  return run(words, before);
}

TEST(ObserveBadInput, SaysThatTheKernelHasNoTypes) {
  const auto without_types = [] {
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("none", "/sys/kernel/btf", "tmpfs", 0, nullptr) == 0;
  };
  Running program({target("plain")});
  ASSERT_TRUE(program.does('?'));
  for (const Words& tracer : kTracers) {
    const Ended ended = attempt(tracer, program, without_types);
    EXPECT_EQ(ended.status, kFailed) << ended.out;
    EXPECT_THAT(ended.err, ContainsRegex("lbctl: observe [a-z]+: .*BTF"));
  }
  EXPECT_TRUE(program.does('l'));
  EXPECT_EQ(program.end(), kUnharmed);
}

bool become_nobody() {
  return setgroups(0, nullptr) == 0 && setgid(kNobody) == 0 && setuid(kNobody) == 0;
}

TEST(ObserveBadInput, SaysThatItMayNot) {
  Running program({target("plain")});
  ASSERT_TRUE(program.does('?'));
  if (attempt({"--help"}, program, become_nobody).status == 127) {
    GTEST_SKIP() << "an ordinary user cannot reach " << lbctl();
  }
  for (const Words& tracer : kTracers) {
    const Ended ended = attempt(tracer, program, become_nobody);
    EXPECT_EQ(ended.status, kFailed) << ended.out;
    EXPECT_THAT(ended.err, ContainsRegex("root|CAP_[A-Z]+"));
    EXPECT_EQ(ended.out, "");
  }
  const Ended self = run({"self", "--duration", "1s"}, become_nobody);
  EXPECT_EQ(self.status, kFailed);
  EXPECT_THAT(self.err, HasSubstr("not permitted"));
  EXPECT_TRUE(program.does('l'));
  EXPECT_EQ(program.end(), kUnharmed);
}

// ---- limits -----------------------------------------------------------------------------------

TEST(ObserveBadInput, CountsBlocksThatFindNoRoom) {
  constexpr double kRoom = 10;
  const Words command{target("plain"), "l"};
  const Traced traced = trace({"--blocks-max", "10"}, command);
  ASSERT_EQ(traced.tracer.status, 0) << traced.tracer.err;
  EXPECT_EQ(figure(traced.report, "blocks"), kRoom);
  EXPECT_EQ(figure(traced.report, "leak"), kRoom * kBlockBytes);
  // Those kept, and those freed at once while the map was full.
  EXPECT_GE(traced.report.honesty.map_full, 2 * (kBlocks - kRoom));
  EXPECT_LE(traced.report.honesty.map_full, kCalls);
  EXPECT_THAT(notes(traced.report), HasSubstr("lower bound"));
  // Calls are counted all the same.
  double calls = 0;
  for (const Row& row : traced.report.rows) calls += row.values[2].value;
  EXPECT_GE(calls, kCalls);
  // A bound holds as far as it goes; who must not pass over the loss names it.
  EXPECT_EQ(run({"leak", "--blocks-max", "10", "--fail-if", "map_full > 0", "--", command[0], "l"})
                .status,
            4);
}

TEST(ObserveBadInput, CountsStacksThatFindNoRoom) {
  const Traced traced = trace({"--stacks-max", "10"}, {target("plain"), "ls"});
  ASSERT_EQ(traced.tracer.status, 0) << traced.tracer.err;
  const Report& report = traced.report;
  EXPECT_EQ(figure(report, "blocks"), kBlocks + kStacks);
  EXPECT_EQ(figure(report, "leak"), kBlocks * kBlockBytes + kStacks * kStackBytes);
  EXPECT_GE(report.honesty.stacks_lost, kStacks - 10);
  EXPECT_EQ(report.honesty.map_full, 0U);
}

TEST(ObserveBadInput, KeepsItsMemoryUnderTensOfThousandsOfStacks) {
  constexpr double kMemoryMax = 64 << 20;
  constexpr long kPeakKibMax = 256 << 10;
  const Traced traced = trace({}, {target("plain"), "s"});
  ASSERT_EQ(traced.tracer.status, 0) << traced.tracer.err;
  const Report& report = traced.report;
  const double lost = static_cast<double>(report.honesty.stacks_lost);
  EXPECT_EQ(figure(report, "leak"), kStacks * kStackBytes);
  EXPECT_EQ(figure(report, "blocks"), kStacks);
  // 16,384 are kept, but for those of the C library's own start.
  EXPECT_GE(lost, kStacks - 16384);
  EXPECT_LE(lost, kStacks - 16384 + 100);
  EXPECT_LE(report.honesty.memory_bytes, kMemoryMax);
  EXPECT_LE(traced.tracer.peak_kib, kPeakKibMax);
  ::testing::Test::RecordProperty("memory_bytes", std::to_string(report.honesty.memory_bytes));
  ::testing::Test::RecordProperty("peak_kib", std::to_string(traced.tracer.peak_kib));
  const Folder folder;
  const Ended table = run({"leak", "--output", folder.file("table"), "--", target("plain"), "s"});
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_THAT(contents(folder.file("table")), ContainsRegex("stacks lost 16[0-9][0-9][0-9],"));
  EXPECT_EQ(report.honesty.map_full, 0U) << notes(report);
}

// ---- where the report goes --------------------------------------------------------------------

/// In a mount namespace of its own: a disk of 64 KiB there.
std::function<bool()> small_disk(const std::string& folder) {
  return [folder] {
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("none", folder.c_str(), "tmpfs", 0, "size=64k") == 0;
  };
}

/// As the tracer sees it.
std::string inside(const Running& tracer, const std::string& path) {
  return "/proc/" + tracer.pid() + "/root" + path;
}

TEST(ObserveBadInput, SaysThatTheDiskIsFull) {
  Running program({target("plain")});
  ASSERT_TRUE(program.does('?'));
  for (const std::string option : {"--output", "--record"}) {
    const Folder folder;
    const Folder kept;
    const std::string file = folder.file("report");
    Words words{"leak", "-p", program.pid(), "--interval", "10ms", option, file, "-o", "jsonl"};
    if (option == "--record") words.insert(words.end(), {"--output", kept.file("report")});
    Running tracer(observe(words), small_disk(folder.path()));
    // What is in the small disk goes with the tracer: held open, the last of it is kept.
    Fd record;
    ASSERT_TRUE(test::eventually(
        [&] {
          record.reset(::open(inside(tracer, file).c_str(), O_RDONLY | O_CLOEXEC));
          return static_cast<bool>(record);
        },
        kLimit))
        << tracer.err();
    const Ended ended{tracer.end(), tracer.out(), tracer.err()};
    EXPECT_EQ(ended.status, kFailed);
    EXPECT_THAT(ended.err, HasSubstr(file));
    EXPECT_THAT(ended.err, HasSubstr("No space left on device"));
    if (option == "--record") {
      EXPECT_THAT(ended.err, ContainsRegex("[1-9][0-9]* reports? kept"));
      const std::string copy = kept.file("record");
      std::filesystem::copy_file("/proc/self/fd/" + std::to_string(record.get()), copy);
      const Ended replay = run({"leak", "--replay", copy});
      EXPECT_EQ(replay.status, 0) << replay.err;
      EXPECT_THAT(replay.err, Not(HasSubstr("cut off")));
    }
  }
  EXPECT_TRUE(program.does('l'));
  EXPECT_EQ(program.end(), kUnharmed);
}

TEST(ObserveBadInput, NamesThatAreNotThereAreToldBeforeTheCommandRuns) {
  const std::vector<std::pair<Words, std::string>> kWrong = {
      {{"--by", "fucntion"}, "no dimension"},
      {{"--sort", "byts"}, "did you mean bytes"},
      {{"--fail-if", "leek > 1"}, "did you mean leak"}};
  for (const auto& [options, said] : kWrong) {
    Words words = {"leak"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", target("plain"), "l"});
    const Ended ended = run(words);
    EXPECT_EQ(ended.status, kWrongUse);
    EXPECT_THAT(ended.err, HasSubstr(said));
    EXPECT_THAT(ended.err, Not(HasSubstr("the command has ended")));
  }
}

TEST(ObserveBadInput, ARecordTakesNoOptionsOfATracer) {
  const Folder folder;
  const std::string kept = folder.file("report");
  std::ofstream(kept) << "kept";
  for (const Words& options : {Words{"--suppressions", "none"}, Words{"--older", "1s"},
                               Words{"--duration", "1s"}, Words{"--budget", "3%"}}) {
    Words words = {"leak", "--replay", folder.file("none"), "--output", kept};
    words.insert(words.end(), options.begin(), options.end());
    const Ended ended = run(words);
    EXPECT_EQ(ended.status, kWrongUse) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("--replay shows what was recorded"));
  }
  const Ended missing = run({"leak", "--replay", folder.file("none"), "--output", kept});
  EXPECT_EQ(missing.status, kFailed);
  EXPECT_EQ(std::filesystem::file_size(kept), 4U);  // what was there is there still
}

TEST(ObserveBadInput, SaysThatNothingCanBeWritten) {
  for (const std::string option : {"--output", "--record"}) {
    const Ended ended = run({"leak", option, "/dev/full", "--", target("plain"), "l"});
    EXPECT_EQ(ended.status, kFailed);
    EXPECT_THAT(ended.err, HasSubstr("/dev/full"));
    EXPECT_THAT(ended.err, HasSubstr("No space left on device"));
    // A record is opened, and its head written, before the command is let go.
    const bool ran = ended.err.find("the command has ended: exit status 7") != std::string::npos;
    EXPECT_EQ(ran, option == "--output") << ended.err;
  }
  const Ended out = run({"leak", "--", target("plain"), "l"}, [] {
    const Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
    return full && dup2(full.get(), STDOUT_FILENO) == STDOUT_FILENO;
  });
  EXPECT_EQ(out.status, kFailed);
  EXPECT_THAT(out.err, HasSubstr("stdout"));
  const Ended nowhere = run({"leak", "--output", "/nowhere/report", "--", target("plain"), "l"});
  EXPECT_EQ(nowhere.status, kFailed);
  EXPECT_THAT(nowhere.err, HasSubstr("/nowhere/report"));
  EXPECT_EQ(run({"leak", "--since-mark", "--top", "x", "--", target("plain")}).status, kWrongUse);
}

}  // namespace
}  // namespace lb::observe
