// SPDX-License-Identifier: Apache-2.0
// BenchTarget: the process that observe_bench traces: this program, started again, which does one
// load after another as it is told and answers what an operation took of its CPU time. Called by
// the bench's thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb::observe {

enum class Load : std::uint8_t {
  Nothing,  ///< answers at once
  Pairs,    ///< malloc(100) and free(), from a call depth
  Touch,    ///< pages of anonymous memory: mapped, touched, unmapped; an operation is a page
  Pipe,     ///< a full pipe of 1 MiB is filled and drained; an operation is a page
};

class BenchTarget {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  /// `preload`: LD_PRELOAD; empty: none. Errors: errno of fork(2) and pipe(2); ENOEXEC when it does
  /// not start.
  [[nodiscard]] static Result<BenchTarget> start(const std::string& preload = {},
                                                 const Environment& environment = {});
  BenchTarget(BenchTarget&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)),
        commands_(std::move(other.commands_)),
        answers_(std::move(other.answers_)) {}
  BenchTarget& operator=(BenchTarget&&) = delete;
  BenchTarget(const BenchTarget&) = delete;
  BenchTarget& operator=(const BenchTarget&) = delete;
  ~BenchTarget();

  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }
  /// CPU nanoseconds of an operation, over about `milliseconds` of them. Errors: EIO when it died.
  [[nodiscard]] Result<double> run(Load load, unsigned milliseconds, unsigned depth = 1) const;

 private:
  BenchTarget(pid_t pid, Fd commands, Fd answers)
      : pid_(pid), commands_(std::move(commands)), answers_(std::move(answers)) {}
  pid_t pid_;
  Fd commands_;
  Fd answers_;
};

/// Does not return in a process that was started as a target. First in main().
void serve_if_target();

}  // namespace lb::observe
