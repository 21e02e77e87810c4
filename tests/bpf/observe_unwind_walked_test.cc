// SPDX-License-Identifier: Apache-2.0
// Remembered walks (struct observe_walked): the same call is not walked again, and whatever a walk
// went by makes another stack of it when it changes. Each test makes two stacks that agree in all
// but one thing, by turns, on one CPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <vector>

#include "bpf/observe_unwind.h"
#include "tests/bpf/observe_unwind_spot.h"

#if defined(__x86_64__)

// fp_is(spot, rbp): calls it with that rbp; says that its own frame is where rbp points.
// keeps_fp(call, spot, rbp): calls call(spot, rbp) with rbp in its frame and another in the
// register. first_end, second_end: outermost functions.
asm(R"(
  .pushsection .text
  .p2align 4
  .globl walked_fp_is
  .type walked_fp_is, @function
walked_fp_is:
  .cfi_startproc
  push %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  mov %rsi, %rbp
  .cfi_def_cfa %rbp, 16
  call *%rdi
  .cfi_def_cfa %rsp, 16
  pop %rbp
  .cfi_def_cfa_offset 8
  .cfi_same_value %rbp
  ret
  .cfi_endproc
  .size walked_fp_is, . - walked_fp_is
  .p2align 4
  .globl walked_keeps_fp
  .type walked_keeps_fp, @function
walked_keeps_fp:
  .cfi_startproc
  push %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  xor %ebp, %ebp
  call *%rdi
  pop %rbp
  .cfi_def_cfa_offset 8
  .cfi_same_value %rbp
  ret
  .cfi_endproc
  .size walked_keeps_fp, . - walked_keeps_fp
  .p2align 4
  .globl walked_first_end
  .type walked_first_end, @function
walked_first_end:
  .cfi_startproc
  .cfi_undefined %rip
  nop
  nop
  .cfi_endproc
  .size walked_first_end, . - walked_first_end
  .p2align 4
  .globl walked_second_end
  .type walked_second_end, @function
walked_second_end:
  .cfi_startproc
  .cfi_undefined %rip
  nop
  nop
  .cfi_endproc
  .size walked_second_end, . - walked_second_end
  .popsection
)");
extern "C" void walked_fp_is(void (*call)(), const void* rbp);
extern "C" void walked_keeps_fp(void (*call)());
extern "C" const char walked_first_end[];
extern "C" const char walked_second_end[];

namespace lb::observe {
namespace {

constexpr int kTurns = 4;

// Frames of the same size, so that all below lies where it lay.
[[gnu::noinline]] void one_caller(void (*call)()) {
  asm volatile("" ::"i"(1));
  call();
  NO_TAIL_CALL();
}
[[gnu::noinline]] void other_caller(void (*call)()) {
  asm volatile("" ::"i"(2));
  call();
  NO_TAIL_CALL();
}
class ObserveUnwindWalked : public ObserveUnwind {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ObserveUnwind::SetUp());
    if (IsSkipped()) return;
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one{};
    CPU_SET(sched_getcpu(), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    learn();
  }
  void TearDown() override {
    sched_setaffinity(0, sizeof before_, &before_);
    ObserveUnwind::TearDown();
  }

  /// Walks that were noted, on all CPUs.
  [[nodiscard]] std::uint64_t walks() {
    const auto map =
        BpfMap::of<std::uint32_t, observe_walked>(*probe_->object().map_fd("observe_walks"));
    EXPECT_TRUE(map) << map.error().message;
    std::uint64_t turns = 0;
    for (std::uint32_t i = 0; map && i < OBSERVE_WALKED; ++i) {
      const auto values = map->per_cpu<observe_walked>(i);
      EXPECT_TRUE(values);
      if (!values) continue;
      for (const auto& value : *values) turns += value.turns;
    }
    EXPECT_EQ(turns % 2, 0U) << "somebody writes still";
    return turns / 2;
  }

  /// By one caller and the other by turns, all else the same: each time the stack of that one.
  void by_turns(void (*call)()) {
    for (int i = 0; i < kTurns; ++i) {
      for (const auto caller : {one_caller, other_caller}) {
        caller(call);
        NO_TAIL_CALL();
        expect_as_told(one());
      }
    }
  }

 private:
  cpu_set_t before_{};
};

[[gnu::noinline]] void call_spot() {
  spot();
  NO_TAIL_CALL();
}

TEST_F(ObserveUnwindWalked, TheSameCallIsWalkedOnce) {
  const std::uint64_t before = walks();
  std::vector<TakenStack> stacks;
  for (int i = 0; i < 10; ++i) {
    call_spot();
    stacks.push_back(one());
    expect_as_told(stacks.back());
  }
  EXPECT_EQ(walks(), before + 1);
  for (const auto& stack : stacks) EXPECT_EQ(stack.frames, stacks.front().frames);
}

template <int Depth>
[[gnu::noinline]] void above() {
  if constexpr (Depth == 0) {
    spot();
  } else {
    above<Depth - 1>();
  }
  NO_TAIL_CALL();
}

TEST_F(ObserveUnwindWalked, AnotherCallerIsAnotherStack) {
  by_turns(spot);
  by_turns(above<1>);
  by_turns(above<20>);
}

TEST_F(ObserveUnwindWalked, MoreThanThereIsRoomForIsWalkedEachTime) {
  by_turns(above<2 * OBSERVE_WALKED_WORDS>);
}

[[gnu::noinline]] void with_room() {
  std::array<char, OBSERVE_WALKED_BYTES> room{};
  asm volatile("" : : "r"(room.data()) : "memory");
  spot();
  NO_TAIL_CALL();
}

TEST_F(ObserveUnwindWalked, FarAboveIsWalkedEachTime) { by_turns(with_room); }

TEST_F(ObserveUnwindWalked, ANewListOfMappingsIsWalkedAnew) {
  call_spot();
  expect_as_told(one());
  const std::uint64_t before = walks();
  const Fd file(memfd_create("code", 0));
  ASSERT_EQ(ftruncate(file.get(), 4096), 0);
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.get(), 0);
  ASSERT_NE(page, MAP_FAILED);
  learn();
  call_spot();
  munmap(page, 4096);
  expect_as_told(one());
  EXPECT_EQ(walks(), before + 1);
}

// A frame as rbp shows it: the caller's rbp, and the return address.
struct Frame {
  std::uint64_t rbp = 0;
  std::uint64_t address = 0;
};

/// Into the outermost function.
std::uint64_t within(const char* function) {
  return reinterpret_cast<std::uintptr_t>(function) + 1;
}

TEST_F(ObserveUnwindWalked, ByAnotherFramePointerIsAnotherStack) {
  const std::array<Frame, 2> frames = {Frame{0, within(walked_first_end)},
                                       Frame{0, within(walked_second_end)}};
  for (int i = 0; i < kTurns; ++i) {
    for (const Frame& frame : frames) {
      walked_fp_is(spot, &frame);
      const TakenStack stack = one();
      EXPECT_FALSE(stack.cut());
      ASSERT_EQ(stack.frames.size(), 3U);
      EXPECT_EQ(stack.frames.back(), frame.address);
    }
  }
}

TEST_F(ObserveUnwindWalked, ByAnotherFramePointerThatWasKeptIsAnotherStack) {
  const std::array<Frame, 2> frames = {Frame{0, within(walked_first_end)},
                                       Frame{0, within(walked_second_end)}};
  for (int i = 0; i < kTurns; ++i) {
    for (const Frame& frame : frames) {
      walked_fp_is([] { walked_keeps_fp(spot); }, &frame);
      const TakenStack stack = one();
      EXPECT_FALSE(stack.cut());
      ASSERT_GE(stack.frames.size(), 4U);
      EXPECT_EQ(stack.frames.back(), frame.address);
    }
  }
}

[[gnu::noinline]] void returns_to_probe() {
  spot();
  NO_TAIL_CALL();
}

TEST_F(ObserveUnwindWalked, WhatAReturnProbeHidesIsLookedForEachTime) {
  constexpr std::array kCallers = {one_caller, other_caller};
  std::array<TakenStack, 2> whole;
  Fd event;  // backtrace() does not see through it
  for (int turn = 0; turn < kTurns; ++turn) {
    if (turn == 1) event = std::move(*probe_->at(returns_to_probe, "by_uretprobe"));
    for (std::size_t i = 0; i < kCallers.size(); ++i) {
      kCallers.at(i)(returns_to_probe);
      NO_TAIL_CALL();
      const TakenStack stack = one();
      if (turn == 0) whole.at(i) = stack;
      EXPECT_FALSE(stack.cut());
      EXPECT_EQ(stack.frames, whole.at(i).frames);
    }
  }
  EXPECT_NE(whole[0].frames, whole[1].frames);
}

TEST_F(ObserveUnwindWalked, WhatASignalInterruptedIsLookedForEachTime) {
  std::vector<std::byte> room(1 << 17);
  const stack_t alternate{.ss_sp = room.data(), .ss_flags = 0, .ss_size = room.size()};
  stack_t before{};
  ASSERT_EQ(sigaltstack(&alternate, &before), 0);
  struct sigaction action{};
  struct sigaction usr1{};
  action.sa_handler = [](int) {
    spot();
    NO_TAIL_CALL();
  };
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &action, &usr1);
  by_turns([] { raise(SIGUSR1); });
  sigaction(SIGUSR1, &usr1, nullptr);
  sigaltstack(&before, nullptr);
}

}  // namespace
}  // namespace lb::observe

#endif
