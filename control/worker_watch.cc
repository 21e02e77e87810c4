// SPDX-License-Identifier: Apache-2.0
#include "control/worker_watch.h"

#include <fmt/format.h>

namespace lb {

WorkerWatch::Seen WorkerWatch::look(std::span<const WorkerInfo> workers, std::uint64_t now_ms) {
  Seen seen;
  for (const WorkerInfo& worker : workers) {
    auto said = said_ms_.find(worker.index);
    if (worker.last_step_ms <= kHangsMs) {
      if (said == said_ms_.end()) continue;
      seen.resume.push_back(fmt::format("worker {} takes its steps again", raw(worker.index)));
      said_ms_.erase(said);
      continue;
    }
    seen.all_step = false;
    if (said != said_ms_.end() && now_ms - said->second < kSayAgainMs) continue;
    said_ms_[worker.index] = now_ms;
    seen.hang.push_back(
        fmt::format("worker {} has taken no step for {} ms: XDP decides for its queue what it can, "
                    "the rest is dropped "
                    "(another thread may hold its CPU; restart lbd if it stays so)",
                    raw(worker.index), worker.last_step_ms));
  }
  return seen;
}

}  // namespace lb
