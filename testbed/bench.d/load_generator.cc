// SPDX-License-Identifier: Apache-2.0
// LoadGenerator: the thread in BPF_PROG_TEST_RUN and the memory it shares with the programs.
#include "testbed/bench.d/load_generator.h"

#include <bpf/bench_gen.skel.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>

namespace lb::bench {

namespace {

/// Counters are written by the kernel through a mapping the compiler knows nothing of.
std::uint64_t load(const __u64& word) { return __atomic_load_n(&word, __ATOMIC_RELAXED); }

/// A signal that does nothing but interrupt the system call.
void install_wake_signal() {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, nullptr);
}

}  // namespace

Rates rates_between(const Reading& from, const Reading& to) {
  const double us = static_cast<double>(to.at_ns - from.at_ns) / 1000.0;
  if (us <= 0) return {};
  return {static_cast<double>(to.sent - from.sent) / us,
          static_cast<double>(to.received - from.received) / us};
}

void LoadGenerator::SkeletonDeleter::operator()(::bench_gen* skeleton) const {
  bench_gen__destroy(skeleton);
}

LoadGenerator::LoadGenerator(const Options& options) : options_(options) {}

LoadGenerator::~LoadGenerator() {
  [[maybe_unused]] const Status stopped = stop();  // nobody is left to tell
}

Result<std::unique_ptr<LoadGenerator>> LoadGenerator::open(const Options& options) {
  install_wake_signal();
  std::unique_ptr<LoadGenerator> self(new LoadGenerator(options));
  self->skeleton_.reset(bench_gen__open_and_load());
  if (!self->skeleton_) return fail_errno(errno, "generator program");
  auto& programs = self->skeleton_->progs;
  LB_TRY_ASSIGN(self->sink_,
                attach_xdp(options.watch_gaps ? programs.bench_sink_gaps : programs.bench_sink,
                           options.sink));
  LB_TRY_ASSIGN(const int out, interface_index(options.out));
  auto& plan = self->plan();
  plan.out_ifindex = static_cast<__u32>(out);
  plan.proto = BENCH_UDP;
  plan.flows = 1;
  plan.burst = options.batch;
  return self;
}

bench_plan& LoadGenerator::plan() { return skeleton_->bss->plan; }

void LoadGenerator::set_rate(double mpps) {
  auto& p = plan();
  const double ns = mpps > 0 ? static_cast<double>(p.burst) * 1000.0 / mpps : 0;
  __atomic_store_n(&p.burst_ns, static_cast<__u64>(ns), __ATOMIC_RELAXED);
}

Status LoadGenerator::start() {
  error_ = 0;
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  return {};
}

Status LoadGenerator::stop() {
  if (thread_.joinable()) {
    thread_.request_stop();
    // The signal may come between the check and the call, so it is sent until the thread has ended.
    while (!ended_.try_acquire_for(std::chrono::milliseconds(1))) {
      if (pthread_kill(thread_.native_handle(), SIGUSR1) != 0) break;
    }
    thread_.join();
  }
  if (error_ != 0) return fail_errno(error_, "BPF_PROG_TEST_RUN with live frames");
  return {};
}

void LoadGenerator::run(const std::stop_token& stop) {
  if (auto pinned = pin_this_thread(options_.cpu); !pinned) {
    error_ = pinned.error().code.value();
  }
  std::array<unsigned char, BENCH_FRAME_BYTES> frame{};
  while (error_ == 0 && !stop.stop_requested()) {
    bpf_test_run_opts opts{};
    opts.sz = sizeof opts;
    opts.data_in = frame.data();
    opts.data_size_in = frame.size();
    opts.repeat = static_cast<int>(options_.repeat);
    opts.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    opts.batch_size = options_.batch;
    const int result = bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.bench_gen), &opts);
    if (result < 0 && result != -EINTR) error_ = -result;
  }
  ended_.release();
}

Reading LoadGenerator::read() const {
  const auto& bss = *skeleton_->bss;
  Reading reading;
  reading.at_ns = monotonic_ns();
  reading.sent = load(bss.sent.packets);
  for (const auto& slot : bss.received) reading.received += load(slot.packets);
  return reading;
}

bench_gaps LoadGenerator::gaps() const { return skeleton_->bss->gaps; }

void LoadGenerator::reset_gaps() { skeleton_->bss->gaps = {}; }

}  // namespace lb::bench
