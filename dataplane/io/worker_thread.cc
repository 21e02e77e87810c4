// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/worker_thread.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <csignal>
#include <system_error>
#include <vector>

namespace lb {
namespace {

Status pin(pthread_t thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu < CPU_SETSIZE) CPU_SET(static_cast<std::size_t>(cpu), &set);
  int error = pthread_setaffinity_np(thread, sizeof set, &set);
  if (error == 0) return {};
  return fail(error, fmt::format("CPU {} is not there, or not for this process", cpu));
}

}  // namespace

Status run_on_cpu(int cpu, const std::function<Status()>& work) {
  if (cpu < 0) return work();
  Status status;
  try {
    std::thread thread([&] {
      status = pin(pthread_self(), cpu);
      if (status) status = work();
    });
    thread.join();
  } catch (const std::system_error& error) {
    status = fail_errno(error.code().value(), "thread");
  }
  return status;
}

Status WorkerThread::launch(std::function<void()> body) {
  stopping_.store(false, std::memory_order_relaxed);
  // The new thread inherits the mask: signals are for control's thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Status status;
  try {
    thread_ = std::thread(std::move(body));
  } catch (const std::system_error& error) {
    status = fail_errno(error.code().value(), fmt::format("worker {}: thread", options_.number));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  LB_TRY(status);
  pthread_setname_np(thread_.native_handle(), fmt::format("lbd-w{}", options_.number).c_str());
  if (options_.cpu < 0) return {};
  if (auto pinned = pin(thread_.native_handle(), options_.cpu); !pinned) {
    stop();
    return fail_in(fmt::format("worker {}", options_.number), std::move(pinned).error());
  }
  return {};
}

void WorkerThread::stop() noexcept {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_release);
  wake();
  thread_.join();
}

std::uint32_t usable_cpus() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
}

std::uint32_t spin_us_for(std::uint32_t wanted_us, std::uint32_t workers, std::uint32_t cpus,
                          const std::vector<int>& pinned) {
  if (workers >= cpus) return 0;
  auto sorted = pinned;
  std::ranges::sort(sorted);
  bool shared = std::ranges::adjacent_find(sorted) != sorted.end();
  return shared ? 0 : wanted_us;
}

}  // namespace lb
