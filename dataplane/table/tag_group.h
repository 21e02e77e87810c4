// SPDX-License-Identifier: Apache-2.0
// TagGroup: the eight 16-bit tags of a bucket, compared at once. Tag 0 is an empty slot. Pure
// functions; SSE2 where the compiler has it, else portable words. Used by FlowTable only.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace lb {

/// Slot i is bits 16 * (i % 4) of word i / 4.
struct TagGroup {
  static constexpr unsigned kSlots = 8;
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  [[nodiscard]] std::uint16_t at(unsigned slot) const noexcept {
    return static_cast<std::uint16_t>((slot < 4 ? low : high) >> (16 * (slot % 4)));
  }
  /// Bit i of the answer: slot i holds `tag`. The portable twin of match().
  [[nodiscard]] unsigned match_portable(std::uint16_t tag) const noexcept {
    unsigned mask = 0;
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      mask |= static_cast<unsigned>(at(slot) == tag) << slot;
    }
    return mask;
  }
  /// Bit i of the answer: slot i holds `tag`.
  [[nodiscard]] unsigned match(std::uint16_t tag) const noexcept {
#if defined(__SSE2__)
    __m128i tags = _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
    __m128i equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16(static_cast<short>(tag)));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())));
#else
    return match_portable(tag);
#endif
  }
  /// Bit i of the answer: slot i is empty.
  [[nodiscard]] unsigned empty() const noexcept { return match(0); }
};

}  // namespace lb
