// SPDX-License-Identifier: Apache-2.0
// Tracer: what every tracer of `lbctl observe` is to the loop that runs it (observe/frame/run.h).
// One thread calls it. Life: made with its options -> plan() -> attach() -> read() ... -> detach().
// What a tracer holds in the kernel goes with the object, in whatever way the process ends.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/bpf_object.h"
#include "dataplane/base/result.h"
#include "observe/report.h"
#include "observe/throttle.h"

namespace lb::observe {

/// What attach() will do and cost, for --dry-run and for the budget.
struct Plan {
  struct Site {
    std::string where;   ///< "tracepoint kmem:kmalloc", "uprobe libc.so.6:malloc+4"
    std::string how;     ///< "raw_tp", "uprobe.session", ...
    double cost_ns = 0;  ///< predicted, for each hit, the trap included; 0: not known
    std::string note;    ///< why this way; empty: it is the first choice
    double taken_ns =
        0;  ///< of a hit that sampling takes (cost_ns: that it leaves); 0: no sampling
  };
  std::vector<Site> sites;
  double memory_bytes = 0;         ///< of maps, before the first event
  double memory_max_bytes = 0;     ///< when every map is full
  std::vector<std::string> notes;  ///< what will not be seen, and why
};

/// Which processes a tracer looks at, resolved (observe/frame/target.h).
struct TargetSet {
  bool everything = true;           ///< the whole system
  std::vector<std::uint32_t> pids;  ///< thread groups
  std::string comm;                 ///< all processes of this name, now and later; empty: any
  std::uint64_t cgroup_id = 0;      ///< and below it; 0: any
  std::uint32_t cgroup_level = 0;   ///< its depth below the root
  bool follow_children = false;     ///< forks of `pids` too
};

class Tracer {
 public:
  Tracer() = default;
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;
  virtual ~Tracer() = default;

  [[nodiscard]] virtual std::string name() const = 0;
  /// Loads nothing and attaches nothing. Errors: what would make attach() fail, as far as it can
  /// be known before.
  [[nodiscard]] virtual Result<Plan> plan() = 0;
  /// Errors: one line that says what to do; nothing stays attached then.
  [[nodiscard]] virtual Status attach() = 0;
  /// What there is now; frames are addresses. Called once an interval, and once after detach().
  [[nodiscard]] virtual Result<Report> read() = 0;
  /// What needs the names of frames: called once for each Report, when they are resolved.
  virtual void refine(Report& report) { (void)report; }
  /// Stops the events; read() still works. Idempotent.
  virtual void detach() = 0;

  /// What is loaded, for the memory, the misses and the cost of the honesty line, which the loop
  /// adds. Valid until the tracer goes.
  [[nodiscard]] virtual std::vector<const BpfObject*> objects() const { return {}; }

  /// How it is held to a budget; nullptr: it cannot be, for its figures would be wrong.
  [[nodiscard]] virtual Throttle* throttle() { return nullptr; }

  /// A descriptor that is readable when drain() has something to do; -1: none.
  [[nodiscard]] virtual int event_fd() const { return -1; }
  /// Gives each event that waits as one line of JSON (without the line's end). Bounded by what
  /// waits now.
  virtual void drain(const std::function<void(std::string_view)>& line) { (void)line; }
};

}  // namespace lb::observe
