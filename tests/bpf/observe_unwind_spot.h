// SPDX-License-Identifier: Apache-2.0
// A spot in this process with a uprobe on it that takes the stack, and what backtrace() says of the
// same call. Header only; root, real kernel.
#pragma once

#include <execinfo.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "tests/bpf/observe_unwind_probe.h"

namespace lb::observe {

// What backtrace() said at the last spot().
inline std::vector<std::uint64_t> told;

// The probe stands on its first instruction.
[[gnu::noinline]] inline void spot() {
  std::array<void*, 256> frames{};
  const int count = backtrace(frames.data(), static_cast<int>(frames.size()));
  told.clear();
  for (int i = 0; i < count; ++i) told.push_back(reinterpret_cast<std::uint64_t>(frames[i]));
}

class ObserveUnwind : public testing::Test {
 protected:
  void SetUp() override {
    std::array<void*, 1> frames{};
    backtrace(frames.data(), 1);  // loads libgcc_s now, so that it is known below
    auto probe = UnwindProbe::start(static_cast<std::uint32_t>(getpid()));
    ASSERT_TRUE(probe) << probe.error().message;
    probe_.emplace(std::move(*probe));
    auto event = probe_->at(spot, "by_uprobe");
    if (!event) GTEST_SKIP() << "no uprobes here: " << event.error().message;
    event_ = std::move(*event);
  }

  void learn() {
    const auto learned = probe_->tables().learn(static_cast<std::uint32_t>(getpid()));
    ASSERT_TRUE(learned) << learned.error().message;
  }

  // The stack of the one spot() since the last time.
  TakenStack one() {
    auto stacks = probe_->drain();
    EXPECT_EQ(stacks.size(), 1U);
    return stacks.empty() ? TakenStack{} : stacks.front();
  }

  // Whole, by tables alone, and all callers as backtrace() told them.
  void expect_as_told(const TakenStack& stack) {
    EXPECT_FALSE(stack.cut());
    EXPECT_FALSE(stack.frame_pointers());
    expect_callers_as_told(stack);
  }
  void expect_callers_as_told(const TakenStack& stack) {
    ASSERT_FALSE(stack.frames.empty());
    EXPECT_EQ(stack.tgid, static_cast<std::uint32_t>(getpid()));
    EXPECT_EQ(stack.frames.front(), reinterpret_cast<std::uint64_t>(&spot));
    ASSERT_GE(told.size(), 3U);
    EXPECT_EQ(std::vector(stack.frames.begin() + 1, stack.frames.end()),
              std::vector(told.begin() + 1, told.end()));
  }

  std::optional<UnwindProbe> probe_;
  Fd event_;
};

// A barrier after each call, so that none is a tail call.
#define NO_TAIL_CALL() asm volatile("" ::: "memory")

}  // namespace lb::observe
