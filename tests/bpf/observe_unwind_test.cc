// SPDX-License-Identifier: Apache-2.0
// The user-stack unwinder on the running kernel: stacks that a uprobe took in this process against
// what backtrace() says at the same spot.
#include <dlfcn.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <bit>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>

#include "tests/bpf/observe_unwind_spot.h"

#if defined(__x86_64__)

namespace lb::observe {
namespace {

[[gnu::noinline]] int recurse(int depth) {
  std::array<char, 40> room{};
  asm volatile("" : : "r"(room.data() + depth % 40) : "memory");
  const int below = depth == 0 ? (spot(), 0) : recurse(depth - 1);
  NO_TAIL_CALL();
  return below + room[0] + 1;
}

TEST_F(ObserveUnwind, FollowsTheMainProgram) {
  learn();
  for (const int depth : {0, 1, 10, 60}) {
    recurse(depth);
    expect_as_told(one());
  }
}

TEST_F(ObserveUnwind, CutsAStackThatHasMoreFramesThanRoom) {
  learn();
  recurse(200);
  const TakenStack stack = one();
  EXPECT_TRUE(stack.cut());
  ASSERT_EQ(stack.frames.size(), OBSERVE_STACK_FRAMES);
  EXPECT_TRUE(std::equal(stack.frames.begin() + 1, stack.frames.end(), told.begin() + 1));
}

TEST_F(ObserveUnwind, FollowsACallbackOfLibc) {
  learn();
  bool called = false;
  static bool* called_at = &called;
  called_at = &called;
  std::array<int, 4> numbers = {3, 1, 2, 0};
  qsort(numbers.data(), numbers.size(), sizeof(int), [](const void* a, const void* b) {
    if (!*called_at) spot();
    *called_at = true;
    return *static_cast<const int*>(a) - *static_cast<const int*>(b);
  });
  expect_as_told(one());
}

TEST_F(ObserveUnwind, FollowsACallbackThroughLibstdcxx) {
  learn();
  std::once_flag once;
  std::call_once(once, [] {
    spot();
    NO_TAIL_CALL();
  });
  expect_as_told(one());
}

struct TellsWhenItGoes {
  TellsWhenItGoes() = default;
  TellsWhenItGoes(const TellsWhenItGoes&) = default;
  TellsWhenItGoes& operator=(const TellsWhenItGoes&) = delete;
  ~TellsWhenItGoes() {
    spot();
    NO_TAIL_CALL();
  }
};

TEST_F(ObserveUnwind, FollowsTheEndOfAnException) {
  learn();
  try {
    throw TellsWhenItGoes();  // its destructor is called by libstdc++ and libgcc
  } catch (const TellsWhenItGoes&) {
    NO_TAIL_CALL();
  }
  expect_as_told(one());
}

TEST_F(ObserveUnwind, FollowsAThreadToItsStart) {
  learn();
  std::thread([] { recurse(3); }).join();
  expect_as_told(one());
}

// Its first instruction is the one that faults: the row before it is another function's.
extern "C" void unwind_test_fault();
asm(R"(
  .text
  .type unwind_test_fault, @function
unwind_test_fault:
  .cfi_startproc
  ud2
  ret
  .cfi_endproc
  .size unwind_test_fault, . - unwind_test_fault
)");

void on_signal(int number, siginfo_t*, void* context) {
  spot();
  if (number == SIGILL) static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += 2;
}

// The handlers of SIGILL and SIGUSR1 for a while.
class Handlers {
 public:
  explicit Handlers(int flags) {
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | flags;
    sigaction(SIGILL, &action, &ill_);
    sigaction(SIGUSR1, &action, &usr1_);
  }
  Handlers(const Handlers&) = delete;
  Handlers& operator=(const Handlers&) = delete;
  ~Handlers() {
    sigaction(SIGILL, &ill_, nullptr);
    sigaction(SIGUSR1, &usr1_, nullptr);
  }

 private:
  struct sigaction ill_{};
  struct sigaction usr1_{};
};

TEST_F(ObserveUnwind, FollowsASignalHandlerIntoWhatItInterrupted) {
  learn();
  const Handlers handlers(0);
  raise(SIGUSR1);
  expect_as_told(one());
  unwind_test_fault();
  const TakenStack stack = one();
  expect_as_told(stack);
  EXPECT_THAT(stack.frames, testing::Contains(reinterpret_cast<std::uint64_t>(&unwind_test_fault)));
}

TEST_F(ObserveUnwind, FollowsASignalHandlerFromItsOwnStack) {
  learn();
  std::vector<std::byte> room(1 << 17);
  const stack_t alternate{.ss_sp = room.data(), .ss_flags = 0, .ss_size = room.size()};
  stack_t before{};
  ASSERT_EQ(sigaltstack(&alternate, &before), 0);
  {
    const Handlers handlers(SA_ONSTACK);
    unwind_test_fault();
    expect_as_told(one());
    raise(SIGUSR1);
    expect_as_told(one());
  }
  sigaltstack(&before, nullptr);
}

// push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret
constexpr std::array<unsigned char, 8> kMadeCode = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};

TEST_F(ObserveUnwind, FollowsCodeMadeAtRunTimeByFramePointersOnceItIsLearned) {
  learn();
  void* page =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  std::ranges::copy(kMadeCode, static_cast<unsigned char*>(page));
  const auto made = reinterpret_cast<void (*)(void (*)())>(page);
  made(spot);
  NO_TAIL_CALL();
  const TakenStack before = one();
  EXPECT_TRUE(before.cut());
  EXPECT_EQ(before.frames.size(), 1U);

  EXPECT_EQ(probe_->tables().learn_wanted().value_or(0), 1U);
  EXPECT_EQ(probe_->tables().learn_wanted().value_or(9), 0U);
  made(spot);
  NO_TAIL_CALL();
  const TakenStack after = one();
  munmap(page, 4096);
  EXPECT_TRUE(after.frame_pointers());
  EXPECT_FALSE(after.cut());
  // backtrace() knows nothing of that page and ends there.
  ASSERT_GE(after.frames.size(), 4U);
  EXPECT_EQ(after.frames[1], reinterpret_cast<std::uint64_t>(page) + 6);
  recurse(0);
  const TakenStack end = one();
  EXPECT_EQ(after.frames.back(), end.frames.back());
}

[[gnu::noinline]] void call_made(void (*made)(void (*)())) {
  made(spot);
  NO_TAIL_CALL();
}

TEST_F(ObserveUnwind, FindsTheCallerBeforeAFramePointerIsSetUp) {
  // In a file without tables, so that probes can stand on it.
  std::string path = testing::TempDir() + "unwind-code-XXXXXX";
  const Fd file(mkstemp(path.data()));
  std::array<unsigned char, 4096> code{};
  std::ranges::copy(kMadeCode, code.begin());
  ASSERT_EQ(write(file.get(), code.data(), code.size()), 4096);
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.get(), 0);
  if (page == MAP_FAILED) GTEST_SKIP() << "no code may run from " << path;
  learn();
  for (const std::uint64_t offset : {0, 1}) {  // on push, then on mov
    const auto event =
        attach_uprobe(path, offset, false, -1, *probe_->object().program_fd("by_uprobe"));
    ASSERT_TRUE(event) << event.error().message;
    call_made(reinterpret_cast<void (*)(void (*)())>(page));
    const auto stacks = probe_->drain();
    ASSERT_EQ(stacks.size(), 2U);  // there, and in spot
    ASSERT_GE(stacks[1].frames.size(), 5U);
    EXPECT_FALSE(stacks[0].cut());
    EXPECT_TRUE(stacks[0].frame_pointers());
    EXPECT_EQ(stacks[0].frames.front(), reinterpret_cast<std::uint64_t>(page) + offset);
    EXPECT_EQ(std::vector(stacks[0].frames.begin() + 1, stacks[0].frames.end()),
              std::vector(stacks[1].frames.begin() + 2, stacks[1].frames.end()));
  }
  munmap(page, 4096);
  unlink(path.c_str());
}

using Backtrace = _Unwind_Reason_Code (*)(_Unwind_Trace_Fn, void*);

// libgcc_s in a file without a name.
Fd copy_of_libgcc() {
  Fd copy(memfd_create("copy", 0));
  Dl_info info{};
  EXPECT_NE(dladdr(reinterpret_cast<void*>(&_Unwind_Backtrace), &info), 0);
  std::ifstream original(info.dli_fname, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(original), {}};
  EXPECT_EQ(write(copy.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return copy;
}
void* open_copy(const Fd& copy) {
  return dlopen(("/proc/self/fd/" + std::to_string(copy.get())).c_str(), RTLD_NOW | RTLD_LOCAL);
}

TEST_F(ObserveUnwind, FollowsALibraryThatWasLoadedLaterAndDropsItsTableWithIt) {
  learn();
  const std::size_t objects = probe_->tables().objects();
  const std::size_t bytes = probe_->tables().memory_bytes();
  const Fd copy = copy_of_libgcc();
  void* library = open_copy(copy);
  if (library == nullptr) GTEST_SKIP() << "no dlopen of a copy: " << dlerror();
  const auto walk = reinterpret_cast<Backtrace>(dlsym(library, "_Unwind_Backtrace"));
  ASSERT_NE(walk, nullptr);
  ASSERT_NE(walk, &_Unwind_Backtrace);
  const auto callback = [](_Unwind_Context*, void*) {
    spot();
    NO_TAIL_CALL();
    return _URC_END_OF_STACK;
  };
  walk(callback, nullptr);
  EXPECT_TRUE(one().cut());
  EXPECT_EQ(probe_->tables().learn_wanted().value_or(0), 1U);
  walk(callback, nullptr);
  expect_as_told(one());
  EXPECT_EQ(probe_->tables().objects(), objects + 1);
  EXPECT_GT(probe_->tables().memory_bytes(), bytes);

  dlclose(library);
  learn();
  EXPECT_EQ(probe_->tables().objects(), objects);
  EXPECT_EQ(probe_->tables().memory_bytes(), bytes);
}

// Rows are remembered by address, on each CPU.
TEST_F(ObserveUnwind, WhatIsMappedWhereSomethingElseWasHasItsOwnRows) {
  cpu_set_t before;
  cpu_set_t one_cpu;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one_cpu);
  CPU_SET(sched_getcpu(), &one_cpu);
  ASSERT_EQ(sched_setaffinity(0, sizeof one_cpu, &one_cpu), 0);
  // Called from a copy of libgcc_s, so that its rows are known.
  const Fd copy = copy_of_libgcc();
  void* library = open_copy(copy);
  if (library == nullptr) GTEST_SKIP() << "no dlopen of a copy: " << dlerror();
  const auto walk = reinterpret_cast<Backtrace>(dlsym(library, "_Unwind_Backtrace"));
  learn();
  const auto callback = [](_Unwind_Context*, void*) {
    spot();
    NO_TAIL_CALL();
    return _URC_END_OF_STACK;
  };
  for (int i = 0; i < 2; ++i) {
    walk(callback, nullptr);
    expect_as_told(one());
  }
  const std::uint64_t called_from = told.at(2);
  dlclose(library);

  // Other code, whose call returns to the same address.
  const std::uint64_t start = called_from - 6;
  const std::uint64_t page = start & ~std::uint64_t{4095};
  void* at = mmap(std::bit_cast<void*>(page), 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (at == MAP_FAILED) GTEST_SKIP() << "the library has not gone";
  std::ranges::copy(kMadeCode, std::bit_cast<unsigned char*>(start));
  learn();
  std::bit_cast<void (*)(void (*)())>(start)(spot);
  NO_TAIL_CALL();
  const TakenStack stack = one();
  munmap(at, 8192);
  sched_setaffinity(0, sizeof before, &before);
  EXPECT_TRUE(stack.frame_pointers());
  EXPECT_FALSE(stack.cut());
  ASSERT_GE(stack.frames.size(), 4U);
  EXPECT_EQ(stack.frames[1], called_from);
  recurse(0);
  EXPECT_EQ(stack.frames.back(), one().frames.back());
}

[[gnu::noinline]] void inner_with_return_probe() {
  spot();
  NO_TAIL_CALL();
}
[[gnu::noinline]] void outer_with_return_probe() {
  inner_with_return_probe();
  NO_TAIL_CALL();
}

TEST_F(ObserveUnwind, SeesTheReturnAddressesThatReturnProbesHide) {
  learn();
  std::array<TakenStack, 2> stacks;
  for (TakenStack& stack : stacks) {  // the same calls from the same place
    Fd inner;
    Fd outer;
    if (&stack == &stacks.back()) {
      inner = std::move(*probe_->at(inner_with_return_probe, "by_uretprobe"));
      outer = std::move(*probe_->at(outer_with_return_probe, "by_uretprobe"));
    }
    outer_with_return_probe();
    NO_TAIL_CALL();
    stack = one();
    if (&stack == &stacks.front()) expect_as_told(stack);
  }
  EXPECT_FALSE(stacks[1].cut());
  EXPECT_EQ(stacks[1].frames, stacks[0].frames);
}

[[gnu::noinline]] void enter_kernel() {
  spot();
  (void)getppid();
  NO_TAIL_CALL();
}

TEST_F(ObserveUnwind, TakesTheUserStackFromATracepoint) {
  learn();
  auto link = probe_->object().attach("by_raw_tp");
  ASSERT_TRUE(link) << link.error().message;
  enter_kernel();
  const auto stacks = probe_->drain();
  ASSERT_EQ(stacks.size(), 2U);
  expect_as_told(stacks[0]);
  EXPECT_FALSE(stacks[1].cut());
  // getppid of libc, then enter_kernel at another line, then all the same.
  ASSERT_EQ(stacks[1].frames.size(), told.size());
  EXPECT_TRUE(std::equal(stacks[1].frames.begin() + 2, stacks[1].frames.end(), told.begin() + 2));
}

[[gnu::noinline]] std::uint64_t busy(std::uint64_t rounds) {
  std::array<int, 64> numbers{};
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      numbers[k] = static_cast<int>((k * 7919 + i) % 64);
    }
    qsort(numbers.data(), numbers.size(), sizeof(int), [](const void* a, const void* b) {
      return *static_cast<const int*>(a) - *static_cast<const int*>(b);
    });
    sum += static_cast<std::uint64_t>(numbers[0]);
  }
  return sum;
}

TEST_F(ObserveUnwind, TakesTheUserStackAtAnyInstruction) {
  learn();
  recurse(0);
  const std::uint64_t start = one().frames.back();
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  attributes.sample_period = 1'000'000;  // ns
  const auto event = attach_event(attributes, 0, -1, *probe_->object().program_fd("by_perf_event"));
  ASSERT_TRUE(event) << event.error().message;
  std::vector<TakenStack> stacks;
  for (int i = 0; i < 1000 && stacks.size() < 200; ++i) {
    busy(2000);
    std::ranges::move(probe_->drain(), std::back_inserter(stacks));
  }
  ASSERT_GE(stacks.size(), 200U);
  for (const TakenStack& stack : stacks) {
    EXPECT_FALSE(stack.cut()) << testing::PrintToString(stack.frames);
    EXPECT_FALSE(stack.frame_pointers());
    EXPECT_EQ(stack.frames.back(), start);
  }
}

TEST_F(ObserveUnwind, WalksAProcessThatIsNotLearnedBlindlyAndSaysSo) {
  recurse(3);
  const TakenStack stack = one();
  EXPECT_TRUE(stack.frame_pointers());
  EXPECT_TRUE(stack.cut());
  ASSERT_FALSE(stack.frames.empty());
  EXPECT_EQ(stack.frames.front(), reinterpret_cast<std::uint64_t>(&spot));
  EXPECT_EQ(probe_->tables().learn_wanted().value_or(0), 1U);
  recurse(3);
  expect_as_told(one());
}

TEST_F(ObserveUnwind, ForgetsProcessesThatEnded) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const auto pid = static_cast<std::uint32_t>(child);
  EXPECT_TRUE(probe_->tables().learn(pid));
  learn();
  EXPECT_EQ(probe_->tables().processes(), 2U);
  const std::size_t rows = probe_->tables().rows();
  EXPECT_GT(rows, 20'000U);  // libc alone
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(probe_->tables().forget_ended());
  EXPECT_EQ(probe_->tables().processes(), 1U);
  EXPECT_EQ(probe_->tables().rows(), rows);  // ours: the same objects

  const auto gone = probe_->tables().learn(pid);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, std::errc::no_such_process);
  EXPECT_TRUE(probe_->tables().forget(static_cast<std::uint32_t>(getpid())));
  EXPECT_EQ(probe_->tables().rows(), 0U);
  EXPECT_EQ(probe_->tables().memory_bytes(), 0U);
}

TEST_F(ObserveUnwind, TakesLittleMemoryBeforeTheFirstEvent) {
  std::uint64_t bytes = 0;
  for (const BpfHeld& held : probe_->object().held()) {
    if (held.name.starts_with("observe_unwind")) bytes += held.memory_bytes;
  }
  EXPECT_LT(bytes, std::uint64_t{1} << 20);
  RecordProperty("bytes", static_cast<int>(bytes));
}

TEST_F(ObserveUnwind, TellsWhatAFrameCosts) {
  learn();
  const TakenCounts before = probe_->counts();
  for (int i = 0; i < 2000; ++i) recurse(40);
  const TakenCounts after = probe_->counts();
  ASSERT_EQ(after.stacks - before.stacks, 2000U);
  const double frames = static_cast<double>(after.frames - before.frames);
  std::printf("%.0f ns a frame, %.0f frames a stack\n",
              static_cast<double>(after.ns - before.ns) / frames, frames / 2000);
}

}  // namespace
}  // namespace lb::observe

#endif
