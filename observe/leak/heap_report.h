// SPDX-License-Identifier: Apache-2.0
// HeapReporter: from a snapshot of the heap-leak tracer to a Report. Remembers the last one for
// rates. No kernel, no clock; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <tuple>

#include "observe/leak/heap_snapshot.h"
#include "observe/leak/mapping_ledger.h"
#include "observe/leak/options.h"
#include "observe/report.h"

namespace lb::observe {

/// A figure that is wrong when events or processes were missed.
[[nodiscard]] bool is_of_blocks(const Figure& figure);

class HeapReporter {
 public:
  /// Gives the index of a stack in the report at hand, by observe_heap_block::stack.
  using StackIndex = std::function<std::uint32_t(std::uint64_t)>;
  HeapReporter(const HeapLeakOptions& options, std::uint64_t attached_ns)
      : options_(&options), attached_ns_(attached_ns), last_ns_(attached_ns) {}

  /// What was allocated before is unsure from now on: frees went unseen until now.
  /// The next report has no rates.
  void observed_again(std::uint64_t now_ns);

  /// Rows with labels kind ("heap", "mapping", "brk"), process and size_class. Spaces that exec has
  /// replaced are left out.
  void build(const HeapSnapshot& snapshot, const HeapSpaces& spaces, const MappingLedger& mappings,
             const StackIndex& stack_index, Report& report);

 private:
  /// Space, stack, size class.
  using RowKey = std::tuple<std::uint32_t, std::uint64_t, std::uint32_t>;
  struct RowSums;
  struct Sums;

  [[nodiscard]] Sums sum_up(const HeapSnapshot& snapshot, const HeapSpaces& spaces) const;
  void add_rows(const Sums& sums, const HeapSpaces& spaces, const StackIndex& stack_index,
                Report& report);
  void add_mappings(const HeapSnapshot& snapshot, const HeapSpaces& spaces,
                    const MappingLedger& mappings, const StackIndex& stack_index, Report& report);
  void add_figures(const HeapSnapshot& snapshot, const Sums& sums, Report& report);
  void add_blocks(const HeapSnapshot& snapshot, const HeapSpaces& spaces, Report& report) const;
  void add_honesty(const HeapSnapshot& snapshot, Report& report) const;

  const HeapLeakOptions* options_;
  std::uint64_t attached_ns_;
  std::uint64_t last_ns_;
  std::uint64_t sure_since_ns_ = 0;
  bool rates_known_ = true;
  double since_last_s_ = 0;
  double last_leak_ = 0;
  double last_allocations_ = 0;
  std::map<RowKey, double> last_bytes_;
  std::map<std::tuple<std::uint32_t, std::uint64_t, bool>, double> last_mapped_;
};

/// "comm/pid", and " (ended)" when the process has.
[[nodiscard]] std::string process_label(const HeapSpaces& spaces, std::uint32_t space);

}  // namespace lb::observe
