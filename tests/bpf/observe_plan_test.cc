// SPDX-License-Identifier: Apache-2.0
// The attach planner on real processes: this program, started again as the target (with the
// allocator under test in LD_PRELOAD), waits on its standard input while the probes are attached.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bpf/test_uprobe.skel.h"
#include "dataplane/base/bpf_object_uprobe.h"
#include "dataplane/base/fd.h"
#include "observe/plan/planner.h"

namespace lb::observe {
namespace {

constexpr const char* kTarget = "LB_PLAN_TARGET";
const std::string kLib = "/usr/lib/x86_64-linux-gnu/";

// ---- the target -------------------------------------------------------------------------------

constexpr int kMallocs = 100;
constexpr int kCallocs = 50;
constexpr int kReallocs = 30;
constexpr int kAligned = 20;
constexpr std::size_t kMallocBytes = 12'345;
constexpr std::size_t kCallocCount = 7;
constexpr std::size_t kCallocBytes = 1'111;
constexpr std::size_t kReallocBytes = 23'456;
constexpr std::size_t kAlignment = 128;
constexpr std::size_t kAlignedBytes = 4'480;

/// What the target did, to be compared with what the probes saw.
struct Truth {
  std::uint64_t malloc_pointers = 0;  // xor
  std::uint64_t calloc_pointers = 0;
  std::uint64_t frees = 0;
  std::uint64_t free_pointers = 0;
  std::uint64_t good = 1;  // own checks
  std::uint64_t operations = 0;
  double ns = 0;  // of an operation
};

std::uint64_t number(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

// The compiler knows malloc and leaves calls out whose result is not used.
void* (*volatile call_malloc)(std::size_t) = std::malloc;
void (*volatile call_free)(void*) = std::free;

void give_back(void* pointer, Truth& truth) {
  ++truth.frees;
  truth.free_pointers ^= number(pointer);
  call_free(pointer);
}

void count_calls(Truth& truth) {
  std::array<void*, 32> held{};
  std::size_t at = 0;
  auto hold = [&](void* pointer) {
    void*& place = held.at(at++ % held.size());
    give_back(place, truth);
    place = pointer;
  };
  for (int i = 0; i < kMallocs; ++i) {
    void* pointer = call_malloc(kMallocBytes);
    truth.malloc_pointers ^= number(pointer);
    hold(pointer);
  }
  for (int i = 0; i < kCallocs; ++i) {
    void* pointer = std::calloc(kCallocCount, kCallocBytes);
    truth.calloc_pointers ^= number(pointer);
    hold(pointer);
  }
  for (int i = 0; i < kReallocs; ++i) {
    void*& place = held.at(static_cast<std::size_t>(i) % held.size());
    if (void* moved = std::realloc(place, kReallocBytes); moved != nullptr) place = moved;
  }
  for (int i = 0; i < kAligned; ++i) {
    void* pointer = nullptr;
    if (posix_memalign(&pointer, kAlignment, kAlignedBytes) != 0) truth.good = 0;
    hold(pointer);
    hold(std::aligned_alloc(kAlignment, kAlignedBytes));
  }
  for (void* pointer : held) give_back(pointer, truth);
}

struct Guard {
  std::unique_ptr<std::array<char, 100>> block = std::make_unique<std::array<char, 100>>();
};

bool catches_bad_alloc() {
  volatile std::size_t too_much = std::numeric_limits<std::size_t>::max() / 2;
  Guard guard;
  try {
    char* volatile never = new char[too_much];  // volatile, or the pair may be left out
    delete[] never;
    return false;
  } catch (const std::bad_alloc&) {
    return true;
  }
}

std::jmp_buf back;

/// Out of operator new by its handler, over the frames of a library.
bool jumps_out_of_operator_new() {
  void* volatile kept = call_malloc(500);
  std::set_new_handler([] { std::longjmp(back, 1); });
  bool jumped = true;
  if (setjmp(back) == 0) {
    volatile std::size_t too_much = std::numeric_limits<std::size_t>::max() / 2;
    ::operator delete(::operator new(too_much));
    jumped = false;
  }
  std::set_new_handler(nullptr);
  call_free(kept);
  return jumped;
}

void* leave_thread(void* /*argument*/) {
  Guard guard;  // freed while the stack is unwound
  void* kept = call_malloc(700);
  call_free(kept);
  pthread_exit(call_malloc(800));
}

bool survives_pthread_exit() {
  pthread_t thread{};
  void* result = nullptr;
  if (pthread_create(&thread, nullptr, leave_thread, nullptr) != 0) return false;
  if (pthread_join(thread, &result) != 0 || result == nullptr) return false;
  call_free(result);
  return true;
}

void leave_frames(Truth& truth) {
  for (int i = 0; i < 200; ++i) {
    truth.good &= catches_bad_alloc() && jumps_out_of_operator_new() && survives_pthread_exit();
    ++truth.operations;
  }
}

/// One thread of the heavy load: blocks that know what is in them.
void churn(std::uint64_t seed, const std::atomic<bool>& stop, std::atomic<bool>& good,
           std::atomic<std::uint64_t>& operations) {
  struct Block {
    std::uint64_t* words = nullptr;
    std::size_t count = 0;
    std::uint64_t mark = 0;
  };
  std::array<Block, 64> blocks{};
  auto intact = [](const Block& block) {
    for (std::size_t i = 0; i < block.count; ++i) {
      if (block.words[i] != block.mark + i) return false;
    }
    return true;
  };
  std::uint64_t state = seed;
  while (!stop.load(std::memory_order_relaxed)) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    Block& block = blocks.at((state >> 40) % blocks.size());
    if (!intact(block)) good = false;
    const std::size_t count = 1 + (state >> 20) % 300;
    void* pointer = nullptr;
    if ((state >> 33) % 8 == 0 && block.words != nullptr) {
      pointer = std::realloc(block.words, count * sizeof(std::uint64_t));
      block.words = static_cast<std::uint64_t*>(pointer);
      for (std::size_t i = 0; i < std::min(count, block.count); ++i) {
        if (block.words[i] != block.mark + i) good = false;
      }
    } else {
      call_free(block.words);
      pointer = (state >> 33) % 8 == 1 ? std::calloc(count, sizeof(std::uint64_t))
                                       : call_malloc(count * sizeof(std::uint64_t));
    }
    block = {static_cast<std::uint64_t*>(pointer), count, state};
    for (std::size_t i = 0; i < count; ++i) block.words[i] = state + i;
    operations.fetch_add(1, std::memory_order_relaxed);
  }
  for (Block& block : blocks) {
    if (!intact(block)) good = false;
    call_free(block.words);
  }
}

void run_heavy(Truth& truth) {
  std::atomic<bool> stop{false};
  std::atomic<bool> good{true};
  std::atomic<std::uint64_t> operations{0};
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { churn(i + 1, stop, good, operations); });
  }
  char byte = 0;
  (void)!read(0, &byte, 1);  // until the test is done
  stop = true;
  for (std::thread& thread : threads) thread.join();
  truth.good = good;
  truth.operations = operations;
}

void time_pairs(Truth& truth) {
  constexpr int kPairs = 3'000;
  timespec start{};
  timespec end{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
  for (int i = 0; i < kPairs; ++i) call_free(call_malloc(100));
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
  truth.ns = (static_cast<double>(end.tv_sec - start.tv_sec) * 1e9 +
              static_cast<double>(end.tv_nsec - start.tv_nsec)) /
             kPairs;
}

/// For each byte on standard input one job, answered by a Truth; ends with the input.
[[noreturn]] void serve() {
  char job = 0;
  while (read(0, &job, 1) == 1) {
    Truth truth;
    if (job == 'c') count_calls(truth);
    if (job == 'f') leave_frames(truth);
    if (job == 'h') run_heavy(truth);
    if (job == 't') time_pairs(truth);
    if (job == 'l') {
      truth.good = dlopen((kLib + "libtcmalloc_minimal.so.4").c_str(), RTLD_NOW) != nullptr;
    }
    if (write(1, &truth, sizeof truth) != static_cast<ssize_t>(sizeof truth)) break;
  }
  _exit(0);
}

// Before main(), and so before gtest has anything allocated.
const bool is_target = [] {
  if (getenv(kTarget) != nullptr) serve();
  return false;
}();

// ---- the test ---------------------------------------------------------------------------------

/// The target process; ended with the object.
class Target {
 public:
  explicit Target(const std::string& preload = {}) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      setenv(kTarget, "1", 1);
      if (!preload.empty()) setenv("LD_PRELOAD", preload.c_str(), 1);
      execl("/proc/self/exe", "target", nullptr);
      _exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    in_.reset(in[1]);
    out_.reset(out[0]);
    EXPECT_TRUE(run('?'));  // it is past its start
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target() {
    in_.reset();
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }
  void send(char job) const { EXPECT_EQ(write(in_.get(), &job, 1), 1); }
  /// Nothing when the target has died.
  [[nodiscard]] std::optional<Truth> answer() const {
    Truth truth;
    const ssize_t got = read(out_.get(), &truth, sizeof truth);
    return got == static_cast<ssize_t>(sizeof truth) ? std::optional(truth) : std::nullopt;
  }
  [[nodiscard]] std::optional<Truth> run(char job) const {
    send(job);
    return answer();
  }

 private:
  pid_t pid_ = -1;
  Fd in_;
  Fd out_;
};

struct CallKey {
  std::uint64_t role;
  std::uint64_t first;
  std::uint64_t second;
};
struct CallCount {
  std::uint64_t entries;
  std::uint64_t returns;
  std::uint64_t pointers;
};

/// The test's programs, loaded for a mechanism. By libbpf itself: BpfSpec has no attach types yet.
class Programs {
 public:
  explicit Programs(Mechanism mechanism) : skeleton_(test_uprobe__open()) {
    if (skeleton_ == nullptr) return;
    const bool plain = mechanism == Mechanism::Plain;
    const auto multi = static_cast<bpf_attach_type>(plain ? 0 : kAttachUprobeMulti);
    bpf_program__set_expected_attach_type(skeleton_->progs.on_entry, multi);
    bpf_program__set_expected_attach_type(skeleton_->progs.on_return, multi);
    bpf_program__set_expected_attach_type(skeleton_->progs.on_session,
                                          static_cast<bpf_attach_type>(kAttachUprobeSession));
    bpf_program__set_autoload(skeleton_->progs.on_session, mechanism == Mechanism::Session);
    loaded_ = test_uprobe__load(skeleton_) == 0;
  }
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;
  ~Programs() { test_uprobe__destroy(skeleton_); }
  [[nodiscard]] bool loaded() const { return loaded_; }

  [[nodiscard]] Result<std::vector<UprobeLink>> attach(const UprobePlan& plan,
                                                       std::uint32_t pid) const {
    std::vector<UprobeLink> links;
    for (const UprobeGroup& group : plan.groups()) {
      LB_TRY_ASSIGN(UprobeLink link,
                    attach_uprobes(program(group.kind), group.kind, group.file.path, group.offsets,
                                   group.cookies, pid));
      links.push_back(std::move(link));
    }
    return links;
  }
  [[nodiscard]] int program(UprobeKind kind) const {
    const bool returns = kind == UprobeKind::MultiReturn || kind == UprobeKind::PlainReturn;
    return bpf_program__fd(kind == UprobeKind::Session ? skeleton_->progs.on_session
                           : returns                   ? skeleton_->progs.on_return
                                                       : skeleton_->progs.on_entry);
  }
  [[nodiscard]] CallCount count(Role role, std::uint64_t first, std::uint64_t second) const {
    const CallKey key{static_cast<std::uint64_t>(role), first, second};
    CallCount count{};
    bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.calls), &key, &count);
    return count;
  }

 private:
  test_uprobe* skeleton_;
  bool loaded_ = false;
};

Result<Planner> planner_for(Mechanism mechanism) {
  return Planner::make({.allocators = {}, .mechanism = mechanism, .calibrate = true});
}

Result<UprobePlan> plan_of(Planner& planner, const Target& target) {
  const std::uint32_t pid = target.pid();
  return planner.plan({&pid, 1});
}

class PlannerOn : public ::testing::TestWithParam<std::pair<Mechanism, const char*>> {
 protected:
  /// False: skipped.
  bool ready() {
    const std::string library = GetParam().second;
    if (!library.empty() && access((kLib + library).c_str(), R_OK) != 0) return false;
    preload_ = library.empty() ? "" : kLib + library;
    return true;
  }
  std::string preload_;
};

TEST_P(PlannerOn, SeesArgumentsAndResultsOfEveryCall) {
  if (!ready()) GTEST_SKIP() << GetParam().second << " is not installed";
  auto planner = planner_for(GetParam().first);
  if (!planner) GTEST_SKIP() << planner.error().message;
  const Target target(preload_);
  const auto plan = plan_of(*planner, target);
  ASSERT_TRUE(plan) << plan.error().message;
  const Programs programs(GetParam().first);
  ASSERT_TRUE(programs.loaded());
  {
    const auto links = programs.attach(*plan, target.pid());
    ASSERT_TRUE(links) << links.error().message;
    const auto truth = target.run('c');
    ASSERT_TRUE(truth) << "the target died";
    EXPECT_EQ(truth->good, 1U);
    EXPECT_EQ(programs.count(Role::Malloc, kMallocBytes, 0).entries, kMallocs);
    EXPECT_EQ(programs.count(Role::Calloc, kCallocCount, kCallocBytes).entries, kCallocs);
    EXPECT_EQ(programs.count(Role::Realloc, kReallocBytes, 0).entries, kReallocs);
    EXPECT_EQ(programs.count(Role::PosixMemalign, kAlignment, kAlignedBytes).entries, kAligned);
    // posix_memalign may come by memalign, realloc by malloc and free: more than was called.
    const bool nests = preload_.contains("tcmalloc") || preload_.contains("mimalloc");
    const auto aligned = programs.count(Role::AlignedAlloc, kAlignment, kAlignedBytes).entries +
                         programs.count(Role::Memalign, kAlignment, kAlignedBytes).entries;
    EXPECT_GE(aligned, kAligned);
    EXPECT_TRUE(nests || aligned == kAligned) << aligned;
    EXPECT_GE(programs.count(Role::Free, 0, 0).entries, truth->frees);
    if (nests) return;
    const CallCount frees = programs.count(Role::Free, 0, 0);
    EXPECT_EQ(frees.entries, truth->frees);
    EXPECT_EQ(frees.pointers, truth->free_pointers);
    const CallCount mallocs = programs.count(Role::Malloc, 0, 0);
    EXPECT_EQ(mallocs.returns, kMallocs);
    EXPECT_EQ(mallocs.pointers, truth->malloc_pointers);
    const CallCount callocs = programs.count(Role::Calloc, 0, 0);
    EXPECT_EQ(callocs.returns, kCallocs);
    EXPECT_EQ(callocs.pointers, truth->calloc_pointers);
  }
  // Detached: nothing is seen any more.
  const auto after = target.run('c');
  ASSERT_TRUE(after) << "the target died after the probes were gone";
  EXPECT_EQ(programs.count(Role::Malloc, kMallocBytes, 0).entries, kMallocs);
}

TEST_P(PlannerOn, LetsExceptionsLongjmpAndPthreadExitPass) {
  if (!ready()) GTEST_SKIP() << GetParam().second << " is not installed";
  auto planner = planner_for(GetParam().first);
  if (!planner) GTEST_SKIP() << planner.error().message;
  if (!Target(preload_).run('f')) {
    GTEST_SKIP() << GetParam().second << " ends a program that is out of memory, probes or none";
  }
  const Target target(preload_);
  const auto plan = plan_of(*planner, target);
  ASSERT_TRUE(plan) << plan.error().message;
  const Programs programs(GetParam().first);
  ASSERT_TRUE(programs.loaded());
  const auto links = programs.attach(*plan, target.pid());
  ASSERT_TRUE(links) << links.error().message;
  const auto truth = target.run('f');
  ASSERT_TRUE(truth) << "the target died";
  EXPECT_EQ(truth->good, 1U);
  EXPECT_EQ(truth->operations, 200U);
}

TEST_P(PlannerOn, LeavesTheTargetUnharmedWhenAttachedAndDetachedManyTimes) {
  if (!ready()) GTEST_SKIP() << GetParam().second << " is not installed";
  auto planner = planner_for(GetParam().first);
  if (!planner) GTEST_SKIP() << planner.error().message;
  const Target target(preload_);
  const auto plan = plan_of(*planner, target);
  ASSERT_TRUE(plan) << plan.error().message;
  const Programs programs(GetParam().first);
  ASSERT_TRUE(programs.loaded());
  target.send('h');
  // Without multi links each probe waits for the kernel's grace period by itself, seconds a round.
  const bool plain = GetParam().first == Mechanism::Plain;
  const bool at_length = getenv("LB_LONG") != nullptr;
  const int rounds = at_length ? (plain ? 60 : 1000) : (plain ? 3 : 50);
  for (int i = 0; i < rounds; ++i) {
    const auto links = programs.attach(*plan, target.pid());
    ASSERT_TRUE(links) << links.error().message;
    ASSERT_EQ(kill(static_cast<pid_t>(target.pid()), 0), 0);
  }
  target.send('.');
  const auto truth = target.answer();
  ASSERT_TRUE(truth) << "the target died";
  EXPECT_EQ(truth->good, 1U);
  EXPECT_GT(truth->operations, 1000U);
}

std::string case_name(const ::testing::TestParamInfo<std::pair<Mechanism, const char*>>& test) {
  constexpr std::array<const char*, 3> kNames = {"Session", "Multi", "Plain"};
  std::string library = test.param.second;
  std::erase_if(library, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
  return kNames.at(static_cast<std::size_t>(test.param.first)) + library;
}

INSTANTIATE_TEST_SUITE_P(
    Mechanisms, PlannerOn,
    ::testing::Values(std::pair{Mechanism::Session, ""}, std::pair{Mechanism::Multi, ""},
                      std::pair{Mechanism::Plain, ""},
                      std::pair{Mechanism::Session, "libjemalloc.so.2"},
                      std::pair{Mechanism::Plain, "libjemalloc.so.2"},
                      std::pair{Mechanism::Session, "libtcmalloc_minimal.so.4"},
                      std::pair{Mechanism::Session, "libmimalloc.so.2"}),
    case_name);

/// ns of a malloc and free under probes at `offsets` of the function, or at its start.
double time_at(const Target& target, const UprobePlan& plan, bool chosen) {
  std::vector<UprobeLink> links;
  std::vector<Fd> held;
  for (const ProbePoint& point : plan.points) {
    if (point.role != Role::Malloc && point.role != Role::Free) continue;
    const UprobeKind kind = point.returns ? UprobeKind::Session : UprobeKind::Multi;
    auto program = load_empty_uprobe_program(kind);
    const std::array<std::uint64_t, 1> offset = {chosen ? point.offset() : point.function_offset};
    auto link = attach_uprobes(program->get(), kind, point.file.path, offset, {}, target.pid());
    EXPECT_TRUE(link) << link.error().message;
    if (!link) return 0;
    links.push_back(std::move(*link));
    held.push_back(std::move(*program));
  }
  const auto truth = target.run('t');
  EXPECT_TRUE(truth);
  return truth ? truth->ns : 0;
}

TEST(ProbeSites, AreCheaperThanTheFirstInstruction) {
  for (const char* library : {"", "libjemalloc.so.2"}) {
    const std::string preload = *library == '\0' ? "" : kLib + library;
    if (!preload.empty() && access(preload.c_str(), R_OK) != 0) continue;
    auto planner = planner_for(Mechanism::Session);
    if (!planner) GTEST_SKIP() << planner.error().message;
    const Target target(preload);
    const auto plan = plan_of(*planner, target);
    ASSERT_TRUE(plan) << plan.error().message;
    const double start = time_at(target, *plan, false);
    const double chosen = time_at(target, *plan, true);
    fmt::print(
        "{}: a malloc and free with probes at the first instruction {:.0f} ns, at the "
        "chosen one {:.0f} ns, ratio {:.1f}; predicted: emulated {:.0f}, stepped {:.0f}, "
        "return {:.0f} ns\n",
        preload.empty() ? "libc" : library, start, chosen, start / chosen,
        planner->costs().emulated_ns, planner->costs().stepped_ns, planner->costs().return_ns);
    EXPECT_GT(chosen, 0.0);
  }
}

TEST(Planner, RescanGivesOnlyWhatIsNew) {
  auto planner = planner_for(Mechanism::Multi);
  if (!planner) GTEST_SKIP() << planner.error().message;
  if (access((kLib + "libtcmalloc_minimal.so.4").c_str(), R_OK) != 0) {
    GTEST_SKIP() << "libtcmalloc_minimal.so.4 is not installed";
  }
  const Target target;
  const std::uint32_t pid = target.pid();
  const auto plan = planner->plan({&pid, 1});
  ASSERT_TRUE(plan) << plan.error().message;
  auto nothing = planner->rescan({&pid, 1});
  ASSERT_TRUE(nothing);
  EXPECT_TRUE(nothing->points.empty());
  const auto loaded = target.run('l');
  ASSERT_TRUE(loaded);
  if (loaded->good == 0) GTEST_SKIP() << "the library cannot be loaded later";
  const auto more = planner->rescan({&pid, 1});
  ASSERT_TRUE(more);
  ASSERT_FALSE(more->points.empty());
  EXPECT_EQ(more->first_index, plan->points.size());
  for (const ProbePoint& point : more->points) {
    EXPECT_TRUE(point.file.shown.contains("tcmalloc")) << point.file.shown;
  }
}

TEST(Planner, SaysThatAProcessIsGone) {
  auto planner = planner_for(Mechanism::Multi);
  if (!planner) GTEST_SKIP() << planner.error().message;
  std::uint32_t pid = 0;
  {
    const Target target;
    pid = target.pid();
  }
  const auto plan = planner->plan({&pid, 1});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code.value(), ESRCH);
  const auto more = planner->rescan({&pid, 1});
  ASSERT_TRUE(more);
  EXPECT_EQ(more->notes.size(), 1U);
}

TEST(AttachUprobes, AttachesAllOrNothingAndSaysWhatIsWrong) {
  auto program = load_empty_uprobe_program(UprobeKind::Multi);
  if (!program) GTEST_SKIP() << program.error().message;
  const std::array<std::uint64_t, 1> offset = {0x1000};
  EXPECT_FALSE(attach_uprobes(program->get(), UprobeKind::Multi, "/proc/self/exe", {}, {}, 0));
  const std::array<std::uint64_t, 2> cookies = {1, 2};
  EXPECT_FALSE(
      attach_uprobes(program->get(), UprobeKind::Multi, "/proc/self/exe", offset, cookies, 0));
  auto missing = attach_uprobes(program->get(), UprobeKind::Multi, "/no/such/file", offset, {}, 0);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("/no/such/file"), std::string::npos);
  EXPECT_FALSE(
      attach_uprobes(program->get(), UprobeKind::Multi, "/proc/self/exe", offset, {}, 0x7fffffff));
  // Loaded for one kind, attached as another.
  EXPECT_FALSE(
      attach_uprobes(program->get(), UprobeKind::Session, "/proc/self/exe", offset, {}, 0));
}

}  // namespace
}  // namespace lb::observe
