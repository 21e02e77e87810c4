// SPDX-License-Identifier: Apache-2.0
// WorkerWatch: whether every worker still takes its steps. A worker that hangs keeps its queue: the
// packets that RSS puts there are lost without a trace. Director asks every second, feeds systemd's
// watchdog while all is well, and logs what look() says. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"

namespace lb {

class WorkerWatch {
 public:
  struct Seen {
    bool all_step = true;
    std::vector<std::string> hang;    ///< sentences: errors, each again after kSayAgainMs at most
    std::vector<std::string> resume;  ///< sentences: it steps again
  };
  [[nodiscard]] Seen look(std::span<const WorkerInfo> workers, std::uint64_t now_ms);

  /// An idle worker takes a step every 100 ms.
  static constexpr std::uint32_t kHangsMs = 1'000;
  static constexpr std::uint64_t kSayAgainMs = 60'000;

 private:
  std::map<WorkerIndex, std::uint64_t> said_ms_;  // of those that hang
};

}  // namespace lb
