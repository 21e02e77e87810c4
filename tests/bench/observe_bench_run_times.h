// SPDX-License-Identifier: Apache-2.0
// RunTimes: what the programs of an object take a run, by the kernel's statistics, over one window.
// The statistics themselves are in it, and the trap of a uprobe is not. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/base/bpf_object.h"
#include "dataplane/base/bpf_system.h"
#include "dataplane/base/result.h"

namespace lb::observe {

class RunTimes {
 public:
  /// Statistics are on from now to end(). `object` outlives this. Errors: those of BpfStatistics.
  [[nodiscard]] static Result<RunTimes> begin(const BpfObject& object) {
    LB_TRY_ASSIGN(auto statistics, BpfStatistics::enable());
    RunTimes times(object, std::move(statistics));
    times.add(-1);
    return times;
  }
  void end() {
    statistics_.reset();
    add(1);
  }
  /// ns a run of the programs whose names contain `part`; nothing when none of them ran.
  [[nodiscard]] std::optional<double> of(std::string_view part) const {
    Sum sum;
    for (const auto& [name, own] : sums_) {
      if (!name.contains(part)) continue;
      sum.runs += own.runs;
      sum.ns += own.ns;
    }
    if (sum.runs == 0) return std::nullopt;
    return sum.ns / sum.runs;
  }

 private:
  struct Sum {
    double runs = 0;
    double ns = 0;
  };
  RunTimes(const BpfObject& object, BpfStatistics statistics)
      : object_(&object), statistics_(std::move(statistics)) {}
  void add(double sign) {
    for (const BpfHeld& held : object_->held()) {
      if (held.is_map) continue;
      if (const auto info = bpf_program_info(held.id)) {
        sums_[held.name].runs += sign * static_cast<double>(info->runs);
        sums_[held.name].ns += sign * static_cast<double>(info->run_time_ns);
      }
    }
  }
  const BpfObject* object_;
  std::optional<BpfStatistics> statistics_;
  std::map<std::string, Sum> sums_;
};

}  // namespace lb::observe
