// SPDX-License-Identifier: Apache-2.0
// The decoder and the choice of the probe site on any code. Input: a byte of how many arguments the
// probe reads and whether it returns, one of how many bytes lie outside of the function, the
// function, and those. A wrong site would break the traced program, so it is checked with rules of
// its own.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/assert.h"
#include "observe/plan/entry_block.h"
#include "observe/plan/x86_instruction.h"

namespace {

using namespace lb::observe;
using Code = std::span<const std::uint8_t>;

constexpr std::size_t kLengthMax = 15;
constexpr std::size_t kFunctionBytesMax = 4096;
constexpr unsigned kReturns = 8;
// rdi rsi rdx rcx r8 r9.
constexpr std::array<unsigned, 6> kArguments = {7, 6, 2, 1, 8, 9};

/// In memory of exactly that size, where ASan sees a read past the end.
std::vector<std::uint8_t> copy(Code code) { return {code.begin(), code.end()}; }

void check_instruction(Code code) {
  const auto found = decode(copy(code));
  if (!found) return;
  const std::size_t length = found->length;
  LB_ASSERT(length >= 1 && length <= std::min(kLengthMax, code.size()));
  // What follows does not count, and a cut one is none.
  const auto alone = decode(copy(code.first(length)));
  LB_ASSERT(alone && alone->length == found->length && alone->flow == found->flow);
  LB_ASSERT(alone->uprobe == found->uprobe && alone->writes == found->writes);
  LB_ASSERT(alone->target == found->target && alone->slot == found->slot);
  for (std::size_t cut = 0; cut < length; ++cut) LB_ASSERT(!decode(copy(code.first(cut))));
}

/// That control comes from the first instruction to the site, through nothing else than what lies
/// between, with the arguments (and rsp, for a return probe) as they were.
void check_site(Code function, SiteNeed need, const ProbeSite& site) {
  LB_ASSERT(!site.reason.empty());
  if (site.way == UprobeWay::Refused) {
    LB_ASSERT(site.offset == 0);
    return;
  }
  LB_ASSERT(site.offset < function.size());
  RegisterMask kept = need.return_probe || site.return_probe_legal ? kRsp : RegisterMask{0};
  for (unsigned i = 0; i < std::min<unsigned>(need.arguments, kArguments.size()); ++i) {
    kept = static_cast<RegisterMask>(kept | 1U << kArguments[i]);
  }
  std::size_t at = 0;
  while (at < site.offset) {
    const auto passed = decode(function.subspan(at));
    LB_ASSERT(passed && passed->flow == Flow::Next);
    LB_ASSERT((passed->writes & kept) == 0);
    at += passed->length;
  }
  LB_ASSERT(at == site.offset);
  const auto here = decode(function.subspan(at));
  LB_ASSERT(here && here->uprobe == site.way);
  LB_ASSERT(at == 0 || (here->uprobe == UprobeWay::Emulated && !here->long_nop));
  LB_ASSERT(!need.return_probe || site.return_probe_legal);
  // Nobody jumps back to between the first instruction and the site.
  for (std::size_t from = 0; at != 0 && from < function.size();) {
    const auto instruction = decode(function.subspan(from));
    LB_ASSERT(instruction.has_value());
    if (instruction->flow == Flow::Jump || instruction->flow == Flow::Branch) {
      const auto to = static_cast<std::int64_t>(from) + instruction->target;
      LB_ASSERT(to <= 0 || to > static_cast<std::int64_t>(at));
    }
    from += instruction->length;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Code all = Code(data, size).subspan(2, std::min(size - 2, kFunctionBytesMax));
  const SiteNeed need{.arguments = data[0] % kReturns, .return_probe = (data[0] & kReturns) != 0};
  for (std::size_t at = 0; at < std::min<std::size_t>(all.size(), 64); ++at) {
    check_instruction(all.subspan(at, std::min(all.size() - at, kLengthMax + 1)));
  }
  const Code function = all.first(all.size() - std::min<std::size_t>(data[1], all.size()));
  const Code outside = all.subspan(function.size());
  const auto code = copy(function);
  check_site(code, need, choose_site(code, need));
  std::vector<std::uint8_t> window;
  const OutsideCode peek = [&](std::int64_t offset) -> Code {
    const auto into = offset - static_cast<std::int64_t>(function.size());
    if (into < 0 || into >= static_cast<std::int64_t>(outside.size())) return {};
    const Code rest = outside.subspan(static_cast<std::size_t>(into));
    window = copy(rest.first(std::min(rest.size(), kLengthMax)));
    return window;
  };
  check_site(code, need, choose_site(code, need, peek));
  return 0;
}
