// SPDX-License-Identifier: Apache-2.0
// LoadGenerator: sends packets out of one interface and counts what arrives at another.
//
// One thread of its own sits in BPF_PROG_TEST_RUN with live frames (bpf/bench_gen.bpf.c makes the
// packets), the owner changes the plan and reads the counters meanwhile. The receiver's interface
// has an XDP program that counts and drops, and it is in the same network namespace as the
// sender's.
#pragma once

#include <linux/types.h>

#include <cstdint>
#include <memory>
#include <semaphore>
#include <string>
#include <thread>

#include "bpf/bench_abi.h"
#include "dataplane/base/result.h"
#include "testbed/bench.d/xdp_tools.h"

struct bench_gen;

namespace lb::bench {

/// A reading of the counters, and the time when it was taken.
struct Reading {
  std::uint64_t at_ns = 0;
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
};

/// What happened between two readings, in millions of packets per second.
struct Rates {
  double offered_mpps = 0;
  double delivered_mpps = 0;
};
[[nodiscard]] Rates rates_between(const Reading& from, const Reading& to);

class LoadGenerator {
 public:
  struct Options {
    std::string out;           ///< interface that packets leave by
    std::string sink;          ///< interface they come back to; may be the same
    bool watch_gaps = false;   ///< measure the time between arrivals (about 30 ns a packet more)
    std::uint32_t batch = 64;  ///< packets handed to the interface at once, at most 256
    std::uint32_t repeat = 1U << 20;  ///< packets in one system call
    int cpu = -1;                     ///< where the generator's thread runs
  };
  /// Loads the programs and attaches the sink; sends nothing yet.
  [[nodiscard]] static Result<std::unique_ptr<LoadGenerator>> open(const Options& options);
  ~LoadGenerator();
  LoadGenerator(const LoadGenerator&) = delete;
  LoadGenerator& operator=(const LoadGenerator&) = delete;

  /// Shared with the running program: a change takes effect at the next packet.
  [[nodiscard]] bench_plan& plan();
  /// Offered load in millions of packets per second; 0 is a flood.
  void set_rate(double mpps);
  /// REQUIRES: not running.
  [[nodiscard]] Status start();
  /// Returns when the last packet has left; the error of the run, if it had one.
  [[nodiscard]] Status stop();
  [[nodiscard]] Reading read() const;
  [[nodiscard]] bench_gaps gaps() const;
  /// Forgets the gaps seen so far.
  void reset_gaps();

 private:
  explicit LoadGenerator(const Options& options);
  void run(const std::stop_token& stop);

  struct SkeletonDeleter {
    void operator()(::bench_gen* skeleton) const;
  };
  Options options_;
  std::unique_ptr<::bench_gen, SkeletonDeleter> skeleton_;
  XdpLink sink_;
  int error_ = 0;
  std::binary_semaphore ended_{0};
  std::jthread thread_;
};

}  // namespace lb::bench
