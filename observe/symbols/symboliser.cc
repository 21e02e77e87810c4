// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/symboliser.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace lb::observe {
namespace {

constexpr std::size_t kOutsideCoreMax = 1 << 20;

bool is_open(const Frame& frame, FrameKind kind) {
  return frame.kind == kind && frame.places.empty();
}

/// For each frame: whether it is a return address somewhere, so that the call is before it.
std::vector<bool> find_calls(const Report& report) {
  std::vector<bool> calls(report.frames.size());
  for (const Stack& stack : report.stacks) {
    bool leaf = true;
    FrameKind before = FrameKind::Kernel;
    for (const std::uint32_t index : stack.frames) {
      if (index >= report.frames.size()) continue;
      const FrameKind kind = report.frames[index].kind;
      if (!leaf && kind == before) calls[index] = true;
      leaf = false;
      before = kind;
    }
  }
  return calls;
}

/// The objects of a Report, each once.
class ReportObjects {
 public:
  explicit ReportObjects(Report& report) : report_(report) {
    for (std::uint32_t i = 0; i < report.objects.size(); ++i) {
      known_.emplace(key(report.objects[i]), i);
    }
  }
  std::uint32_t add(const MappedObject& object) {
    const auto [found, added] =
        known_.emplace(key(object), static_cast<std::uint32_t>(report_.objects.size()));
    if (added) report_.objects.push_back(object);
    return found->second;
  }

 private:
  static std::pair<std::string, std::string> key(const MappedObject& object) {
    return {object.path, object.build_id};
  }
  Report& report_;
  std::map<std::pair<std::string, std::string>, std::uint32_t> known_;
};

}  // namespace

Result<const KernelSymbols*> Symboliser::kernel() {
  if (!kernel_) kernel_ = KernelSymbols::read();
  if (!*kernel_) return std::unexpected(kernel_->error());
  return &**kernel_;
}

Status Symboliser::resolve(Report& report) {
  const std::vector<bool> calls = find_calls(report);
  resolve_user(report, calls);
  return resolve_kernel(report, calls);
}

Status Symboliser::resolve_kernel(Report& report, const std::vector<bool>& calls) {
  const bool any = std::ranges::any_of(
      report.frames, [](const Frame& frame) { return is_open(frame, FrameKind::Kernel); });
  if (!any) return {};
  const bool fresh = !kernel_;
  LB_TRY_ASSIGN(const KernelSymbols* symbols, kernel());
  if (outside_core_.size() > kOutsideCoreMax) outside_core_.clear();
  bool unknown = false;
  for (const Frame& frame : report.frames) {
    if (!is_open(frame, FrameKind::Kernel) || symbols->in_core(frame.address)) continue;
    unknown |= outside_core_.insert(frame.address).second;
  }
  if (unknown && !fresh) {
    kernel_.reset();
    LB_TRY_ASSIGN(symbols, kernel());
  }
  ReportObjects objects(report);
  for (std::size_t i = 0; i < report.frames.size(); ++i) {
    Frame& frame = report.frames[i];
    if (!is_open(frame, FrameKind::Kernel)) continue;
    const auto found = symbols->find(frame.address - (calls[i] ? 1 : 0));
    if (!found) continue;
    frame.places.push_back({.function = std::string(found->name), .file = {}});
    frame.object =
        objects.add({.path = fmt::format("[{}]", found->module.empty() ? "kernel" : found->module),
                     .build_id = {}});
    frame.offset = frame.address;
  }
  return {};
}

void Symboliser::resolve_user(Report& report, const std::vector<bool>& calls) {
  std::set<std::uint32_t> pids;
  for (const Frame& frame : report.frames) {
    if (is_open(frame, FrameKind::User) && frame.object == kNone) pids.insert(frame.pid);
  }
  // One that has ended is resolved by what was learnt before.
  for (const std::uint32_t pid : pids) {
    [[maybe_unused]] const Status learnt = learn(pid);
  }

  ReportObjects objects(report);
  std::vector<std::tuple<std::uint32_t, std::uint64_t, std::size_t>> found;  // object, address
  for (std::size_t i = 0; i < report.frames.size(); ++i) {
    Frame& frame = report.frames[i];
    if (!is_open(frame, FrameKind::User)) continue;
    std::uint32_t object = kNone;
    if (frame.object < report.objects.size()) {
      object = objects_.add_recorded(report.objects[frame.object]);
    } else if (const auto at = spaces_.find(frame.pid, frame.address, objects_)) {
      object = at->object;
      frame.object = objects.add(objects_.at(object).identity());
      frame.offset = at->address;
    }
    if (object != kNone) found.emplace_back(object, frame.offset - (calls[i] ? 1 : 0), i);
  }
  // One object after the other, so that no table is read twice when memory is short.
  std::ranges::sort(found);
  for (const auto& [object, address, frame] : found) {
    report.frames[frame].places = objects_.places(object, address);
  }
}

std::size_t Symboliser::memory_bytes() const noexcept {
  const std::size_t kernel_bytes = kernel_ && *kernel_ ? (*kernel_)->memory_bytes() : 0;
  return objects_.memory_bytes() + spaces_.memory_bytes() + kernel_bytes +
         outside_core_.size() * 4 * sizeof(std::uint64_t);
}

}  // namespace lb::observe
