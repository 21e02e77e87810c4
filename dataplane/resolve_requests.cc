// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "dataplane/pipeline.h"

namespace lb {

ResolveRequests::ResolveRequests(std::uint32_t rs_max) : words_((rs_max + 63) / 64) {}

void ResolveRequests::request(std::uint32_t rs_slot) noexcept {
  if (rs_slot / 64 >= words_.size()) return;
  std::atomic<std::uint64_t>& word = words_[rs_slot / 64];
  const std::uint64_t bit = std::uint64_t{1} << (rs_slot % 64);
  // Read first: a flood towards an unresolved RS must not bounce the line between workers.
  if ((word.load(std::memory_order_relaxed) & bit) == 0) {
    word.fetch_or(bit, std::memory_order_relaxed);
  }
}

std::vector<std::uint32_t> ResolveRequests::take() {
  std::vector<std::uint32_t> slots;
  for (std::uint32_t i = 0; i < words_.size(); ++i) {
    if (words_[i].load(std::memory_order_relaxed) == 0) continue;
    std::uint64_t bits = words_[i].exchange(0, std::memory_order_relaxed);
    for (; bits != 0; bits &= bits - 1) {
      slots.push_back(i * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
    }
  }
  return slots;
}

}  // namespace lb
