// SPDX-License-Identifier: Apache-2.0
#include "observe/pages/page_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "dataplane/base/bpf_types.h"

namespace lb::observe {
namespace {

constexpr std::string_view kPrefix = "___GFP_";
constexpr std::string_view kSuffix = "_BIT";
constexpr std::string_view kTypePrefix = "MIGRATE_";
constexpr std::int64_t kTypesMax = 64;

/// The sets of include/linux/gfp_types.h, by their flags.
struct Set {
  std::string_view name;
  std::array<std::string_view, 6> flags;
};
constexpr std::array kSets = {
    Set{"GFP_HIGHUSER_MOVABLE",
        {"DIRECT_RECLAIM", "KSWAPD_RECLAIM", "IO", "FS", "HARDWALL", "HIGHMEM"}},
    Set{"GFP_USER", {"DIRECT_RECLAIM", "KSWAPD_RECLAIM", "IO", "FS", "HARDWALL", ""}},
    Set{"GFP_KERNEL", {"DIRECT_RECLAIM", "KSWAPD_RECLAIM", "IO", "FS", "", ""}},
    Set{"GFP_NOFS", {"DIRECT_RECLAIM", "KSWAPD_RECLAIM", "IO", "", "", ""}},
    Set{"GFP_NOIO", {"DIRECT_RECLAIM", "KSWAPD_RECLAIM", "", "", "", ""}},
    Set{"GFP_ATOMIC", {"HIGH", "KSWAPD_RECLAIM", "", "", "", ""}},
    Set{"GFP_NOWAIT", {"KSWAPD_RECLAIM", "", "", "", "", ""}},
};

}  // namespace

PageNames PageNames::load() {
  auto bits = kernel_enum_with("___GFP_DMA_BIT");
  auto types = kernel_enum_with("MIGRATE_UNMOVABLE");
  return {bits ? *bits : std::vector<std::pair<std::string, std::int64_t>>{},
          types ? *types : std::vector<std::pair<std::string, std::int64_t>>{}};
}

PageNames::PageNames(std::vector<std::pair<std::string, std::int64_t>> gfp_bits,
                     const std::vector<std::pair<std::string, std::int64_t>>& migrate_types) {
  for (auto& [name, bit] : gfp_bits) {
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix) || bit < 0 || bit > 31) continue;
    if (name.starts_with("___GFP_LAST") || name.starts_with("___GFP_UNUSED")) continue;
    flags_.push_back({name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()),
                      std::uint32_t{1} << bit});
  }
  for (const auto& set : kSets) {
    std::uint32_t bits = 0;
    bool complete = true;
    for (auto flag : set.flags) {
      if (flag.empty()) continue;
      auto found = std::ranges::find(flags_, flag, &Flags::name);
      complete = complete && found != flags_.end();
      if (complete) bits |= found->bits;
    }
    if (complete) sets_.push_back({std::string(set.name), bits});
  }
  for (const auto& [name, value] : migrate_types) {
    if (!name.starts_with(kTypePrefix) || value < 0 || value >= kTypesMax) continue;
    if (name == "MIGRATE_TYPES" || name == "MIGRATE_PCPTYPES") continue;
    const auto index = static_cast<std::size_t>(value);
    if (migrate_types_.size() <= index) migrate_types_.resize(index + 1);
    if (!migrate_types_[index].empty()) continue;
    for (char c : name.substr(kTypePrefix.size())) {
      migrate_types_[index] += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
}

std::string PageNames::gfp(std::uint32_t flags) const {
  std::vector<std::string> words;
  for (const auto& set : sets_) {
    if ((flags & set.bits) != set.bits) continue;
    words.push_back(set.name);
    flags &= ~set.bits;
    break;
  }
  for (const auto& flag : flags_) {
    if ((flags & flag.bits) == 0) continue;
    words.push_back(flag.name);
    flags &= ~flag.bits;
  }
  if (flags != 0 || words.empty()) words.push_back(fmt::format("{:#x}", flags));
  return fmt::format("{}", fmt::join(words, "|"));
}

std::string PageNames::migrate_type(std::uint16_t type) const {
  if (type < migrate_types_.size() && !migrate_types_[type].empty()) return migrate_types_[type];
  // MIGRATE_HIGHATOMIC has the number of MIGRATE_PCPTYPES, which is no type.
  return fmt::format("{}", type);
}

}  // namespace lb::observe
