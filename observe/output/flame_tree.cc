// SPDX-License-Identifier: Apache-2.0
#include "observe/output/flame_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace lb::observe {
namespace {

class Builder {
 public:
  explicit Builder(std::size_t depth_max) : depth_max_(depth_max) {
    tree_.nodes.push_back({"all", "", FoldedKind::Label, 0, 0, 0, 0});
  }

  void add(const Report& report, const Row& row, double value) {
    if (!(value > 0) || !std::isfinite(value)) {
      ++tree_.rows_left_out;
      return;
    }
    std::uint32_t node = 0;
    tree_.nodes[0].value += value;
    std::size_t depth = 0;
    for (FoldedFrame& frame : folded_frames(report, row)) {
      if (++depth > depth_max_) {
        tree_.cut = true;
        break;
      }
      node = child(node, std::move(frame));
      tree_.nodes[node].value += value;
    }
  }

  FlameTree finish() {
    std::vector<std::uint32_t> order(tree_.nodes.size());
    std::iota(order.begin(), order.end(), 0U);
    // Equal ones by name, so that two pictures of the same thing are the same.
    std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) {
      const FlameNode &x = tree_.nodes[a], &y = tree_.nodes[b];
      if (x.depth != y.depth) return x.depth < y.depth;
      if (x.value != y.value) return x.value > y.value;
      return std::tie(x.name, a) < std::tie(y.name, b);
    });
    std::vector<double> filled(tree_.nodes.size());  // of each node, by its children so far
    for (std::uint32_t at : order) {
      if (at == 0) continue;
      FlameNode& node = tree_.nodes[at];
      node.start = tree_.nodes[node.parent].start + filled[node.parent];
      filled[node.parent] += node.value;
    }
    return std::move(tree_);
  }

 private:
  std::uint32_t child(std::uint32_t parent, FoldedFrame frame) {
    std::string key = fmt::format("{} {} {}", parent, std::to_underlying(frame.kind), frame.name);
    const auto [known, is_new] =
        children_.try_emplace(std::move(key), static_cast<std::uint32_t>(tree_.nodes.size()));
    if (is_new) {
      tree_.nodes.push_back({std::move(frame.name), std::move(frame.detail), frame.kind, 0, parent,
                             tree_.nodes[parent].depth + 1, 0});
    } else if (FlameNode& node = tree_.nodes[known->second]; node.detail != frame.detail) {
      node.detail.clear();
    }
    return known->second;
  }

  std::size_t depth_max_;
  FlameTree tree_;
  std::unordered_map<std::string, std::uint32_t> children_;
};

}  // namespace

FlameTree flame_tree(const Report& report, std::size_t measure, std::size_t depth_max) {
  Builder builder(depth_max);
  for (const Row& row : report.rows) builder.add(report, row, row.values[measure].value);
  return builder.finish();
}

}  // namespace lb::observe
