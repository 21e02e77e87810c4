// SPDX-License-Identifier: Apache-2.0
// CostMeter: what the programs of a tracer cost, by the kernel's own statistics, which are switched
// on for short windows only (they cost some 20 ns a run themselves). The trap of a uprobe is not in
// it. One thread, the loop's.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/base/bpf_object.h"
#include "dataplane/base/bpf_system.h"
#include "observe/honesty.h"

namespace lb::observe {

class CostMeter {
 public:
  /// The objects live as long as this.
  explicit CostMeter(const std::vector<const BpfObject*>& objects);

  /// Windows open and close as time goes by; call at least as often as wait_ms() says.
  void tick(std::uint64_t now_ns);
  /// Milliseconds until tick() has something to do.
  [[nodiscard]] std::uint64_t wait_ms(std::uint64_t now_ns) const;
  /// Closes a window that is open, for the last report.
  void finish(std::uint64_t now_ns);

  /// What was measured last is of another time: the next window opens at the next tick().
  void begin_anew(std::uint64_t now_ns);
  /// Percent of one CPU that the programs took in the window that closed last; 0: none has yet.
  [[nodiscard]] double recent_percent() const noexcept { return recent_percent_; }
  /// Fills cost_ns, cpu_percent, memory_bytes and adds the runs that the kernel left out.
  void add_to(Honesty& honesty) const;

 private:
  struct Sum {
    std::uint64_t runs = 0;
    std::uint64_t time_ns = 0;
    std::uint64_t misses = 0;
  };
  /// A tracer may load its programs anew.
  void find_programs();
  [[nodiscard]] Sum sum() const;
  void close_window(std::uint64_t now_ns);

  std::vector<const BpfObject*> objects_;
  std::vector<std::uint32_t> programs_;
  std::optional<BpfStatistics> window_;
  Sum at_open_;
  std::uint64_t opened_ns_ = 0;
  std::uint64_t next_ns_ = 0;  // when the window opens or closes
  std::uint64_t runs_ = 0;
  std::uint64_t time_ns_ = 0;
  std::uint64_t watched_ns_ = 0;
  double recent_percent_ = 0;
};

}  // namespace lb::observe
