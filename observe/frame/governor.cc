// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/governor.h"

#include <fmt/format.h>

namespace lb::observe {
namespace {

constexpr std::uint64_t kStepNs = 1'000'000'000;
constexpr std::uint64_t kFirstStepNs = 250'000'000;  // what was not expected is found out early
constexpr std::uint64_t kNsPerMs = 1'000'000;
constexpr double kNsPerSecond = 1e9;

}  // namespace

std::uint64_t Governor::due_ns() const {
  if (pause_ns_ != 0) return last_ns_ + pause_ns_;
  return last_ns_ + (last_ns_ == start_ns_ ? kFirstStepNs : kStepNs);
}

Status Governor::tick(std::uint64_t now_ns) {
  if (now_ns < due_ns()) return {};
  const auto passed_ns = static_cast<double>(now_ns - last_ns_);
  if (pause_ns_ != 0) {
    unobserved_ns_ += now_ns - last_ns_;
    pause_ns_ = 0;
    last_ns_ = now_ns;
    LB_TRY(throttle_->resume());
    cost_->begin_anew(now_ns);
    return {};
  }
  LB_TRY_ASSIGN(const double traps_ns, throttle_->traps_ns());
  const Budget::Cost cost{100 * (traps_ns - traps_ns_) / passed_ns, cost_->recent_percent()};
  traps_ns_ = traps_ns;
  last_ns_ = now_ns;
  const Budget::Step step = budget_.next(passed_ns / kNsPerSecond, cost);
  if (step.act == Budget::Act::Level) return throttle_->set_level(step.level);
  if (step.act == Budget::Act::Pause) {
    throttle_->pause();
    pause_ns_ = static_cast<std::uint64_t>(step.pause_s * kNsPerSecond);
    ++pauses_;
  }
  return {};
}

std::uint64_t Governor::wait_ms(std::uint64_t now_ns) const {
  return now_ns >= due_ns() ? 0 : (due_ns() - now_ns) / kNsPerMs + 1;
}

void Governor::add_to(Honesty& honesty, std::uint64_t now_ns) const {
  const std::uint64_t off_ns = unobserved_ns_ + (pause_ns_ != 0 ? now_ns - last_ns_ : 0);
  honesty.unobserved_s += static_cast<double>(off_ns) / kNsPerSecond;
  const auto whole_ns = static_cast<double>(now_ns - start_ns_);
  if (whole_ns > 0) honesty.cpu_percent += 100 * traps_ns_ / whole_ns;
  std::string note = fmt::format("budget {:g} % of a CPU, traps included: ", percent_);
  note += budget_.level() == 0
              ? "sampling as it was asked for"
              : fmt::format("sampling {} times wider now", 1ULL << budget_.level());
  if (pauses_ > 0) {
    note += fmt::format(
        ", off {} times, since that was not enough: leak holds only what was allocated after the "
        "last time; raise the budget, or take --tier pages",
        pauses_);
  }
  honesty.notes.push_back(std::move(note));
}

}  // namespace lb::observe
