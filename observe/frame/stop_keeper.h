// SPDX-License-Identifier: Apache-2.0
// StopKeeper: a process of ours that lets stopped processes go on when we are killed. A BPF program
// stops them (SIGSTOP) and writes them into a map; as long as we live we let them go on ourselves.
// One thread starts and ends it.
#pragma once

#include <sys/types.h>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb::observe {

/// SIGCONT for each process in the map, in so many turns 10 ms apart: the kernel takes programs off
/// a moment after the descriptors of their links, and until then they stop others. Errors: errno of
/// bpf(2) in the last turn.
[[nodiscard]] Status let_all_go_on(int map_fd, int turns);

class StopKeeper {
 public:
  /// `map_fd`: a hash of processes (32 bits) and one byte, of an object that is not attached yet:
  /// the keeper must not hold links. Errors: errno of pipe(2), fork(2).
  [[nodiscard]] static Result<StopKeeper> start(int map_fd);
  StopKeeper(StopKeeper&& other) noexcept;
  StopKeeper& operator=(StopKeeper&& other) noexcept;
  /// The keeper goes, and does nothing.
  ~StopKeeper();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  StopKeeper(pid_t pid, Fd alive) : pid_(pid), alive_(std::move(alive)) {}
  pid_t pid_ = -1;
  Fd alive_;  // closed by the kernel when we are gone
};

}  // namespace lb::observe
