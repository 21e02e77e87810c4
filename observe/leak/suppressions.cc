// SPDX-License-Identifier: Apache-2.0
#include "observe/leak/suppressions.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>

#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"
#include "dataplane/base/text.h"

namespace lb::observe {
namespace {

constexpr std::size_t kFileBytesMax = 4U << 20;
constexpr std::string_view kPrefix = "leak:";

std::string_view trimmed(std::string_view line) {
  const auto first = line.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

void take_off(Report& report, std::string_view figure, const Value& value) {
  auto found = std::ranges::find(report.figures, figure, &Figure::name);
  if (found == report.figures.end()) return;
  found->value.value -= value.value;
  found->value.low = std::max(0.0, found->value.low - value.high);
  found->value.high -= value.low;
}

std::size_t index_of(const Report& report, std::string_view measure) {
  return static_cast<std::size_t>(std::distance(
      report.measures.begin(), std::ranges::find(report.measures, measure, &Measure::name)));
}

}  // namespace

// The parts between stars, each found behind the one before: no backtracking is needed.
bool matches_suppression(std::string_view pattern, std::string_view text) {
  const bool from_start = pattern.starts_with('^');
  if (from_start) pattern.remove_prefix(1);
  const bool to_end = pattern.ends_with('$');
  if (to_end) pattern.remove_suffix(1);
  bool first = true;
  while (true) {  // each turn takes a part off the pattern
    const auto star = pattern.find('*');
    const auto part = pattern.substr(0, star);
    const bool last = star == std::string_view::npos;
    if (last && to_end) {
      return first && from_start ? text == part : text.ends_with(part);
    }
    const auto at = text.find(part);
    if (at == std::string_view::npos || (first && from_start && at != 0)) return false;
    if (last) return true;
    text.remove_prefix(at + part.size());
    pattern.remove_prefix(star + 1);
    first = false;
  }
}

Result<Suppressions> Suppressions::parse(std::string_view text) {
  Suppressions suppressions;
  for (std::size_t number = 1; !text.empty(); ++number) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) continue;
    if (!line.starts_with(kPrefix) || line.size() == kPrefix.size()) {
      return fail(EINVAL,
                  fmt::format("line {}: {} is not of the form leak:PATTERN", number, quoted(line)));
    }
    suppressions.patterns_.emplace_back(line.substr(kPrefix.size()));
  }
  return suppressions;
}

Result<Suppressions> Suppressions::load(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, quoted(path));
  auto text = read_whole(file.get(), kFileBytesMax);
  if (!text) return fail_in(quoted(path), text.error());
  auto parsed = parse(*text);
  if (!parsed) return fail_in(quoted(path), parsed.error());
  return parsed;
}

std::uint32_t Suppressions::match(const Report& report, std::uint32_t stack) const {
  if (stack == kNone) return kNone;
  for (std::uint32_t i = 0; i < patterns_.size(); ++i) {
    for (auto index : report.stacks[stack].frames) {
      const auto& frame = report.frames[index];
      if (frame.object != kNone &&
          matches_suppression(patterns_[i], report.objects[frame.object].path)) {
        return i;
      }
      for (const auto& place : frame.places) {
        if (matches_suppression(patterns_[i], place.function) ||
            (!place.file.empty() && matches_suppression(patterns_[i], place.file))) {
          return i;
        }
      }
    }
  }
  return kNone;
}

void Suppressions::apply(Report& report, std::string_view bytes_figure,
                         std::string_view blocks_figure) const {
  if (patterns_.empty()) return;
  const auto bytes = index_of(report, "bytes");
  const auto blocks = index_of(report, "blocks");
  std::map<std::uint32_t, std::pair<double, double>> used;
  std::erase_if(report.rows, [&](const Row& row) {
    const auto pattern = match(report, row.stack);
    if (pattern == kNone) return false;
    used[pattern].first += row.values[bytes].value;
    used[pattern].second += row.values[blocks].value;
    // What is mapped is a figure of its own.
    if (!row.labels.empty() && (row.labels[0] == "mapping" || row.labels[0] == "brk")) {
      take_off(report, "mapped", row.values[bytes]);
      return true;
    }
    take_off(report, bytes_figure, row.values[bytes]);
    take_off(report, blocks_figure, row.values[blocks]);
    return true;
  });
  Section section{"suppressions used", {"bytes", "blocks", "suppression"}, {}};
  for (const auto& [pattern, sums] : used) {
    section.lines.push_back({fmt::format("{:.0f}", sums.first), fmt::format("{:.0f}", sums.second),
                             patterns_[pattern]});
  }
  if (!section.lines.empty()) report.sections.push_back(std::move(section));
}

}  // namespace lb::observe
