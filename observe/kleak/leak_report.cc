// SPDX-License-Identifier: Apache-2.0
#include "observe/kleak/leak_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <unordered_map>
#include <utility>

#include "dataplane/base/units.h"
#include "observe/ages.h"
#include "observe/sampling.h"

namespace lb::observe {
namespace {

constexpr std::array<const char*, KMEM_KINDS> kKinds = {"slab", "percpu", "vmalloc"};
constexpr double kNsPerSecond = 1e9;
constexpr std::uint64_t kNsPerMs = 1'000'000;

const std::vector<Measure> kMeasures = with_ages({
    {"bytes", Unit::Bytes, Kind::Level, "outstanding, as the allocator took them"},
    {"blocks", Unit::Count, Kind::Level, "outstanding"},
    {"calls", Unit::Count, Kind::Total, "allocations"},
    {"allocated_bytes", Unit::Bytes, Kind::Total, "allocated, freed or not"},
    {"peak_bytes", Unit::Bytes, Kind::Peak, "most that was outstanding at once"},
    {"temporary", Unit::Count, Kind::Total, "freed by the CPU that made it before its next one"},
    {"rate", Unit::CountPerSecond, Kind::Level, "allocations a second since the last reading"},
});

std::uint64_t age_of(const kmem_block& block, std::uint64_t now_ns) {
  return now_ns > block.time_ns ? now_ns - block.time_ns : 0;
}

struct KeyHash {
  std::size_t operator()(const kmem_group_key& key) const {
    return static_cast<std::size_t>((key.stack ^ key.cache * 31 ^ key.tgid) *
                                    0x9e3779b97f4a7c15ULL);
  }
};
struct KeyEqual {
  bool operator()(const kmem_group_key& a, const kmem_group_key& b) const {
    return std::memcmp(&a, &b, sizeof a) == 0;  // no holes: static_assert in observe_kmem.h
  }
};

/// What a scan of the blocks tells of one group.
struct Ages {
  std::array<std::uint64_t, kAges> blocks{};
  std::uint64_t old_enough = 0;
};
using AgesOf = std::unordered_map<kmem_group_key, Ages, KeyHash, KeyEqual>;

AgesOf ages_of(const KernelLeakSnapshot& snapshot, std::uint64_t older_ms) {
  AgesOf ages;
  for (const auto& entry : snapshot.blocks) {
    const std::uint64_t age = age_of(entry.block, snapshot.now_ns);
    Ages& of_group = ages[entry.block.group];
    ++of_group.blocks[age_class(age / kNsPerMs)];
    if (age / kNsPerMs >= older_ms) ++of_group.old_enough;
  }
  return ages;
}

std::string process_label(std::uint32_t tgid, const kmem_group& group) {
  return fmt::format("{}/{}", std::string_view(group.comm, strnlen(group.comm, sizeof group.comm)),
                     tgid);
}

std::string cache_name(const KernelLeakSnapshot& snapshot, std::uint64_t cache) {
  const auto found = snapshot.caches.find(cache);
  return found == snapshot.caches.end() ? "" : found->second.name;
}

/// What slabinfo allows of `value`: 0 up to `bytes_max`.
Value bounded(const Value& value, double bytes_max) {
  const double high = std::min(value.high, bytes_max);
  return {std::min(value.value, high), 0, high};
}

}  // namespace

/// The groups of one row, each with its count, in the form that estimate() takes.
struct KernelLeakReporter::RowSums {
  std::vector<Sampled> blocks;
  std::vector<Sampled> calls;
  std::vector<Sampled> peak;
  std::vector<Sampled> temporary;
  std::array<std::vector<Sampled>, kAges> ages;
};

KernelLeakReporter::KernelLeakReporter(KernelLeakOptions options, KernelText text,
                                       SlabBaseline baseline, Times times)
    : options_(std::move(options)),
      text_(std::move(text)),
      baseline_(std::move(baseline)),
      attached_ns_(times.attached_ns),
      last_ns_(times.since_ns) {}

double KernelLeakReporter::interval_of(const kmem_group_key& key) const {
  return static_cast<double>(options_.sample_bytes) * static_cast<double>(1ULL << (key.level % 64));
}

KernelLeakReporter::Cause KernelLeakReporter::cause_of(std::uint32_t stack,
                                                       const Report& report) const {
  if (stack == kNone) return Cause::Process;
  std::vector<std::uint64_t> addresses;
  for (const std::uint32_t frame : report.stacks[stack].frames) {
    addresses.push_back(report.frames[frame].address);
  }
  if (any_in(addresses, {text_.bpf_allocator})) return Cause::Own;
  return any_in(addresses, text_.interrupts) ? Cause::Interrupt : Cause::Process;
}

void KernelLeakReporter::drop_trampolines(std::uint32_t stack, Report& report) const {
  if (stack == kNone) return;
  auto& frames = report.stacks[stack].frames;
  const auto caller = std::ranges::find_if_not(frames, [&](std::uint32_t frame) {
    return any_in(std::span(&report.frames[frame].address, 1), text_.trampolines);
  });
  frames.erase(frames.begin(), caller);
}

void KernelLeakReporter::judge_stacks(const KernelLeakSnapshot& snapshot,
                                      const StackIndex& stack_index, Report& report) {
  stacks_.clear();
  for (const auto& group : snapshot.groups) {
    const auto [entry, is_new] = stacks_.try_emplace(group.key.stack);
    if (!is_new) continue;
    KnownStack& stack = entry->second;
    stack.index = stack_index(group.key.stack);
    drop_trampolines(stack.index, report);
    stack.cause = cause_of(stack.index, report);
    stack.left_out = stack.cause == Cause::Own ||
                     (stack.cause == Cause::Interrupt && !options_.targets.everything);
  }
}

KernelLeakReporter::Rows KernelLeakReporter::sum_rows(const KernelLeakSnapshot& snapshot) const {
  const AgesOf ages = ages_of(snapshot, options_.older_ms);
  const Ages none;
  Rows rows;
  for (const auto& [key, sums] : snapshot.groups) {
    const auto found = ages.find(key);
    const Ages& age = found == ages.end() ? none : found->second;
    const KnownStack& stack = stacks_.at(key.stack);
    if (stack.left_out) continue;
    RowSums& row =
        rows[{key.kind, key.cache,
              stack.cause == Cause::Interrupt ? "[interrupt]" : process_label(key.tgid, sums),
              std::bit_ceil(std::max<std::uint64_t>(key.bytes, 1)), stack.index}];
    const auto bytes = static_cast<double>(key.bytes);
    const double interval = interval_of(key);
    auto of = [bytes, interval](auto count) {
      return Sampled{bytes, interval, static_cast<double>(count)};
    };
    // A free on another CPU may be counted before its allocation is: never less than none.
    const std::int64_t outstanding = std::max<std::int64_t>(sums.blocks, 0);
    row.blocks.push_back(options_.older_ms > 0 ? of(age.old_enough) : of(outstanding));
    row.calls.push_back(of(sums.calls));
    row.peak.push_back(of(sums.peak_blocks));
    row.temporary.push_back(of(sums.temporary));
    for (std::size_t i = 0; i < kAges; ++i) row.ages[i].push_back(of(age.blocks[i]));
  }
  return rows;
}

void KernelLeakReporter::add_rows(const KernelLeakSnapshot& snapshot, const Rows& rows,
                                  Report& report) {
  std::map<RowKey, double> calls_now;
  for (const auto& [key, sums] : rows) {
    const auto& [kind, cache, process, size_class, stack] = key;
    const CacheVerdict& verdict = verdicts_[cache];
    Row row;
    row.labels = {kKinds.at(kind % kKinds.size()), cache_name(snapshot, cache), process,
                  fmt::format("<={}", size_class),
                  verdict.frees_visible ? "visible" : "not visible"};
    row.stack = stack;
    Value bytes = estimate(sums.blocks, Weigh::Bytes);
    Value blocks = estimate(sums.blocks, Weigh::Blocks);
    if (!verdict.frees_visible) {
      const double most =
          verdict.objects_max ? static_cast<double>(*verdict.objects_max) : blocks.high;
      blocks = bounded(blocks, most);
      bytes = bounded(bytes, most * static_cast<double>(size_class));
    }
    const Value calls = estimate(sums.calls, Weigh::Blocks);
    calls_now[key] = calls.value;
    const double rate = since_last_s_ > 0 ? (calls.value - last_calls_[key]) / since_last_s_ : 0;
    row.values = {bytes,
                  blocks,
                  calls,
                  estimate(sums.calls, Weigh::Bytes),
                  estimate(sums.peak, Weigh::Bytes),
                  estimate(sums.temporary, Weigh::Blocks),
                  rate};
    for (const auto& age : sums.ages) row.values.push_back(estimate(age, Weigh::Blocks));
    report.rows.push_back(std::move(row));
  }
  last_calls_ = std::move(calls_now);
  std::ranges::stable_sort(report.rows, std::ranges::greater{},
                           [](const Row& row) { return row.values.front().value; });
}

void KernelLeakReporter::add_figures(const KernelLeakSnapshot& snapshot, const Rows& rows,
                                     Report& report) {
  std::array<std::vector<Sampled>, KMEM_KINDS> by_kind;
  std::vector<Sampled> visible;
  std::map<std::uint64_t, std::vector<Sampled>> hidden;  // by cache
  for (const auto& [key, sums] : rows) {
    const std::uint8_t kind = std::get<0>(key);
    const std::uint64_t cache = std::get<1>(key);
    const bool seen = verdicts_[cache].frees_visible;
    std::vector<Sampled>& to = seen ? visible : hidden[cache];
    to.insert(to.end(), sums.blocks.begin(), sums.blocks.end());
    if (!seen || kind >= KMEM_KINDS) continue;
    by_kind.at(kind).insert(by_kind.at(kind).end(), sums.blocks.begin(), sums.blocks.end());
  }
  const Value leak = estimate(visible, Weigh::Bytes);
  double hidden_most = 0;
  for (const auto& [cache, blocks] : hidden) {
    const Value bytes = estimate(blocks, Weigh::Bytes);
    double object = 0;
    for (const Sampled& block : blocks) object = std::max(object, block.bytes);
    const auto& most = verdicts_[cache].objects_max;
    hidden_most += most ? std::min(bytes.high, static_cast<double>(*most) * object) : bytes.high;
  }
  const double growth = since_last_s_ > 0 ? (leak.value - last_leak_) / since_last_s_ : 0;
  last_leak_ = leak.value;
  report.figures = {
      {"leak", Unit::Bytes, leak, "outstanding where frees can be seen"},
      {"blocks", Unit::Count, estimate(visible, Weigh::Blocks), "outstanding, of these"},
      {"growth_rate", Unit::BytesPerSecond, growth, "of leak, since the last reading"},
  };
  for (std::size_t kind = 0; kind < by_kind.size(); ++kind) {
    report.figures.push_back({fmt::format("leak_{}", kKinds.at(kind)), Unit::Bytes,
                              estimate(by_kind.at(kind), Weigh::Bytes), "the part of leak"});
  }
  report.figures.push_back({"hidden", Unit::Bytes, Value(hidden_most, 0, hidden_most),
                            "outstanding at most in caches whose frees cannot be seen; not for "
                            "--fail-if",
                            false});
  report.figures.push_back({"own", Unit::Bytes, static_cast<double>(snapshot.own.bytes),
                            "allocated by BPF maps (of all programs) and by this process since the "
                            "attach; left out of all else",
                            false});
}

void KernelLeakReporter::add_caches(const KernelLeakSnapshot& snapshot, const Rows& rows,
                                    Report& report) const {
  std::map<std::uint64_t, std::vector<Sampled>> outstanding;
  for (const auto& [key, sums] : rows) {
    auto& of_cache = outstanding[std::get<1>(key)];
    of_cache.insert(of_cache.end(), sums.blocks.begin(), sums.blocks.end());
  }
  Section section{"caches",
                  {"cache", "frees", "outstanding", "allocs_all", "frees_all", "reused",
                   "slabinfo_at_attach", "slabinfo_now", "hidden_frees"},
                  {}};
  for (const auto& [cache, blocks] : outstanding) {
    const auto counts = snapshot.caches.find(cache);
    const auto verdict = verdicts_.find(cache);
    if (counts == snapshot.caches.end() || verdict == verdicts_.end()) continue;
    const CacheVerdict& known = verdict->second;
    section.lines.push_back(
        {counts->second.name, known.frees_visible ? "visible" : "not visible",
         fmt::format("{:.0f}", estimate(blocks, Weigh::Blocks).value),
         fmt::to_string(counts->second.allocs), fmt::to_string(counts->second.frees),
         fmt::to_string(counts->second.reused),
         known.objects_max ? fmt::to_string(known.active_at_attach) : "-",
         known.objects_max ? fmt::to_string(known.active_now) : "-", fmt::to_string(known.hidden)});
  }
  report.sections.push_back(std::move(section));
}

void KernelLeakReporter::add_allocs(const KernelLeakSnapshot& snapshot, Report& report) const {
  if (!options_.show_allocs) return;
  std::unordered_map<kmem_group_key, std::string, KeyHash, KeyEqual> processes;
  for (const auto& [key, sums] : snapshot.groups) processes[key] = process_label(key.tgid, sums);
  std::vector<const KernelLeakSnapshot::Block*> blocks;
  for (const auto& block : snapshot.blocks) blocks.push_back(&block);
  std::ranges::sort(blocks, {}, [](const auto* entry) { return entry->block.time_ns; });
  Section section{
      "outstanding blocks, oldest first",
      {"address", "bytes", "age", "kind", "cache", "process", "thread", "gfp", "cgroup"},
      {}};
  for (const auto* entry : blocks) {
    const kmem_block& block = entry->block;
    const std::uint64_t age_ms = age_of(block, snapshot.now_ns) / kNsPerMs;
    const auto stack = stacks_.find(block.group.stack);
    if (age_ms < options_.older_ms || stack == stacks_.end() || stack->second.left_out) continue;
    section.lines.push_back(
        {fmt::format("{:#x}", entry->address), fmt::to_string(block.group.bytes),
         rough_duration(age_ms), kKinds.at(block.group.kind % kKinds.size()),
         cache_name(snapshot, block.group.cache), processes[block.group], fmt::to_string(block.tid),
         fmt::format("{:#x}", block.gfp), fmt::to_string(block.cgroup)});
  }
  report.sections.push_back(std::move(section));
}

void KernelLeakReporter::add_honesty(const KernelLeakSnapshot& snapshot, Report& report) const {
  Honesty& honesty = report.honesty;
  const observe_losses& losses = snapshot.losses;
  honesty.events = losses.events;
  honesty.lost = losses.ring_full;
  honesty.map_full = losses.map_full;
  honesty.stacks_lost = losses.stack_full + losses.scratch_busy;
  honesty.stacks_cut = losses.stack_cut;
  std::string blind;
  for (const auto& [cache, verdict] : verdicts_) {
    honesty.frees_hidden += verdict.hidden;
    if (!verdict.frees_visible) blind += (blind.empty() ? "" : ", ") + cache_name(snapshot, cache);
  }
  // With a filter or a sample, a free of what is not recorded is the rule.
  const bool whole = options_.targets.everything && options_.sample_bytes == 0 &&
                     options_.caches.empty() && options_.min_size == 0 && options_.slab &&
                     options_.max_size == std::numeric_limits<std::uint64_t>::max();
  if (whole) honesty.frees_unknown = losses.unknown_free;
  if (!blind.empty()) {
    honesty.notes.push_back("frees not visible, so not in leak, in the caches " + blind);
  }
  if (snapshot.missed > 0) {
    honesty.notes.push_back(fmt::format(
        "the kernel left out {} of our runs: as many blocks may be shown that were freed",
        snapshot.missed));
  }
  if (snapshot.missed_own > 0) {
    honesty.notes.push_back(fmt::format(
        "missed counts {} allocations by the BPF allocator for our own maps, which are no loss",
        snapshot.missed_own));
  }
  if (losses.map_full > 0) {
    honesty.notes.emplace_back(
        "records found no room: leak is a lower bound; raise --blocks-max, or sample");
  }
  if (!snapshot.slabinfo_after) {
    honesty.notes.emplace_back(
        "/proc/slabinfo cannot be read: hidden frees show only when an address comes back");
  }
}

void KernelLeakReporter::build(const KernelLeakSnapshot& snapshot, const StackIndex& stack_index,
                               Report& report) {
  report.tracer = "leak";
  report.at_s = static_cast<double>(snapshot.now_ns - attached_ns_) / kNsPerSecond;
  since_last_s_ = static_cast<double>(snapshot.now_ns - last_ns_) / kNsPerSecond;
  last_ns_ = snapshot.now_ns;
  report.dimensions = {"kind", "cache", "process", "size_class", "frees"};
  report.measures = kMeasures;
  verdicts_ = judge_caches(snapshot, baseline_.caches.empty() ? nullptr : &baseline_);
  judge_stacks(snapshot, stack_index, report);
  const Rows rows = sum_rows(snapshot);
  add_rows(snapshot, rows, report);
  add_figures(snapshot, rows, report);
  add_caches(snapshot, rows, report);
  add_allocs(snapshot, report);
  add_honesty(snapshot, report);
}

}  // namespace lb::observe
