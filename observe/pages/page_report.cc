// SPDX-License-Identifier: Apache-2.0
// PageTracer::read(): from entries and rows to a Report.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "dataplane/base/clock.h"
#include "observe/pages/page_flags.h"
#include "observe/pages/page_tracer.h"

namespace lb::observe {
namespace {

constexpr double kPageBytes = 4096;
constexpr std::uint64_t kBatch = 4096;  // frames of one read of /proc/kpageflags

/// What brings memory that has a line of its own in /proc/meminfo although its frames have no flag.
constexpr std::array<std::string_view, 10> kShownElsewhere = {
    "___kmalloc_large",     "kmalloc_large_node",  // in Slab, although its frames are not marked
    "__vmalloc_node_range", "__vmalloc_area_node", "vm_area_alloc_pages", "pcpu_populate_chunk",
    "pcpu_alloc",           "pcpu_create_chunk",   "alloc_thread_stack",  "hugetlb_alloc",
};

double rate(std::uint64_t now, std::uint64_t before, double seconds) {
  return seconds > 0 ? static_cast<double>(now - before) / seconds : 0;
}

template <class T>
T sum(const std::vector<T>& all) {
  T total{};
  constexpr std::size_t kFields = sizeof(T) / sizeof(std::uint64_t);
  for (const auto& one : all) {
    const auto* from = reinterpret_cast<const std::uint64_t*>(&one);
    auto* to = reinterpret_cast<std::uint64_t*>(&total);
    for (std::size_t i = 0; i < kFields; ++i) to[i] += from[i];
  }
  return total;
}

std::string signed_kib(std::int64_t bytes) { return fmt::format("{}", bytes / 1024); }

}  // namespace

/// Whether the memory of this stack is in vmalloc's, per-CPU memory's or the stacks' line.
bool PageTracer::shown_elsewhere(std::uint64_t stack_id, Report& report) {
  const auto index = stacks_->add(stack_id);
  if (index == kNone || !options_.kernel_function) return false;
  return std::ranges::any_of(report.stacks[index].frames, [&](std::uint32_t frame) {
    const auto function = options_.kernel_function(report.frames[frame].address);
    return std::ranges::any_of(kShownElsewhere,
                               [&](std::string_view name) { return function.starts_with(name); });
  });
}

/// Reads every entry: what is outstanding by row, of it what is old enough, and with --hidden what
/// no flag explains.
Result<std::vector<PageTracer::Found>> PageTracer::scan(std::size_t rows) {
  std::vector<Found> found(rows);
  std::optional<PageFlags> flags;
  if (options_.hidden) {
    LB_TRY_ASSIGN(flags, PageFlags::open());
  }
  const std::uint64_t now_ns = monotonic_ns();
  const std::uint64_t age_ns = std::min(now_ns, options_.older_ms * 1'000'000);
  const std::uint64_t oldest_ok = (now_ns - age_ns) >> OBSERVE_PAGE_TIME_SHIFT;
  const auto entries = entries_.as<const volatile std::uint64_t>();
  for (std::size_t section = 0; section < layout_.start.size(); ++section) {
    if (layout_.start[section] == OBSERVE_SECTION_ABSENT) continue;
    for (std::uint64_t at = 0; at < OBSERVE_SECTION_FRAMES; at += kBatch) {
      std::span<const std::uint64_t> uses;
      for (std::uint64_t i = at; i < at + kBatch; ++i) {
        const std::uint64_t entry = entries[layout_.start[section] + i];
        const auto id = static_cast<std::uint32_t>(entry);
        if (id == 0 || id >= rows || (options_.older_ms != 0 && entry >> 32 > oldest_ok)) continue;
        ++found[id].frames;
        if (!flags) continue;
        const std::uint64_t first = section * OBSERVE_SECTION_FRAMES + at;
        if (uses.empty()) uses = flags->read(first, kBatch);
        if (i - at < uses.size() && page_use(uses[i - at]) == PageUse::Unmarked) ++found[id].hidden;
      }
    }
  }
  return found;
}

Row PageTracer::make_row(const observe_pages_row& row, const Found& found, std::size_t id,
                         double seconds) {
  const auto allocated =
      id == OBSERVE_ROW_OVERFLOW ? row.allocated : row.allocations << row.key.order;
  const auto outstanding = options_.hidden          ? found.hidden
                           : options_.older_ms != 0 ? found.frames
                           : allocated > row.freed  ? allocated - row.freed
                                                    : 0;
  if (last_rates_.size() <= id) last_rates_.resize(id + 1);
  auto& last = last_rates_[id];
  Row out;
  const std::string comm(std::begin(row.comm), std::ranges::find(row.comm, '\0'));
  out.labels = {id == OBSERVE_ROW_OVERFLOW ? std::string("(no room for more rows)")
                                           : fmt::format("{}/{}", comm, row.key.tgid),
                fmt::format("{}", row.key.order), names_.gfp(row.key.gfp),
                names_.migrate_type(row.key.migratetype)};
  if (options_.by_cgroup) out.labels.push_back(fmt::format("{}", row.key.cgroup));
  out.stack = stacks_->add(row.key.stack);
  out.values = {static_cast<double>(outstanding) * kPageBytes,
                static_cast<double>(outstanding),
                static_cast<double>(row.allocations),
                static_cast<double>(row.freed),
                rate(row.allocations, last.allocations, seconds),
                rate(row.freed, last.freed, seconds)};
  last = {row.allocations, row.freed};
  return out;
}

void PageTracer::add_figures(Report& report, const observe_pages_totals& now, double seconds) {
  double bytes = 0;
  double allocation_rate = 0;
  for (const auto& row : report.rows) {
    bytes += row.values[0].value;
    allocation_rate += row.values[4].value;
  }
  const double growth = seconds > 0 ? (bytes - last_bytes_) / seconds : 0;
  report.figures = {
      {"outstanding", Unit::Bytes, bytes, "allocated since attach and not freed"},
      {"pages", Unit::Count, bytes / kPageBytes, "the same in page frames"},
      {"growth_rate", Unit::BytesPerSecond, growth, "since the last report"},
      {"allocation_rate", Unit::CountPerSecond, allocation_rate, "events, since the last report"},
      {"free_rate", Unit::CountPerSecond, rate(now.frees, last_frees_, seconds),
       "events of the whole system, since the last report"},
      {"moved", Unit::Count, static_cast<double>(now.moved),
       "pages that compaction moved: owner unknown"}};
  last_bytes_ = bytes;
  last_frees_ = now.frees;
}

/// The arithmetic of /proc/meminfo at attach and now, and how much of what is left has a name.
Status PageTracer::add_hidden(Report& report, std::uint64_t named_bytes) {
  LB_TRY_ASSIGN(auto meminfo, read_meminfo());
  meminfo.stacks_in_vmalloc = meminfo_.stacks_in_vmalloc;
  const auto before = hidden_memory(meminfo_);
  const auto now = hidden_memory(meminfo);
  Section section{
      "Memory that /proc/meminfo does not show, KiB", {"", "at attach", "now", "change"}, {}};
  for (const auto& [name, bytes] : now.parts) {
    auto then = std::ranges::find(before.parts, name, &std::pair<std::string, std::int64_t>::first);
    const std::int64_t old = then == before.parts.end() ? 0 : then->second;
    section.lines.push_back({name, signed_kib(old), signed_kib(bytes), signed_kib(bytes - old)});
  }
  section.lines.push_back({"named here", "0", signed_kib(static_cast<std::int64_t>(named_bytes)),
                           signed_kib(static_cast<std::int64_t>(named_bytes))});
  section.lines.push_back({"pages migrated (pgmigrate_success)",
                           fmt::format("{}", meminfo_.migrated),
                           fmt::format("{}", meminfo.migrated),
                           fmt::format("{}", meminfo.migrated - meminfo_.migrated)});
  report.sections.push_back(std::move(section));
  report.figures.push_back({"hidden", Unit::Bytes, static_cast<double>(now.hidden),
                            "MemTotal less all that /proc/meminfo and the per-CPU lists show"});
  report.figures.push_back({"hidden_before", Unit::Bytes, static_cast<double>(before.hidden),
                            "the same at attach; who holds it cannot be named"});
  return {};
}

Result<Report> PageTracer::read() {
  const auto now_ns = monotonic_ns();
  const double seconds = static_cast<double>(now_ns - last_read_ns_) * 1e-9;
  Report report;
  report.tracer = name();
  report.at_s = static_cast<double>(now_ns - attached_ns_) * 1e-9;
  report.dimensions = {"process", "order", "gfp", "migratetype"};
  if (options_.by_cgroup) report.dimensions.emplace_back("cgroup");
  report.measures = {
      {"bytes", Unit::Bytes, Kind::Level, "outstanding"},
      {"pages", Unit::Count, Kind::Level, "page frames outstanding"},
      {"allocations", Unit::Count, Kind::Total, "events of alloc_pages"},
      {"freed", Unit::Count, Kind::Total, "page frames freed"},
      {"allocation_rate", Unit::CountPerSecond, Kind::Level, "events, since the last report"},
      {"free_rate", Unit::CountPerSecond, Kind::Level, "page frames, since the last report"}};
  stacks_->begin(report);

  const auto rows = rows_.as<const observe_pages_row>();
  std::vector<Found> found(rows.size());
  if (options_.hidden || options_.older_ms != 0) {
    LB_TRY_ASSIGN(found, scan(rows.size()));
  }
  std::uint64_t named = 0;
  std::uint64_t events = 0;
  for (std::size_t id = OBSERVE_ROW_OVERFLOW; id < rows.size(); ++id) {
    if (rows[id].allocations == 0) continue;
    events += rows[id].allocations;
    if (options_.hidden && shown_elsewhere(rows[id].key.stack, report)) continue;
    report.rows.push_back(make_row(rows[id], found[id], id, seconds));
    named += found[id].hidden * 4096;
  }
  LB_TRY_ASSIGN(auto totals, totals_->per_cpu<observe_pages_totals>(std::uint32_t{0}));
  LB_TRY_ASSIGN(auto losses, losses_->per_cpu<observe_losses>(std::uint32_t{0}));
  const auto total = sum(totals);
  const auto lost = sum(losses);
  add_figures(report, total, seconds);
  if (options_.hidden) LB_TRY(add_hidden(report, named));
  report.honesty.events = events + lost.events + total.frees;
  report.honesty.map_full = lost.map_full + total.outside;
  report.honesty.stacks_lost = lost.stack_full + lost.scratch_busy;
  report.honesty.stacks_cut = lost.stack_cut;
  report.honesty.frees_hidden = total.reallocated;
  report.honesty.frees_unknown = total.freed_unknown;
  report.honesty.notes = notes_;
  last_read_ns_ = now_ns;
  return report;
}

}  // namespace lb::observe
