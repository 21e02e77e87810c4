// SPDX-License-Identifier: Apache-2.0
// ResidentReporter: from looks at processes and the ledger of their pages to a Report. Remembers
// what it saw, for rates, peaks and processes that have ended. No kernel, no clock; one thread.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bpf/observe_stack.h"
#include "observe/report.h"
#include "observe/resident/resident_ledger.h"
#include "observe/resident/resident_look.h"

namespace lb::observe {

/// The life of a process with one program in it.
struct ResidentLife {
  std::uint32_t pid = 0;
  std::string comm;
  std::uint32_t space = 0;  ///< in the ledger
  bool shares = false;      ///< its parent's space (vfork); then it has nothing of its own
  bool ended = false;
  std::uint64_t since_ns = 0;     ///< what happened before is in the look at its begin
  ResidentStatus first;           ///< at the first look; zeros when it began under our eyes
  std::uint64_t first_bytes = 0;  ///< resident at its begin
  bool first_known = true;  ///< false: what of its parent's is found there first counts as first
};
using ResidentLives = std::map<std::uint32_t, ResidentLife>;  // by number of ours

class ResidentReporter {
 public:
  /// Gives the index of a stack in the report at hand, by its id in the kernel.
  using StackIndex = std::function<std::uint32_t(std::uint64_t)>;
  /// Rows of a process; above it those that hold nothing are left out.
  static constexpr std::size_t kRowsMax = 65'536;
  explicit ResidentReporter(std::uint64_t attached_ns)
      : attached_ns_(attached_ns), last_ns_(attached_ns) {}

  /// What this process holds now. REQUIRES: the ledger knows what happened until then.
  void see(std::uint32_t life, ResidentLife& of, const ResidentLook& look,
           const ResidentLedger& ledger);
  /// After the looks of this moment, all seen.
  void seen_all();
  /// It could not be looked at: what is told of it is of an earlier moment, so figures are not
  /// reliable until it is seen again.
  void miss(std::uint32_t life) { seen_[life].missed = true; }
  /// It holds nothing any more, and is told still.
  void ended(std::uint32_t life);
  /// Faults come on pages that are there (NUMA balancing): pages of before may count as new.
  void doubt_before() { before_doubted_ = true; }
  /// It is no more, and nothing of it is told.
  void forget(std::uint32_t life) { seen_.erase(life); }
  /// Whether there is anything to tell of it.
  [[nodiscard]] bool has_seen(std::uint32_t life) const { return seen_.contains(life); }

  /// Rows with labels kind, process, mapping and fault. A mapping that is known by its call is the
  /// index of its stack behind '#', until name_mappings() has names for it.
  void build(const ResidentLives& lives, const ResidentLedger& ledger, const observe_losses& losses,
             std::uint64_t now_ns, const StackIndex& stack_index, Report& report);

 private:
  struct RowKey {
    std::string kind;
    std::string name;  ///< of the mapping; empty where the call is known
    MappedBy mapped;
    Touch touch;

    auto operator<=>(const RowKey&) const = default;
  };
  struct Sums {
    double bytes = 0;
    double peak = 0;
    double last = 0;  ///< at the last report
  };
  struct Seen {
    std::map<RowKey, Sums> rows;
    double now = 0;     ///< all that is resident
    double before = 0;  ///< of it, what was there at first
    bool missed = false;
    ResidentStatus status;
    ResidentLook look;
  };
  void add_rows(std::uint32_t life, const ResidentLife& of, const ResidentLedger& ledger,
                const StackIndex& stack_index, Report& report);
  void add_figures(const ResidentLives& lives, const observe_losses& losses, Report& report);
  void add_section(const ResidentLives& lives, Report& report) const;
  static RowKey key_of(const ResidentLook& look, std::uint64_t address, bool file,
                       const MappedBy& mapped, const Touch& touch);

  std::uint64_t attached_ns_;
  std::uint64_t last_ns_;
  double since_last_s_ = 0;
  double last_leak_ = 0;
  double peak_ = 0;
  bool before_doubted_ = false;
  std::size_t left_out_ = 0;  // rows
  std::map<std::uint32_t, Seen> seen_;
};

/// Gives mappings that are known by their stack the name of the function that called for them: the
/// first that is not of an allocator, a wrapper of the system call or the dynamic linker. REQUIRES:
/// resolved.
void name_mappings(Report& report);

/// The label "site" (site.h), by the same functions. REQUIRES: resolved.
void add_resident_sites(Report& report);

}  // namespace lb::observe
