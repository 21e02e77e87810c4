// SPDX-License-Identifier: Apache-2.0
// KernelLeakReporter: from a snapshot of the kernel-leak tracer to a Report. Remembers the last
// snapshot for rates. No kernel, no clock; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "observe/kleak/cache_ledger.h"
#include "observe/kleak/kernel_facts.h"
#include "observe/kleak/options.h"
#include "observe/kleak/snapshot.h"
#include "observe/report.h"

namespace lb::observe {

class KernelLeakReporter {
 public:
  /// Gives the index of a stack in the report at hand, by kmem_group_key::stack.
  using StackIndex = std::function<std::uint32_t(std::uint64_t)>;
  struct Times {
    std::uint64_t attached_ns = 0;  ///< the first time
    std::uint64_t since_ns = 0;     ///< from when the figures are
  };
  /// `baseline` may be empty (no slabinfo).
  KernelLeakReporter(KernelLeakOptions options, KernelText text, SlabBaseline baseline,
                     Times times);

  /// Rows with labels kind, cache, process, size_class, frees. Rows and figures of caches whose
  /// frees cannot be seen are intervals from 0 to what slabinfo allows, and are not in "leak".
  /// What interrupts allocated is the process "[interrupt]", and left out where the targets are
  /// processes. What the BPF allocator caused is left out. Misses, cost and memory of the honesty
  /// line are the loop's to add.
  void build(const KernelLeakSnapshot& snapshot, const StackIndex& stack_index, Report& report);

 private:
  /// kind, cache, process, size class, stack (in the report at hand).
  using RowKey = std::tuple<std::uint8_t, std::uint64_t, std::string, std::uint64_t, std::uint32_t>;
  struct RowSums;
  using Rows = std::map<RowKey, RowSums>;
  enum class Cause : std::uint8_t { Process, Interrupt, Own };
  struct KnownStack {
    std::uint32_t index = kNone;
    Cause cause = Cause::Process;
    bool left_out = false;
  };

  [[nodiscard]] double interval_of(const kmem_group_key& key) const;
  [[nodiscard]] Cause cause_of(std::uint32_t stack, const Report& report) const;
  void drop_trampolines(std::uint32_t stack, Report& report) const;
  void judge_stacks(const KernelLeakSnapshot& snapshot, const StackIndex& stack_index,
                    Report& report);
  [[nodiscard]] Rows sum_rows(const KernelLeakSnapshot& snapshot) const;
  void add_rows(const KernelLeakSnapshot& snapshot, const Rows& rows, Report& report);
  void add_figures(const KernelLeakSnapshot& snapshot, const Rows& rows, Report& report);
  void add_caches(const KernelLeakSnapshot& snapshot, const Rows& rows, Report& report) const;
  void add_allocs(const KernelLeakSnapshot& snapshot, Report& report) const;
  void add_honesty(const KernelLeakSnapshot& snapshot, Report& report) const;

  KernelLeakOptions options_;
  KernelText text_;
  SlabBaseline baseline_;
  std::uint64_t attached_ns_;
  // Of the snapshot at hand.
  std::map<std::uint64_t, CacheVerdict> verdicts_;
  std::map<std::uint64_t, KnownStack> stacks_;  // by kmem_group_key::stack
  double since_last_s_ = 0;
  std::uint64_t last_ns_ = 0;
  double last_leak_ = 0;
  std::map<RowKey, double> last_calls_;
};

}  // namespace lb::observe
