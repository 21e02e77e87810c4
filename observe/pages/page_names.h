// SPDX-License-Identifier: Apache-2.0
// The running kernel's names of gfp flags and migrate types, from its own type information. Pure
// but for load().
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lb::observe {

class PageNames {
 public:
  /// A kernel that does not tell gives names without flags: numbers then.
  [[nodiscard]] static PageNames load();
  /// `gfp_bits`, `migrate_types`: as kernel_enum_with() gives them, e.g. {"___GFP_DMA_BIT", 0}.
  PageNames(std::vector<std::pair<std::string, std::int64_t>> gfp_bits,
            const std::vector<std::pair<std::string, std::int64_t>>& migrate_types);

  /// "GFP_KERNEL|ZERO|COMP": the common sets by their name, the other flags without "__GFP_"; what
  /// has no name in hexadecimal.
  [[nodiscard]] std::string gfp(std::uint32_t flags) const;
  /// "unmovable", "movable", ...; the number when it has no name.
  [[nodiscard]] std::string migrate_type(std::uint16_t type) const;

 private:
  struct Flags {
    std::string name;
    std::uint32_t bits;
  };
  std::vector<Flags> sets_;   // the largest first
  std::vector<Flags> flags_;  // one bit each
  std::vector<std::string> migrate_types_;
};

}  // namespace lb::observe
