// SPDX-License-Identifier: Apache-2.0
#include "observe/leak/heap_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <utility>
#include <vector>

#include "dataplane/base/units.h"
#include "observe/ages.h"
#include "observe/sampling.h"

namespace lb::observe {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr std::uint64_t kNsPerMs = 1'000'000;

const std::vector<Measure> kMeasures = with_ages({
    {"bytes", Unit::Bytes, Kind::Level, "outstanding, as they were asked for"},
    {"blocks", Unit::Count, Kind::Level, "outstanding"},
    {"calls", Unit::Count, Kind::Total, "allocations"},
    {"allocated_bytes", Unit::Bytes, Kind::Total, "allocated, freed or not"},
    {"peak_bytes", Unit::Bytes, Kind::Peak, "most that was outstanding at once"},
    {"temporary", Unit::Count, Kind::Total,
     "freed by the thread that made it before it made another"},
    {"growth_rate", Unit::BytesPerSecond, Kind::Level, "since the last report"},
});

std::uint64_t age_ms_of(const observe_heap_block& block, std::uint64_t now_ns) {
  return now_ns > block.time_ns ? (now_ns - block.time_ns) / kNsPerMs : 0;
}

std::uint32_t size_class_of(std::uint64_t bytes) {
  return static_cast<std::uint32_t>(std::numeric_limits<std::uint64_t>::digits -
                                    std::countl_zero(bytes));
}

std::string size_label(std::uint32_t size_class) {
  if (size_class == 0) return "0";
  if (size_class >= 64) return ">=2^63";
  return fmt::format("<{}", std::uint64_t{1} << size_class);
}

bool counts(const HeapSpaces& spaces, std::uint32_t space) {
  auto found = spaces.find(space);
  return found == spaces.end() || !found->second.replaced;
}

/// Blocks of one size and level, counted.
using Sizes = std::map<std::pair<std::uint64_t, std::uint8_t>, std::uint64_t>;

}  // namespace

bool is_of_blocks(const Figure& figure) {
  constexpr std::array<std::string_view, 4> kNames = {"leak", "blocks", "growth_rate",
                                                      "allocation_rate"};
  return std::ranges::find(kNames, figure.name) != kNames.end();
}

struct HeapReporter::RowSums {
  Sizes outstanding;
  std::array<Sizes, kAges> ages;
  std::map<std::uint16_t, observe_heap_stat> stats;  // by sampling level

  [[nodiscard]] static std::vector<Sampled> sampled(const Sizes& sizes, double interval) {
    std::vector<Sampled> all;
    for (const auto& [size, count] : sizes) {
      all.push_back({static_cast<double>(size.first),
                     interval * static_cast<double>(std::uint64_t{1} << (size.second & 15U)),
                     static_cast<double>(count)});
    }
    return all;
  }
  /// So many events as `count` tells of each stat, of the mean size of its blocks.
  [[nodiscard]] std::vector<Sampled> events(__u64 observe_heap_stat::* count,
                                            double interval) const {
    std::vector<Sampled> all;
    for (const auto& [level, stat] : stats) {
      const auto calls = static_cast<double>(std::max<std::uint64_t>(stat.calls, 1));
      all.push_back({std::max(1.0, static_cast<double>(stat.bytes) / calls),
                     interval * static_cast<double>(std::uint64_t{1} << (level & 15U)),
                     static_cast<double>(stat.*count)});
    }
    return all;
  }
  /// At most, for the levels need not have had their peaks at once.
  [[nodiscard]] Value peak(double interval) const {
    Value peak;
    for (const auto& [level, stat] : stats) {
      if (stat.bytes == 0) continue;
      RowSums one;
      one.stats[level] = stat;
      const auto all = estimate(one.events(&observe_heap_stat::calls, interval), Weigh::Bytes);
      const double scale = static_cast<double>(stat.peak_bytes) / static_cast<double>(stat.bytes);
      peak = {peak.value + all.value * scale, peak.low + all.low * scale,
              peak.high + all.high * scale};
    }
    return peak;
  }
};

struct HeapReporter::Sums {
  std::map<RowKey, RowSums> rows;
  Sizes unsure;  // of before the last pause
};

std::string process_label(const HeapSpaces& spaces, std::uint32_t space) {
  auto found = spaces.find(space);
  if (found == spaces.end()) return fmt::format("?/{}", space);
  return fmt::format("{}/{}{}", found->second.comm, found->second.pid,
                     found->second.ended ? kEnded : "");
}

HeapReporter::Sums HeapReporter::sum_up(const HeapSnapshot& snapshot,
                                        const HeapSpaces& spaces) const {
  Sums sums;
  for (const auto& [key, stat] : snapshot.stats) {
    if (!counts(spaces, key.space)) continue;
    sums.rows[{key.space, key.stack, key.size_class}].stats[key.level] = stat;
  }
  for (const auto& [key, block] : snapshot.blocks) {
    if (!counts(spaces, key.space)) continue;
    if (block.time_ns < sure_since_ns_) {
      ++sums.unsure[{block.bytes, block.level}];
      continue;
    }
    auto& row = sums.rows[{key.space, block.stack, size_class_of(block.bytes)}];
    const auto age_ms = age_ms_of(block, snapshot.now_ns);
    ++row.ages[age_class(age_ms)][{block.bytes, block.level}];
    if (age_ms >= options_->older_ms) ++row.outstanding[{block.bytes, block.level}];
  }
  return sums;
}

void HeapReporter::add_rows(const Sums& all, const HeapSpaces& spaces,
                            const StackIndex& stack_index, Report& report) {
  const auto interval = static_cast<double>(options_->sample_bytes);
  std::map<RowKey, double> bytes_now;
  for (const auto& [key, sums] : all.rows) {
    const auto& [space, stack, size_class] = key;
    const auto outstanding = RowSums::sampled(sums.outstanding, interval);
    const auto calls = sums.events(&observe_heap_stat::calls, interval);
    Row row;
    row.labels = {"heap", process_label(spaces, space), size_label(size_class)};
    row.stack = stack_index(stack);
    const auto bytes = estimate(outstanding, Weigh::Bytes);
    bytes_now[key] = bytes.value;
    const double growth = since_last_s_ > 0 ? (bytes.value - last_bytes_[key]) / since_last_s_ : 0;
    row.values = {bytes,
                  estimate(outstanding, Weigh::Blocks),
                  estimate(calls, Weigh::Blocks),
                  estimate(calls, Weigh::Bytes),
                  sums.peak(interval),
                  estimate(sums.events(&observe_heap_stat::temporary, interval), Weigh::Blocks),
                  growth};
    for (const auto& age : sums.ages) {
      row.values.push_back(estimate(RowSums::sampled(age, interval), Weigh::Blocks));
    }
    report.rows.push_back(std::move(row));
  }
  last_bytes_ = std::move(bytes_now);
}

/// Not sampled: there are few.
void HeapReporter::add_mappings(const HeapSnapshot& snapshot, const HeapSpaces& spaces,
                                const MappingLedger& mappings, const StackIndex& stack_index,
                                Report& report) {
  struct Mapped {
    double bytes = 0;
    double pieces = 0;
    std::array<double, kAges> ages{};
  };
  std::map<std::tuple<std::uint32_t, std::uint64_t, bool>, Mapped> rows;
  for (const auto& [space, of_space] : spaces) {
    if (of_space.replaced) continue;
    for (const auto& [key, total] : mappings.totals(space)) rows[{space, key.first, key.second}];
  }
  mappings.for_each(
      [&](std::uint32_t space, MappingLedger::Range range, const MappingLedger::Origin& origin) {
        if (!counts(spaces, space)) return;
        const auto age_ms =
            snapshot.now_ns > origin.time_ns ? (snapshot.now_ns - origin.time_ns) / kNsPerMs : 0;
        auto& sums = rows[{space, origin.stack, origin.brk}];
        sums.ages[age_class(age_ms)] += 1;
        if (age_ms < options_->older_ms) return;
        sums.bytes += static_cast<double>(range.end - range.start);
        sums.pieces += 1;
      });
  double mapped = 0;
  for (const auto& [key, sums] : rows) {
    const auto& [space, stack, brk] = key;
    const auto& totals = mappings.totals(space);
    const auto found = totals.find({stack, brk});
    const auto total = found == totals.end() ? MappingLedger::Total{} : found->second;
    Row row;
    row.labels = {brk ? "brk" : "mapping", process_label(spaces, space), "-"};
    row.stack = stack_index(stack);
    auto& last = last_mapped_[key];
    row.values = {sums.bytes,
                  sums.pieces,
                  static_cast<double>(total.calls),
                  static_cast<double>(total.bytes),
                  0.0,
                  0.0,
                  since_last_s_ > 0 ? (sums.bytes - last) / since_last_s_ : 0.0};
    for (const double age : sums.ages) row.values.emplace_back(age);
    last = sums.bytes;
    mapped += sums.bytes;
    report.rows.push_back(std::move(row));
  }
  const bool whole = snapshot.losses.ring_full == 0 && sure_since_ns_ == 0;
  report.figures.push_back({"mapped", Unit::Bytes, mapped,
                            whole ? "by mmap, mremap and brk, not by allocators; not in leak"
                                  : "events were lost, or not looked for in a pause of the budget",
                            whole});
}

namespace {

/// Blocks that may be there although none was taken: at the widest interval, as small as they come.
Sampled none_taken(const std::vector<Sampled>& calls, const HeapLeakOptions& options) {
  Sampled none{.bytes = static_cast<double>(std::max<std::uint64_t>(options.min_size, 1)),
               .interval = static_cast<double>(options.sample_bytes),
               .count = 0};
  for (const Sampled& call : calls) none.interval = std::max(none.interval, call.interval);
  return none;
}

}  // namespace

void HeapReporter::add_figures(const HeapSnapshot& snapshot, const Sums& sums, Report& report) {
  const auto interval = static_cast<double>(options_->sample_bytes);
  Sizes all;
  std::vector<Sampled> calls;
  for (const auto& [key, row] : sums.rows) {
    for (const auto& [size, count] : row.outstanding) all[size] += count;
    for (const auto& part : row.events(&observe_heap_stat::calls, interval)) calls.push_back(part);
  }
  auto outstanding = RowSums::sampled(all, interval);
  if (outstanding.empty() && interval > 0) outstanding.push_back(none_taken(calls, *options_));
  const auto leak = estimate(outstanding, Weigh::Bytes);
  const auto allocations = estimate(calls, Weigh::Blocks);
  auto rate = [this](double now, double before) {
    return since_last_s_ > 0 ? (now - before) / since_last_s_ : 0;
  };
  report.figures = {
      {"leak", Unit::Bytes, leak, "outstanding"},
      {"blocks", Unit::Count, estimate(outstanding, Weigh::Blocks), "outstanding"},
      {"growth_rate", Unit::BytesPerSecond, rate(leak.value, last_leak_),
       "of leak, since the last report"},
      {"allocation_rate", Unit::CountPerSecond, rate(allocations.value, last_allocations_),
       "since the last report"},
      {"failed", Unit::Count, static_cast<double>(snapshot.totals.failed),
       "calls that gave no block"},
      {"invalid_frees", Unit::Count, static_cast<double>(snapshot.totals.invalid_frees),
       "frees of what was not allocated, or freed before; of processes seen from their start"}};
  if (snapshot.totals.unseen_new + snapshot.losses.map_full + snapshot.losses.ring_full > 0) {
    report.figures.back().reliable = false;
    report.figures.back().help = "frees of blocks that were lost or not seen are among them";
  }
  for (Figure& figure : report.figures) {
    if (snapshot.losses.ring_full == 0 || !is_of_blocks(figure)) continue;
    figure.reliable = false;
    figure.help += "; events of processes were lost, so it may be wrong";
  }
  if (sure_since_ns_ > 0) {
    report.figures.push_back({"unsure", Unit::Bytes,
                              estimate(RowSums::sampled(sums.unsure, interval), Weigh::Bytes),
                              "allocated before the last pause of the budget and not seen to be "
                              "freed; in no row and not in leak",
                              false});
  }
  for (Figure& figure : report.figures) {
    if (rates_known_ || !figure.name.ends_with("_rate")) continue;
    figure.reliable = false;
    figure.help = "probes were off for a part of the time since the last report";
  }
  rates_known_ = true;
  last_leak_ = leak.value;
  last_allocations_ = allocations.value;
}

void HeapReporter::add_blocks(const HeapSnapshot& snapshot, const HeapSpaces& spaces,
                              Report& report) const {
  if (!options_->show_allocs) return;
  std::vector<const HeapSnapshot::Block*> blocks;
  for (const auto& block : snapshot.blocks) {
    if (counts(spaces, block.key.space) && block.block.time_ns >= sure_since_ns_ &&
        age_ms_of(block.block, snapshot.now_ns) >= options_->older_ms) {
      blocks.push_back(&block);
    }
  }
  std::ranges::sort(blocks, {}, [](const auto* entry) { return entry->block.time_ns; });
  Section section{"outstanding blocks, oldest first",
                  {"address", "bytes", "age", "process", "thread", "function"},
                  {}};
  for (const auto* entry : blocks) {
    section.lines.push_back(
        {fmt::format("{:#x}", entry->key.address), fmt::to_string(entry->block.bytes),
         rough_duration(age_ms_of(entry->block, snapshot.now_ns)),
         process_label(spaces, entry->key.space), fmt::to_string(entry->block.tid),
         std::string(use_of(static_cast<Role>(entry->block.role)).name)});
  }
  report.sections.push_back(std::move(section));
}

void HeapReporter::add_honesty(const HeapSnapshot& snapshot, Report& report) const {
  auto& honesty = report.honesty;
  const auto& losses = snapshot.losses;
  honesty.events = losses.events;
  honesty.lost = losses.ring_full;
  honesty.map_full = losses.map_full;
  honesty.stacks_lost = losses.stack_full + losses.scratch_busy;
  honesty.stacks_cut = losses.stack_cut;
  honesty.frees_hidden = snapshot.totals.replaced;
  if (options_->sample_bytes == 0 && options_->min_size == 0 &&
      options_->max_size == std::numeric_limits<std::uint64_t>::max()) {
    honesty.frees_unknown = losses.unknown_free;
  }
  if (losses.map_full > 0) {
    honesty.notes.emplace_back(
        "records found no room: leak is a lower bound; raise --blocks-max, or sample");
  }
  if (snapshot.totals.unseen_new > 0) {
    honesty.notes.push_back(fmt::format("{} calls of an operator new whose blocks no probe shows",
                                        snapshot.totals.unseen_new));
  }
  if (options_->sample_bytes > 0) {
    honesty.notes.push_back(fmt::format("sampled, a byte in {}: estimates with their 95 % interval",
                                        options_->sample_bytes));
  }
}

void HeapReporter::observed_again(std::uint64_t now_ns) {
  sure_since_ns_ = last_ns_ = now_ns;
  rates_known_ = false;
  last_leak_ = 0;
  last_bytes_.clear();
}

void HeapReporter::build(const HeapSnapshot& snapshot, const HeapSpaces& spaces,
                         const MappingLedger& mappings, const StackIndex& stack_index,
                         Report& report) {
  report.tracer = "leak";
  report.at_s = static_cast<double>(snapshot.now_ns - attached_ns_) / kNsPerSecond;
  since_last_s_ = static_cast<double>(snapshot.now_ns - last_ns_) / kNsPerSecond;
  last_ns_ = snapshot.now_ns;
  report.dimensions = {"kind", "process", "size_class"};
  report.measures = kMeasures;
  const auto sums = sum_up(snapshot, spaces);
  add_rows(sums, spaces, stack_index, report);
  add_figures(snapshot, sums, report);
  add_mappings(snapshot, spaces, mappings, stack_index, report);
  add_blocks(snapshot, spaces, report);
  add_honesty(snapshot, report);
}

}  // namespace lb::observe
