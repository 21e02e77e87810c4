// SPDX-License-Identifier: Apache-2.0
#include "observe/plan/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <tuple>

#include "dataplane/base/bpf_object.h"

namespace lb::observe {
namespace {

Result<Mechanism> choose_mechanism(const PlannerOptions& options) {
  LB_TRY_ASSIGN(const UprobeSupport support, probe_uprobe_support());
  const Mechanism best = support.session && support.multi ? Mechanism::Session
                         : support.multi                  ? Mechanism::Multi
                                                          : Mechanism::Plain;
  const Mechanism wanted = options.mechanism.value_or(best);
  if (wanted < best) {
    return std::unexpected(
        Error{BpfError::Unsupported, fmt::format("{} is not in this kernel; the best here is {}",
                                                 name_of(wanted), name_of(best))});
  }
  return wanted;
}

std::vector<UprobeKind> kinds_of(Mechanism mechanism, bool returns) {
  switch (mechanism) {
    case Mechanism::Session:
      return {returns ? UprobeKind::Session : UprobeKind::Multi};
    case Mechanism::Multi:
      return returns ? std::vector{UprobeKind::Multi, UprobeKind::MultiReturn}
                     : std::vector{UprobeKind::Multi};
    case Mechanism::Plain:
      break;
  }
  return returns ? std::vector{UprobeKind::Plain, UprobeKind::PlainReturn}
                 : std::vector{UprobeKind::Plain};
}

std::string how(Mechanism mechanism, bool returns) {
  switch (mechanism) {
    case Mechanism::Session:
      return returns ? "uprobe.session" : "uprobe.multi";
    case Mechanism::Multi:
      return returns ? "uprobe.multi + uretprobe.multi" : "uprobe.multi";
    case Mechanism::Plain:
      break;
  }
  return returns ? "uprobe + uretprobe" : "uprobe";
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::uint64_t cookie_of(const ProbePoint& point, std::uint32_t index) noexcept {
  return static_cast<std::uint64_t>(point.role) |
         static_cast<std::uint64_t>(point.first_argument) << 8 |
         static_cast<std::uint64_t>(point.unseen ? 1 : 0) << 16 |
         static_cast<std::uint64_t>(index) << 32;
}

std::vector<UprobeGroup> UprobePlan::groups() const {
  std::map<std::tuple<std::uint64_t, std::uint64_t, UprobeKind>, UprobeGroup> groups;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const ProbePoint& point = points[i];
    for (const UprobeKind kind : kinds_of(mechanism, point.returns)) {
      UprobeGroup& group = groups[{point.file.device, point.file.inode, kind}];
      group.file = point.file;
      group.kind = kind;
      group.offsets.push_back(point.offset());
      group.cookies.push_back(cookie_of(point, first_index + static_cast<std::uint32_t>(i)));
    }
  }
  std::vector<UprobeGroup> result;
  result.reserve(groups.size());
  for (auto& [key, group] : groups) result.push_back(std::move(group));
  return result;
}

std::vector<Plan::Site> UprobePlan::sites() const {
  std::vector<Plan::Site> result;
  result.reserve(points.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    const ProbePoint& point = points[i];
    std::string note(point.site.reason);
    if (point.site.way != UprobeWay::Emulated) note.insert(0, "single-stepped: ");
    if (point.unseen) note += "; counts calls, their blocks are not seen";
    result.push_back({.where = fmt::format("uprobe {}:{}+{}", file_name(point.file.shown),
                                           point.names.front(), point.site.offset),
                      .how = how(mechanism, point.returns),
                      .cost_ns = cost_ns[i],
                      .note = std::move(note),
                      .taken_ns = taken_ns[i]});
  }
  return result;
}

Result<Planner> Planner::make(PlannerOptions options) {
  Planner planner(std::move(options));
  LB_TRY_ASSIGN(planner.mechanism_, choose_mechanism(planner.options_));
  if (planner.options_.calibrate) {
    LB_TRY_ASSIGN(planner.costs_, measure_site_costs(planner.mechanism_));
  }
  return planner;
}

UprobePlan Planner::empty_plan() const {
  UprobePlan plan;
  plan.mechanism = mechanism_;
  plan.first_index = next_index_;
  return plan;
}

Status Planner::scan(std::uint32_t pid, bool may_have_none, UprobePlan& plan) {
  LB_TRY_ASSIGN(const std::vector<CodeFile> files, code_files_of(pid));
  std::vector<FileId> ids;
  ids.reserve(files.size());
  for (const CodeFile& file : files) ids.emplace_back(file.device, file.inode);
  if (const auto known = scanned_.find(ids); known != scanned_.end()) {
    plan.without_allocator |= !known->second;
    return {};
  }
  auto options = options_.allocators;
  options.may_have_none = may_have_none || options.may_have_none;
  auto found = find_allocators(files, options);
  if (!found) return fail_in(fmt::format("process {}", pid), found.error());
  const bool has_allocator = !found->allocators.empty();
  plan.without_allocator |= !has_allocator;
  scanned_.emplace(std::move(ids), has_allocator);
  take(std::move(*found), plan);
  return {};
}

void Planner::predict(const ProbePoint& point, UprobePlan& plan) const {
  const bool sampled = options_.sampled && point.role != Role::Dlopen;
  const double taken = costs_.taken(point.site, point.returns);
  // A session leaves the return out together with the call.
  const bool returns = point.returns && mechanism_ != Mechanism::Session;
  plan.cost_ns.push_back(sampled ? costs_.left(point.site, returns) : taken);
  plan.taken_ns.push_back(sampled ? taken : 0);
}

void Planner::take(AllocatorPlan found, UprobePlan& plan) {
  for (ProbePoint& point : found.points) {
    const FileId file{point.file.device, point.file.inode};
    if (!planned_.emplace(file, point.offset()).second) continue;
    predict(point, plan);
    plan.points.push_back(std::move(point));
    ++next_index_;
  }
  for (Allocator& allocator : found.allocators) {
    if (said_.insert(allocator.kind + allocator.shown).second) {
      plan.allocators.push_back(std::move(allocator));
    }
  }
  for (std::string& refusal : found.refusals) {
    if (said_.insert(refusal).second) plan.refusals.push_back(std::move(refusal));
  }
  for (std::string& note : found.notes) {
    if (said_.insert(note).second) plan.notes.push_back(std::move(note));
  }
}

Result<UprobePlan> Planner::plan(std::span<const std::uint32_t> pids) {
  UprobePlan plan = empty_plan();
  std::optional<Error> failure;
  bool any = false;
  for (const std::uint32_t pid : pids) {
    if (auto status = scan(pid, false, plan); status) {
      any = true;
    } else {
      plan.notes.push_back(status.error().message);
      if (!failure) failure = status.error();
    }
  }
  if (!any && failure) return std::unexpected(*failure);
  if (!any) return fail(EINVAL, "no process to look at");
  return plan;
}

Result<UprobePlan> Planner::rescan(std::span<const std::uint32_t> pids) {
  UprobePlan plan = empty_plan();
  for (const std::uint32_t pid : pids) {
    auto status = scan(pid, true, plan);
    if (!status && said_.insert(status.error().message).second) {
      plan.notes.push_back(status.error().message);
    }
  }
  return plan;
}

}  // namespace lb::observe
