// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/cost.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kWindowNs = 50'000'000;  // of each second
constexpr std::uint64_t kPauseNs = 950'000'000;
constexpr std::uint64_t kNsPerMs = 1'000'000;

}  // namespace

CostMeter::CostMeter(const std::vector<const BpfObject*>& objects) : objects_(objects) {
  find_programs();
}

void CostMeter::find_programs() {
  programs_.clear();
  for (const auto* object : objects_) {
    for (const auto& held : object->held()) {
      if (!held.is_map) programs_.push_back(held.id);
    }
  }
}

CostMeter::Sum CostMeter::sum() const {
  Sum total;
  for (auto id : programs_) {
    if (auto info = bpf_program_info(id)) {
      total.runs += info->runs;
      total.time_ns += info->run_time_ns;
      total.misses += info->recursion_misses;
    }
  }
  return total;
}

void CostMeter::close_window(std::uint64_t now_ns) {
  window_.reset();
  const auto now = sum();
  next_ns_ = now_ns + kPauseNs;
  if (now.runs < at_open_.runs) return;  // other programs than at the window's begin
  runs_ += now.runs - at_open_.runs;
  time_ns_ += now.time_ns - at_open_.time_ns;
  watched_ns_ += now_ns - opened_ns_;
  if (now_ns > opened_ns_) {
    recent_percent_ = 100 * static_cast<double>(now.time_ns - at_open_.time_ns) /
                      static_cast<double>(now_ns - opened_ns_);
  }
}

void CostMeter::tick(std::uint64_t now_ns) {
  if (programs_.empty() || now_ns < next_ns_) return;
  if (window_) {
    close_window(now_ns);
    return;
  }
  auto window = BpfStatistics::enable();
  if (!window) {  // an old kernel: no cost is shown
    programs_.clear();
    return;
  }
  window_ = std::move(*window);
  find_programs();
  at_open_ = sum();
  opened_ns_ = now_ns;
  next_ns_ = now_ns + kWindowNs;
}

void CostMeter::begin_anew(std::uint64_t now_ns) {
  if (window_) close_window(now_ns);
  recent_percent_ = 0;
  next_ns_ = now_ns;
}

std::uint64_t CostMeter::wait_ms(std::uint64_t now_ns) const {
  if (programs_.empty()) return 1000;
  return now_ns >= next_ns_ ? 0 : (next_ns_ - now_ns) / kNsPerMs + 1;
}

void CostMeter::finish(std::uint64_t now_ns) {
  if (window_) close_window(now_ns);
}

void CostMeter::add_to(Honesty& honesty) const {
  if (runs_ > 0) honesty.cost_ns = static_cast<double>(time_ns_) / static_cast<double>(runs_);
  if (watched_ns_ > 0) {
    honesty.cpu_percent = 100 * static_cast<double>(time_ns_) / static_cast<double>(watched_ns_);
  }
  honesty.missed += sum().misses;
  for (const auto* object : objects_) {
    for (const auto& held : object->held()) {
      honesty.memory_bytes += static_cast<double>(held.memory_bytes);
    }
  }
}

}  // namespace lb::observe
