// SPDX-License-Identifier: Apache-2.0
#include "observe/resident/resident_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "dataplane/base/units.h"
#include "observe/leak/arenas.h"
#include "observe/site.h"

namespace lb::observe {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr double kPageBytes = ResidentLedger::kPageBytes;
constexpr std::size_t kMappingDimension = 2;

const std::vector<Measure> kMeasures = {
    {"bytes", Unit::Bytes, Kind::Level, "resident now, and not when it was first seen"},
    {"pages", Unit::Count, Kind::Level, "the same in pages of 4 KiB"},
    {"faults", Unit::Count, Kind::Total, "page faults of this stack"},
    {"growth_rate", Unit::BytesPerSecond, Kind::Level, "since the last report"},
    {"peak_bytes", Unit::Bytes, Kind::Peak, "most that was seen; it is looked about once a second"},
};

constexpr std::array<std::string_view, 9> kWrappers = {
    "mmap", "mmap64", "__mmap", "__mmap64", "mremap", "__mremap", "brk", "__brk", "sbrk"};

/// The dynamic linker, and libraries that are allocators as a whole.
constexpr std::array<std::string_view, 5> kPassedOver = {"ld-linux", "ld-musl", "libjemalloc",
                                                         "libtcmalloc", "libmimalloc"};

std::string_view fault_label(Fault fault) {
  switch (fault) {
    case Fault::User:
      return "user";
    case Fault::Kernel:
      return "kernel";
    case Fault::Lost:
      return "lost";
    case Fault::None:
      break;
  }
  return "not seen";
}

std::string process_label(const ResidentLife& life) {
  return fmt::format("{}/{}{}", life.comm, life.pid, life.ended ? kEnded : "");
}

double gone_of(const ResidentLife& life, double before) {
  return std::max(0.0, static_cast<double>(life.first_bytes) - before);
}

std::string growth_of(std::uint64_t now, std::uint64_t before) {
  return now >= before ? format_bytes(now - before) : "-" + format_bytes(before - now);
}

bool is_passed_over(const Report& report, const Frame& frame) {
  if (frame.object != kNone) {
    std::string_view file = report.objects[frame.object].path;
    file.remove_prefix(file.rfind('/') + 1);
    if (std::ranges::any_of(kPassedOver, [file](auto name) { return file.starts_with(name); })) {
      return true;
    }
  }
  return std::ranges::any_of(frame.places, [](const Place& place) {
    return is_allocator_function(place.function) ||
           std::ranges::find(kWrappers, place.function) != kWrappers.end() ||
           place.function.starts_with("__sbrk") || place.function.ends_with("morecore") ||
           place.function.starts_with("tcache_init") || place.function.starts_with("arena_get") ||
           place.function.ends_with("new_heap");
  });
}

std::string name_of(const Frame& frame) {
  return frame.places.empty() ? fmt::format("{:#x}", frame.address) : frame.places.back().function;
}

/// The caller's name, or the file where all are passed over; "?" of an empty stack.
std::string caller_in(const Report& report, const Stack& stack) {
  if (stack.frames.empty()) return "?";
  for (const auto index : stack.frames) {
    const auto& frame = report.frames[index];
    if (!is_passed_over(report, frame)) return name_of(frame);
  }
  const auto& last = report.frames[stack.frames.back()];
  if (last.object == kNone) return name_of(last);
  const std::string_view path = report.objects[last.object].path;
  return std::string(path.substr(path.rfind('/') + 1));
}

}  // namespace

ResidentReporter::RowKey ResidentReporter::key_of(const ResidentLook& look, std::uint64_t address,
                                                  bool file, const MappedBy& mapped,
                                                  const Touch& touch) {
  const auto* mapping = look.mapping_at(address);
  const std::string_view name = mapping != nullptr ? std::string_view(mapping->name) : "";
  RowKey key{"anonymous", std::string(name), mapped, touch};
  if (file) {
    // Shared memory without a name was made by MAP_SHARED | MAP_ANONYMOUS: "/dev/zero (deleted)".
    key.kind = mapping != nullptr && mapping->in_memory ? "shared" : "file";
  } else if (name == "[heap]") {
    key.kind = "heap";
  } else if (name == "[stack]") {
    key.kind = "stack";
  }
  if (key.kind == "file" || !mapped.known) {
    key.mapped = {};
    if (key.name.empty()) key.name = "(call not seen)";
  } else {
    key.name.clear();
  }
  return key;
}

void ResidentReporter::see(std::uint32_t life, ResidentLife& of, const ResidentLook& look,
                           const ResidentLedger& ledger) {
  auto& seen = seen_[life];
  seen.missed = false;
  for (auto& [key, sums] : seen.rows) sums.bytes = 0;
  seen.now = static_cast<double>(look.bytes());
  seen.before = 0;
  seen.status = look.status;
  for (const auto& region : look.regions) {
    for (std::uint64_t at = region.start; at < region.end;) {
      const auto* mapping = look.mapping_at(at);
      const auto end = mapping != nullptr ? std::min(region.end, mapping->end) : region.end;
      // Files come in huge pages as they are read, shared memory as it is touched.
      const bool huge = region.huge && (!region.file || (mapping != nullptr && mapping->in_memory));
      ledger.walk(of.space, {at, end}, huge, [&](const ResidentLedger::Run& run) {
        const auto bytes = static_cast<double>(run.range.end - run.range.start);
        if (run.before) {
          seen.before += bytes;
          return;
        }
        const auto key = key_of(look, run.range.start, region.file, run.mapped, run.touch);
        seen.rows[key].bytes += bytes;
      });
      at = end;
    }
  }
  for (auto& [key, sums] : seen.rows) sums.peak = std::max(sums.peak, sums.bytes);
  if (seen.rows.size() > kRowsMax) {  // of files with ever new names
    left_out_ += std::erase_if(seen.rows, [](const auto& row) { return row.second.bytes == 0; });
  }
  if (!of.first_known) {
    of.first_known = true;
    of.first_bytes = static_cast<std::uint64_t>(seen.before);
    of.first = look.status;
  }
  seen.look.mappings = look.mappings;  // by which faults of pages that have gone find their kind
}

void ResidentReporter::ended(std::uint32_t life) {
  const auto found = seen_.find(life);
  if (found == seen_.end()) return;
  found->second.missed = false;
  for (auto& [key, sums] : found->second.rows) sums.bytes = 0;
}

void ResidentReporter::seen_all() {
  double all = 0;
  for (const auto& [life, seen] : seen_) {
    for (const auto& [key, sums] : seen.rows) all += sums.bytes;
  }
  peak_ = std::max(peak_, all);
}

void ResidentReporter::add_rows(std::uint32_t life, const ResidentLife& of,
                                const ResidentLedger& ledger, const StackIndex& stack_index,
                                Report& report) {
  auto& seen = seen_[life];
  std::map<RowKey, double> faults;
  if (!of.shares) {
    for (const auto& [of_fault, counts] : ledger.faults(of.space)) {
      // Whether of a file is not known of a page that may have gone; its mapping tells it mostly.
      const auto* mapping = seen.look.mapping_at(counts.address);
      const bool file =
          mapping != nullptr && (mapping->in_memory || mapping->name.starts_with('/'));
      auto key = key_of(seen.look, counts.address, file, of_fault.second, of_fault.first);
      if (!seen.rows.contains(key)) {
        key = key_of(seen.look, counts.address, false, of_fault.second, of_fault.first);
      }
      faults[key] += static_cast<double>(counts.count);
      seen.rows[key];
    }
  }
  for (auto& [key, sums] : seen.rows) {
    Row row;
    const auto call = key.mapped.known ? stack_index(key.mapped.stack) : kNone;
    const std::string how = key.mapped.brk ? "brk" : "mmap";
    row.labels = {key.kind, process_label(of),
                  !key.mapped.known ? key.name
                  : call == kNone   ? fmt::format("? ({})", how)
                                    : fmt::format("#{} ({})", call, how),
                  std::string(fault_label(key.touch.fault))};
    row.stack = stack_index(key.touch.stack);
    const double rate = since_last_s_ > 0 ? (sums.bytes - sums.last) / since_last_s_ : 0;
    row.values = {sums.bytes, sums.bytes / kPageBytes, faults[key], rate, sums.peak};
    sums.last = sums.bytes;
    report.rows.push_back(std::move(row));
  }
}

void ResidentReporter::add_figures(const ResidentLives& lives, const observe_losses& losses,
                                   Report& report) {
  double leak = 0;
  double faults = 0;
  double gone = 0;
  for (const auto& row : report.rows) {
    leak += row.values[0].value;
    faults += row.values[2].value;
  }
  for (const auto& [id, life] : lives) {
    const auto seen = seen_.find(id);
    if (life.ended || life.shares || seen == seen_.end()) continue;
    gone += gone_of(life, seen->second.before);
  }
  const bool missed =
      std::ranges::any_of(seen_, [](const auto& seen) { return seen.second.missed; });
  std::string doubt;
  if (losses.ring_full != 0)
    doubt = "events were lost, so pages that came back may be missing in it";
  if (before_doubted_)
    doubt = "kernel.numa_balancing is on: what was there at first may count as new";
  if (missed) doubt = "a process could not be looked at: what it held earlier is in it";
  const bool whole = doubt.empty();
  report.figures = {
      {"leak", Unit::Bytes, leak,
       whole ? "resident now, and not when it was first seen: the sum of the rows" : doubt, whole},
      {"gone", Unit::Bytes, gone,
       whole ? "was resident when it was first seen, and is not now" : doubt, whole},
      {"growth", Unit::Bytes, leak - gone,
       missed ? doubt : "leak less gone: how resident memory has grown", !missed},
      {"growth_rate", Unit::BytesPerSecond,
       since_last_s_ > 0 ? (leak - last_leak_) / since_last_s_ : 0,
       "of leak, since the last report"},
      {"peak", Unit::Bytes, peak_, "most that leak was when it was looked, about once a second"},
      {"faults", Unit::Count, faults, "page faults that were seen"}};
  last_leak_ = leak;
}

void ResidentReporter::add_section(const ResidentLives& lives, Report& report) const {
  Section section{"resident memory, by page tables and as /proc/PID/status has it",
                  {"process", "at first", "gone", "new", "now", "VmRSS", "VmRSS growth", "RssAnon",
                   "RssFile", "RssShmem"},
                  {}};
  for (const auto& [id, life] : lives) {
    const auto found = seen_.find(id);
    if (life.shares || found == seen_.end()) continue;
    const auto& seen = found->second;
    const auto now = static_cast<std::uint64_t>(seen.now);
    const auto before = static_cast<std::uint64_t>(seen.before);
    section.lines.push_back(
        {process_label(life) + (life.ended ? ", as last seen" : ""), format_bytes(life.first_bytes),
         format_bytes(static_cast<std::uint64_t>(gone_of(life, seen.before))),
         format_bytes(now - before), format_bytes(now), format_bytes(seen.status.all),
         growth_of(seen.status.all, life.first.all), growth_of(seen.status.anon, life.first.anon),
         growth_of(seen.status.file, life.first.file),
         growth_of(seen.status.shared, life.first.shared)});
  }
  report.sections.push_back(std::move(section));
}

void ResidentReporter::build(const ResidentLives& lives, const ResidentLedger& ledger,
                             const observe_losses& losses, std::uint64_t now_ns,
                             const StackIndex& stack_index, Report& report) {
  report.tracer = "leak";
  report.at_s = static_cast<double>(now_ns - attached_ns_) / kNsPerSecond;
  since_last_s_ = static_cast<double>(now_ns - last_ns_) / kNsPerSecond;
  last_ns_ = now_ns;
  report.dimensions = {"kind", "process", "mapping", "fault"};
  report.measures = kMeasures;
  for (const auto& [id, life] : lives) {
    if (seen_.contains(id)) add_rows(id, life, ledger, stack_index, report);
  }
  // Of processes that have ended nothing is left: the most that they held decides.
  std::ranges::stable_sort(report.rows, std::greater<>{},
                           [](const Row& row) { return row.values[4].value; });
  add_figures(lives, losses, report);
  add_section(lives, report);
  auto& honesty = report.honesty;
  honesty.events = losses.events;
  honesty.lost = losses.ring_full;
  honesty.map_full = losses.map_full;
  honesty.stacks_lost = losses.stack_full + losses.scratch_busy;
  honesty.stacks_cut = losses.stack_cut;
  if (left_out_ > 0) {
    honesty.notes.push_back(fmt::format(
        "{} rows that held nothing any more are not told, nor their peaks: there were more than {}",
        left_out_, kRowsMax));
  }
}

void name_mappings(Report& report) {
  for (auto& row : report.rows) {
    auto& label = row.labels[kMappingDimension];
    std::uint32_t stack = 0;
    const char* const end = label.data() + label.size();
    if (!label.starts_with('#')) continue;
    const auto number = std::from_chars(label.data() + 1, end, stack);
    if (number.ec != std::errc() || stack >= report.stacks.size()) continue;
    label = caller_in(report, report.stacks[stack]) + std::string(number.ptr, end);
  }
}

void add_resident_sites(Report& report) {
  add_sites(report, [&report](const Frame& frame) { return is_passed_over(report, frame); });
}

}  // namespace lb::observe
