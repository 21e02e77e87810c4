// SPDX-License-Identifier: Apache-2.0
// `observe leak` of a process, sampled, in the kernel: over 200 fixed seeds the truth lies in the
// 95 % interval, in all and for each stack; blocks keep the level that they were taken at; what a
// pause of a budget hides is unsure and never in leak; the budget is kept.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "dataplane/base/clock.h"
#include "observe/frame/governor.h"
#include "observe/leak/heap_tracer.h"

namespace lb::observe {
namespace {

/// What one stack of the child allocates in a round. Of size classes of their own, which tell them
/// apart.
struct Site {
  std::size_t bytes;
  std::size_t blocks;
  const char* size_class;
};
constexpr std::array<Site, 4> kSites = {
    {{24, 4000, "<32"}, {100, 1500, "<128"}, {3'000, 60, "<4096"}, {100'000, 4, "<131072"}}};
constexpr double kBytes = 24 * 4000 + 100 * 1500 + 3000 * 60 + 100'000 * 4;
constexpr double kOfThread = 400;  // what libc keeps for the next thread
constexpr std::uint64_t kInterval = 32'768;

enum class Order : std::uint8_t { Allocate, FreeAll, Free, Hurry, End };

/// A process that does as it is told, each order in a thread of its own, and says when it is done.
class Child {
 public:
  Child() {
    if (pipe(orders_.data()) != 0 || pipe(answers_.data()) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) serve();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    for (int fd : {orders_[0], orders_[1], answers_[0], answers_[1]}) close(fd);
  }

  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }
  void tell(Order order) const { ASSERT_EQ(write(orders_[1], &order, 1), 1); }
  /// Whether it was done within so many milliseconds; wait() is for the answer.
  [[nodiscard]] bool is_done_in(std::uint64_t ms) const {
    pollfd fd{answers_[0], POLLIN, 0};
    return poll(&fd, 1, static_cast<int>(ms)) == 1;
  }
  void wait() const {
    char done = 0;
    ASSERT_EQ(read(answers_[0], &done, 1), 1);
  }
  void run(Order order) const {
    tell(order);
    wait();
  }

 private:
  [[noreturn]] void serve() const {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::vector<void*> blocks;
    blocks.reserve(1 << 20);
    Order order{};
    while (read(orders_[0], &order, 1) == 1 && order != Order::End) {
      std::thread([&] { obey(order, blocks); }).join();
      const char done = 1;
      if (write(answers_[1], &done, 1) != 1) break;
    }
    _exit(0);
  }
  static void obey(Order order, std::vector<void*>& blocks) {
    if (order == Order::Allocate) {
      for (const Site& site : kSites) {
        for (std::size_t i = 0; i < site.blocks; ++i) blocks.push_back(std::malloc(site.bytes));
      }
    } else if (order == Order::Hurry) {  // for three seconds; keeps nothing
      const auto end = monotonic_ns() + 3'000'000'000;
      while (monotonic_ns() < end) {
        for (int i = 0; i < 1000; ++i) {
          void* volatile block = std::malloc(64);
          std::free(block);
        }
      }
    } else {
      const std::size_t left = order == Order::Free ? blocks.size() / 2 : 0;
      for (; blocks.size() > left; blocks.pop_back()) std::free(blocks.back());
    }
  }

  std::array<int, 2> orders_{};
  std::array<int, 2> answers_{};
  pid_t pid_ = -1;
};

class Sampled : public testing::Test {
 protected:
  void attach(std::uint64_t sample_bytes, std::uint64_t min_size = 0) {
    HeapLeakOptions options;
    options.targets.everything = false;
    options.targets.pids = {child_.pid()};
    options.sample_bytes = sample_bytes;
    options.sample_seed = 1;
    options.min_size = min_size;
    options.budget = true;
    tracer_.emplace(std::move(options), symbols_);
    const auto attached = tracer_->attach();
    ASSERT_TRUE(attached) << attached.error().message;
  }
  Report report() {
    tracer_->drain([](std::string_view) {});
    auto report = tracer_->read();
    EXPECT_TRUE(report);
    return report ? std::move(*report) : Report{};
  }
  static Value figure(const Report& report, std::string_view name) {
    const auto found = std::ranges::find(report.figures, name, &Figure::name);
    return found == report.figures.end() ? Value(-1) : found->value;
  }
  /// Outstanding bytes of what the child allocates at one site.
  static Value bytes_of(const Report& report, const Site& site) {
    Value sum;
    for (const Row& row : report.rows) {
      if (row.labels[0] != "heap" || row.labels[2] != site.size_class) continue;
      if (row.values[0].value > sum.value) sum = row.values[0];
    }
    return sum;
  }

  Child child_;
  Symboliser symbols_;
  std::optional<HeapTracer> tracer_;
};

bool holds(const Value& value, double truth) { return value.low <= truth && truth <= value.high; }

// Each round is a thread, and each thread has its own seed: 1, 2, 3, ...
TEST_F(Sampled, TruthLiesInTheIntervalOver200Seeds) {
  attach(kInterval);
  int whole = 0;
  std::array<int, kSites.size()> of_site{};
  double sum = 0;
  constexpr int kRounds = 200;
  for (int round = 0; round < kRounds; ++round) {
    child_.run(Order::Allocate);
    const Report now = report();
    const Value leak = figure(now, "leak");
    sum += leak.value;
    whole += holds(leak, kBytes) ? 1 : 0;
    for (std::size_t i = 0; i < kSites.size(); ++i) {
      const auto& site = kSites.at(i);
      const auto truth = static_cast<double>(site.bytes * site.blocks);
      of_site.at(i) += holds(bytes_of(now, site), truth) ? 1 : 0;
    }
    child_.run(Order::FreeAll);
  }
  EXPECT_GE(whole, 180);
  for (std::size_t i = 0; i < kSites.size(); ++i) {
    EXPECT_GE(of_site.at(i), 180) << kSites.at(i).bytes;
  }
  EXPECT_NEAR(sum / kRounds / kBytes, 1, 0.02) << "biased";
  std::printf(
      "in the interval: all %d, by stack %d %d %d %d of %d; mean estimate %.4f of the truth\n",
      whole, of_site[0], of_site[1], of_site[2], of_site[3], kRounds, sum / kRounds / kBytes);
}

TEST_F(Sampled, BlocksKeepTheLevelThatTheyWereTakenAt) {
  attach(kInterval);
  int whole = 0;
  double sum = 0;
  constexpr int kRounds = 40;
  for (int round = 0; round < kRounds; ++round) {
    ASSERT_TRUE(tracer_->throttle()->set_level(0));
    child_.run(Order::Allocate);
    ASSERT_TRUE(tracer_->throttle()->set_level(3));
    child_.run(Order::Allocate);
    const Value leak = figure(report(), "leak");
    sum += leak.value;
    whole += holds(leak, 2 * kBytes) ? 1 : 0;
    child_.run(Order::FreeAll);
  }
  EXPECT_GE(whole, kRounds * 9 / 10);
  EXPECT_NEAR(sum / kRounds / (2 * kBytes), 1, 0.05) << "biased";
}

// At an interval of a byte every block is taken, so the figures are exact.
TEST_F(Sampled, WhatAPauseHidesIsUnsure) {
  attach(1, 24);
  child_.run(Order::Allocate);
  EXPECT_NEAR(figure(report(), "leak").value, kBytes, kOfThread);
  EXPECT_EQ(figure(report(), "unsure").value, -1);
  tracer_->throttle()->pause();
  child_.run(Order::Free);
  child_.run(Order::Allocate);
  ASSERT_TRUE(tracer_->throttle()->resume());
  const Report resumed = report();
  EXPECT_EQ(figure(resumed, "leak").value, 0);
  EXPECT_NEAR(figure(resumed, "unsure").value, kBytes, kOfThread);
  child_.run(Order::Allocate);
  EXPECT_NEAR(figure(report(), "leak").value, kBytes, kOfThread);
  child_.run(Order::FreeAll);
  EXPECT_NEAR(figure(report(), "leak").value, 0, kOfThread);
}

TEST_F(Sampled, BudgetIsKeptByBeingOffWhereTrapsCostTooMuch) {
  attach(512 * 1024);
  constexpr double kPercent = 5;
  CostMeter cost(tracer_->objects());
  const auto start = monotonic_ns();
  Governor governor(*tracer_->throttle(), cost, kPercent, start);
  child_.tell(Order::Hurry);
  while (!child_.is_done_in(
      std::min(governor.wait_ms(monotonic_ns()), cost.wait_ms(monotonic_ns())))) {
    cost.tick(monotonic_ns());
    const auto ticked = governor.tick(monotonic_ns());
    ASSERT_TRUE(ticked) << ticked.error().message;
  }
  child_.wait();
  Report now = report();
  const auto end = monotonic_ns();
  governor.add_to(now.honesty, end);
  EXPECT_GT(now.honesty.unobserved_s, 0);
  // On the average it keeps to the budget, but for what is seen last and the first look.
  const double seconds = static_cast<double>(end - start) / 1e9;
  const double spent = now.honesty.cpu_percent * seconds;
  EXPECT_GT(spent, 0);
  EXPECT_LT(spent, kPercent * seconds + 2 * 100) << now.honesty.notes.back();
  EXPECT_NE(now.honesty.notes.back().find(", off "), std::string::npos);
}

}  // namespace
}  // namespace lb::observe
