// SPDX-License-Identifier: Apache-2.0
// Planner: what a memory tracer attaches to the processes it looks at, how, and what it will cost.
// Made once a tracer; one thread. Attaches nothing; its calibration leaves nothing behind. Used as
// make() -> plan(pids) -> [rescan(pids) when libraries or programs came].
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/bpf_object_uprobe.h"
#include "dataplane/base/result.h"
#include "observe/plan/allocators.h"
#include "observe/plan/site_costs.h"
#include "observe/tracer.h"

namespace lb::observe {

struct PlannerOptions {
  AllocatorOptions allocators;
  /// Empty: the best that the kernel takes.
  std::optional<Mechanism> mechanism;
  /// False: typical costs; nothing is loaded and no child is forked.
  bool calibrate = true;
  /// Whether the tracer leaves most calls out.
  bool sampled = false;
};

/// What one call of attach_uprobes() takes.
struct UprobeGroup {
  CodeFile file;
  UprobeKind kind = UprobeKind::Multi;
  std::vector<std::uint64_t> offsets;
  std::vector<std::uint64_t> cookies;
};

/// What a cookie says: bits 0-7 Role, 8-15 first argument, 16 unseen (ProbePoint), 32-63 the index
/// of the point since make().
[[nodiscard]] std::uint64_t cookie_of(const ProbePoint& point, std::uint32_t index) noexcept;

/// Points that are new since the plan before.
struct UprobePlan {
  Mechanism mechanism = Mechanism::Session;
  std::uint32_t first_index = 0;  ///< of points[0], in cookies
  std::vector<ProbePoint> points;
  std::vector<double> cost_ns;   ///< for each point: predicted, a hit, entry and return together
  std::vector<double> taken_ns;  ///< the same of one that the sampling takes; 0: not sampled
  std::vector<Allocator> allocators;
  std::vector<std::string> refusals;
  std::vector<std::string> notes;
  bool without_allocator = false;  ///< a process of it has none, as far as is known

  /// Links to make: by file and kind. A point whose return is wanted is in a Session group, or
  /// without sessions in two groups.
  [[nodiscard]] std::vector<UprobeGroup> groups() const;
  /// For Plan of tracer.h.
  [[nodiscard]] std::vector<Plan::Site> sites() const;
};

class Planner {
 public:
  /// Errors: NoPermission when programs may not be loaded (and options.calibrate); a mechanism that
  /// was asked for and is not there: Unsupported.
  [[nodiscard]] static Result<Planner> make(PlannerOptions options);

  [[nodiscard]] Mechanism mechanism() const noexcept { return mechanism_; }
  [[nodiscard]] const SiteCosts& costs() const noexcept { return costs_; }

  /// Everything of the processes. One that has ended is left out with a note. Errors: of
  /// code_files_of() and find_allocators() when nothing is left.
  [[nodiscard]] Result<UprobePlan> plan(std::span<const std::uint32_t> pids);
  /// What they have mapped since plan() and the rescans before; no points when nothing is new.
  /// Cheap when no file is new. A process that has ended, or has no allocator yet, is a note.
  [[nodiscard]] Result<UprobePlan> rescan(std::span<const std::uint32_t> pids);

 private:
  using FileId = std::pair<std::uint64_t, std::uint64_t>;  // device, inode
  explicit Planner(PlannerOptions options) : options_(std::move(options)) {}
  [[nodiscard]] Status scan(std::uint32_t pid, bool may_have_none, UprobePlan& plan);
  [[nodiscard]] UprobePlan empty_plan() const;
  void take(AllocatorPlan found, UprobePlan& plan);
  void predict(const ProbePoint& point, UprobePlan& plan) const;

  PlannerOptions options_;
  Mechanism mechanism_ = Mechanism::Plain;
  SiteCosts costs_;
  std::map<std::vector<FileId>, bool> scanned_;         // lists of files, whether with an allocator
  std::set<std::pair<FileId, std::uint64_t>> planned_;  // file and offset
  std::set<std::string> said_;                          // refusals and notes
  std::uint32_t next_index_ = 0;
};

}  // namespace lb::observe
