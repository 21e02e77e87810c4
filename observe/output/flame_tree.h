// SPDX-License-Identifier: Apache-2.0
// The stacks of a Report merged by function from the root up: the tree under a flame graph. Pure
// data, without recursion: a hostile record may be as deep as it likes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "observe/output/folded.h"
#include "observe/report.h"

namespace lb::observe {

struct FlameNode {
  std::string name;
  std::string detail;  ///< module and source line; empty where they differ between stacks
  FoldedKind kind = FoldedKind::Label;
  double value = 0;
  std::uint32_t parent = 0;
  std::uint32_t depth = 0;  ///< of the root: 0
  double start = 0;         ///< left edge, in units of the measure, from the root's
};

struct FlameTree {
  std::vector<FlameNode> nodes;   ///< parents before children; the first is the root, "all"
  std::size_t rows_left_out = 0;  ///< their value was not above zero
  bool cut = false;               ///< something was deeper than the limit
};

/// Children stand beside each other from the largest on. REQUIRES: valid indices.
[[nodiscard]] FlameTree flame_tree(const Report& report, std::size_t measure,
                                   std::size_t depth_max);

}  // namespace lb::observe
