// SPDX-License-Identifier: Apache-2.0
// WorkerThread: runs a Worker's steps on a thread of its own: pinned if asked, spinning only for a
// while after the last packet and only where a core is to spare, else asleep in Idle. start() and
// stop() are control's.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "dataplane/base/clock.h"
#include "dataplane/base/result.h"
#include "dataplane/counters.h"
#include "dataplane/io/idle.h"

namespace lb {

struct WorkerThreadOptions {
  std::uint32_t number = 0;
  int cpu = -1;  ///< -1: not pinned
  std::uint32_t spin_us = 0;
};

class WorkerThread {
 public:
  /// The idle wait is shared with whoever wakes the worker.
  WorkerThread(const WorkerThreadOptions& options, std::unique_ptr<Idle> idle, Counters& counters)
      : options_(options), idle_(std::move(idle)), counters_(counters) {}
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;
  ~WorkerThread() { stop(); }

  /// Starts stepping `worker` (a Worker<...>), which outlives the thread. Errors: EAGAIN; EINVAL
  /// (no such CPU).
  template <class W>
  [[nodiscard]] Status start(W& worker) {
    return launch([this, &worker] { run(worker); });
  }
  /// Ends the loop within one step and joins; harmless when it does not run.
  void stop() noexcept;
  /// Makes a sleeping worker take a step.
  void wake() noexcept { idle_->wake(); }
  [[nodiscard]] IdleKind idle_kind() const noexcept { return idle_->kind(); }
  [[nodiscard]] int cpu() const noexcept { return options_.cpu; }

 private:
  static constexpr std::uint64_t kNoSpin = 1;
  /// Steps that empty the RX rings when the worker is told to stop.
  static constexpr int kLastSteps = 64;
  [[nodiscard]] Status launch(std::function<void()> body);

  template <class W>
  void run(W& worker) noexcept {
    std::uint64_t spin_until = kNoSpin;
    while (!stopping_.load(std::memory_order_acquire)) {
      if (worker.step(tick_ms_now())) {
        spin_until = 0;
        continue;
      }
      if (may_spin(spin_until)) continue;
      counters_.worker.sleeps.add();
      idle_->wait(worker.idle_ms());
      counters_.worker.wakeups.add();
      spin_until = kNoSpin;  // if nothing came, sleep again without a spin
    }
    for (int i = 0; i < kLastSteps && worker.step(tick_ms_now()); ++i) continue;
    worker.release_held();
  }

  /// The first empty step after a packet starts the clock.
  bool may_spin(std::uint64_t& until) const noexcept {
    if (options_.spin_us == 0 || until == kNoSpin) return false;
    std::uint64_t now = monotonic_ns();
    if (until == 0) until = now + options_.spin_us * std::uint64_t{1000};
    if (now >= until) return false;
    __builtin_ia32_pause();
    return true;
  }

  WorkerThreadOptions options_;
  std::unique_ptr<Idle> idle_;
  Counters& counters_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

/// Runs `work` to its end on `cpu`, in a thread of its own (-1: here): the kernel gives memory from
/// the node of the CPU that touches it first. Its status. Errors: EAGAIN; EINVAL (no such CPU).
[[nodiscard]] Status run_on_cpu(int cpu, const std::function<Status()>& work);
/// CPUs that this process may run on.
[[nodiscard]] std::uint32_t usable_cpus() noexcept;
/// How long idle workers may spin: not at all when there are as many of them as CPUs, or two share
/// one.
[[nodiscard]] std::uint32_t spin_us_for(std::uint32_t wanted_us, std::uint32_t workers,
                                        std::uint32_t cpus, const std::vector<int>& pinned);

}  // namespace lb
