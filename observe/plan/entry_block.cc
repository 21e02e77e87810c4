// SPDX-License-Identifier: Apache-2.0
#include "observe/plan/entry_block.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <vector>

namespace lb::observe {
namespace {

constexpr std::size_t kEntryInstructionsMax = 64;
/// Instructions that are read outside the function. Parts moved away are short; what is longer is
/// another function.
constexpr std::size_t kOutsideInstructionsMax = 4096;

// rdi rsi rdx rcx r8 r9 (System V AMD64 ABI, 3.2.3).
constexpr std::array<unsigned, 6> kArguments = {7, 6, 2, 1, 8, 9};

RegisterMask argument_mask(unsigned arguments) {
  RegisterMask mask = 0;
  for (unsigned i = 0; i < std::min<unsigned>(arguments, kArguments.size()); ++i) {
    mask = static_cast<RegisterMask>(mask | 1U << kArguments[i]);
  }
  return mask;
}

bool has_target(Flow flow) { return flow == Flow::Jump || flow == Flow::Branch; }

bool goes_on(Flow flow) {
  return flow == Flow::Next || flow == Flow::Branch || flow == Flow::Call ||
         flow == Flow::IndirectCall;
}

/// Whether some jump goes to a place in [1, last]. True also when that cannot be known.
class JumpsInto {
 public:
  JumpsInto(std::span<const std::uint8_t> function, const OutsideCode& outside)
      : size_(static_cast<std::int64_t>(function.size())), outside_(outside) {
    for (std::size_t at = 0; at < function.size();) {
      const auto instruction = decode(function.subspan(at));
      if (!instruction) {
        readable_ = false;
        return;
      }
      if (has_target(instruction->flow)) {
        add(static_cast<std::int64_t>(at) + instruction->target);
      }
      at += instruction->length;
    }
    follow();
  }
  [[nodiscard]] bool any(std::size_t last) const {
    if (!readable_) return true;
    const auto first = targets_.lower_bound(1);
    return first != targets_.end() && *first <= static_cast<std::int64_t>(last);
  }
  [[nodiscard]] bool readable() const { return readable_; }

 private:
  void add(std::int64_t target) {
    if (!targets_.insert(target).second) return;
    if (target < 0 || target >= size_) waiting_.push_back(target);
  }
  /// The code outside that the function jumps to, and what that jumps to.
  void follow() {
    if (!outside_) return;
    std::set<std::int64_t> seen;
    while (!waiting_.empty()) {
      std::int64_t at = waiting_.back();
      waiting_.pop_back();
      while ((at < 0 || at >= size_) && seen.size() < kOutsideInstructionsMax &&
             seen.insert(at).second) {
        const auto instruction = decode(outside_(at));
        if (!instruction) break;
        if (has_target(instruction->flow)) add(at + instruction->target);
        if (!goes_on(instruction->flow)) break;
        at += instruction->length;
      }
    }
  }

  std::int64_t size_;
  const OutsideCode& outside_;
  bool readable_ = true;
  std::set<std::int64_t> targets_;
  std::vector<std::int64_t> waiting_;
};

/// What the search for a better site than the first instruction found.
struct Found {
  std::optional<std::size_t> offset;
  bool rsp_written = false;
  std::string_view why_not;
};

Found find_emulated(std::span<const std::uint8_t> function, SiteNeed need) {
  const RegisterMask arguments = argument_mask(need.arguments);
  Found found;
  std::size_t at = 0;
  for (std::size_t i = 0; i < kEntryInstructionsMax; ++i) {
    const auto instruction = decode(function.subspan(at));
    if (!instruction) {
      found.why_not = "the entry block has an instruction that is not known";
      return found;
    }
    if (instruction->uprobe == UprobeWay::Emulated) {
      found.offset = at;
      return found;
    }
    found.why_not = "no emulated instruction before the end of the entry block";
    if (instruction->flow != Flow::Next) return found;
    found.why_not = "an argument is overwritten before the first emulated instruction";
    if ((instruction->writes & arguments) != 0) return found;
    found.rsp_written = found.rsp_written || (instruction->writes & kRsp) != 0;
    found.why_not = "rsp changes before the first emulated instruction";
    if (found.rsp_written && need.return_probe) return found;
    at += instruction->length;
    found.why_not = "the entry block is long";
    if (at >= function.size()) return found;
  }
  return found;
}

}  // namespace

ProbeSite choose_site(std::span<const std::uint8_t> function, SiteNeed need,
                      const OutsideCode& outside) {
  const auto first = decode(function);
  if (!first) {
    return {.offset = 0, .way = UprobeWay::Refused, .reason = "the first instruction is not known"};
  }
  const Found found = find_emulated(function, need);
  if (found.offset == 0U) {
    return {.offset = 0, .way = UprobeWay::Emulated, .reason = "the first instruction is emulated"};
  }
  ProbeSite site{.offset = 0, .way = first->uprobe, .reason = found.why_not};
  if (found.offset) {
    const JumpsInto jumps(function, outside);
    if (!jumps.any(*found.offset)) {
      return {.offset = *found.offset,
              .way = UprobeWay::Emulated,
              .return_probe_legal = !found.rsp_written,
              .reason = "the first emulated instruction of the entry block"};
    }
    site.reason = jumps.readable() ? "the function jumps back into its entry block"
                                   : "the function has an instruction that is not known";
  }
  if (first->uprobe == UprobeWay::Refused) site.reason = "the kernel takes no uprobe there";
  return site;
}

}  // namespace lb::observe
