// SPDX-License-Identifier: Apache-2.0
#include "observe/pages/page_tracer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "dataplane/base/bpf_types.h"
#include "dataplane/base/bpf_work_cost.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/units.h"
#include "observe/frame/target.h"
#include "observe/pages/page_object.h"
#include "observe/site.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kHashElementBytes = 48;  // of the kernel, beside key and value
constexpr std::uint64_t kBucketBytes = 16;
// What a program does, in units of measure_bpf_work_unit(); fitted on one host.
constexpr double kAllocationUnits = 12.3;  // most of it the kernel's walk of some 15 frames
constexpr double kFreeUnits = 0.7;

std::uint64_t hash_bytes(std::uint64_t entries, std::uint64_t key, std::uint64_t value) {
  std::uint64_t buckets = 1;
  while (buckets < entries) buckets *= 2;
  return entries * (kHashElementBytes + key + (value + 7) / 8 * 8) + buckets * kBucketBytes;
}

std::vector<std::string> left_out(bool raw) {
  std::vector<std::string> names = {"observe_pages_learn", "observe_pages_learn_tp", "page_pairs"};
  for (const char* name : {"observe_pages_alloc", "observe_pages_free"}) {
    names.push_back(raw ? fmt::format("{}_tp", name) : name);
  }
  return names;
}

}  // namespace

PageTracer::PageTracer(PagesOptions options)
    : options_(std::move(options)), names_(PageNames::load()) {}
PageTracer::~PageTracer() = default;

std::vector<const BpfObject*> PageTracer::objects() const {
  if (!object_) return {};
  return {&*object_};
}

Result<Plan> PageTracer::plan() {
  LB_TRY_ASSIGN(layout_, read_memory_layout());
  Plan plan;
  const char* how = options_.plain_tracepoints ? "tracepoint" : "raw tracepoint";
  const double unit_ns = measure_bpf_work_unit().value_or(0);
  plan.sites = {{"kmem:mm_page_free", how, kFreeUnits * unit_ns, ""},
                {"kmem:mm_page_alloc", how, kAllocationUnits * unit_ns, "with its kernel stack"},
                {"migrate:mm_migrate_pages", "tracepoint", 0, "what compaction moves"}};
  const std::uint64_t frames = std::uint64_t{layout_.entries} * 8;
  const std::uint64_t tables =
      hash_bytes(options_.stacks_max, 8, sizeof(observe_stack)) +
      hash_bytes(options_.rows_max, sizeof(observe_pages_key), 4) +
      std::uint64_t{options_.rows_max} * sizeof(observe_pages_row) + layout_.start.size() * 8 +
      BpfMap::cpus() *
          (4 * (sizeof(observe_stack) + 16) + OBSERVE_PAGES_RECENT * sizeof(observe_pages_recent));
  plan.memory_bytes = static_cast<double>(frames + tables);
  plan.memory_max_bytes = plan.memory_bytes;
  plan.notes.push_back(fmt::format(
      "8 bytes a page frame: {} for {} of memory, and {} of tables", format_bytes(frames),
      format_bytes(std::uint64_t{layout_.entries} * 4096), format_bytes(tables)));
  plan.notes.emplace_back(
      "frames that compaction moves or alloc_contig takes have no event: counted as moved");
  plan.notes.emplace_back(
      "pages that the kernel allocates in bulk and charges to nobody (alloc_pages_bulk: receive "
      "buffers, a part of vmalloc) have no event");
  plan.notes.emplace_back("what was allocated before attach is not known");
  return plan;
}

Status PageTracer::load() {
  BpfSpec spec;
  spec.name = "observe_pages";
  spec.elf = pages_object();
  bool raw = !options_.plain_tracepoints;
  auto page_bytes = kernel_struct_bytes("page");
  if (raw && page_bytes) {
    auto base = learn_page_array_base(*page_bytes);
    if (base) {
      spec.constant("page_array_base", *base).constant("page_bytes", *page_bytes);
    } else {
      raw = false;
      notes_.push_back(
          fmt::format("plain tracepoints instead of raw ones: {}", base.error().message));
    }
  }
  raw = raw && page_bytes.has_value();
  spec.constant("rows_max", options_.rows_max)
      .constant("sections_max", static_cast<std::uint32_t>(layout_.start.size()))
      .constant("by_cgroup", static_cast<std::uint8_t>(options_.by_cgroup))
      .constant("target", target_constant(options_.target));
  spec.map_sizes = {{"page_frames", layout_.entries},
                    {"page_sections", static_cast<std::uint32_t>(layout_.start.size())},
                    {"page_row_ids", options_.rows_max},
                    {"page_rows", options_.rows_max},
                    {"observe_stacks", options_.stacks_max}};
  spec.left_out = left_out(raw);
  leave_out_target_programs(spec, options_.target);
  LB_TRY_ASSIGN(object_, BpfObject::load(spec));
  options_.plain_tracepoints = !raw;
  return {};
}

// Frees first: an allocation whose free is not seen would stay for ever.
Status PageTracer::attach_programs() {
  LB_TRY_ASSIGN(links_, arm_target(*object_, options_.target));
  const std::string suffix = options_.plain_tracepoints ? "_tp" : "";
  for (const auto& name : {"observe_pages_free" + suffix, std::string("observe_pages_moved"),
                           "observe_pages_alloc" + suffix}) {
    LB_TRY_ASSIGN(auto link, object_->attach(name));
    links_.push_back(std::move(link));
  }
  return {};
}

Status PageTracer::attach() {
  LB_TRY_ASSIGN(layout_, read_memory_layout());
  LB_TRY(load());
  LB_TRY_ASSIGN(int sections, object_->map_fd("page_sections"));
  auto map = BpfMap::of<std::uint32_t, std::uint32_t>(sections);
  if (!map) return std::unexpected(map.error());
  for (std::uint32_t i = 0; i < layout_.start.size(); ++i) LB_TRY(map->put(i, layout_.start[i]));

  LB_TRY_ASSIGN(int frames, object_->map_fd("page_frames"));
  LB_TRY_ASSIGN(entries_, BpfMapping::map(frames, std::size_t{layout_.entries} * 8, false));
  LB_TRY_ASSIGN(int rows, object_->map_fd("page_rows"));
  LB_TRY_ASSIGN(
      rows_,
      BpfMapping::map(rows, std::size_t{options_.rows_max} * sizeof(observe_pages_row), false));
  LB_TRY_ASSIGN(int totals, object_->map_fd("page_totals"));
  LB_TRY_ASSIGN(totals_, BpfMap::open(totals, 4, sizeof(observe_pages_totals)));
  LB_TRY_ASSIGN(int losses, object_->map_fd("observe_counts"));
  LB_TRY_ASSIGN(losses_, BpfMap::open(losses, 4, sizeof(observe_losses)));
  LB_TRY_ASSIGN(int stacks, object_->map_fd("observe_stacks"));
  LB_TRY_ASSIGN(stacks_, StackStore::open(stacks, OBSERVE_STACK_FRAMES));

  LB_TRY_ASSIGN(meminfo_, read_meminfo());
  meminfo_.stacks_in_vmalloc = options_.stacks_in_vmalloc;
  if (auto attached = attach_programs(); !attached) {
    links_.clear();
    return attached;
  }
  attached_ns_ = last_read_ns_ = monotonic_ns();
  return {};
}

void PageTracer::refine(Report& report) {
  add_sites(report, [](const Frame& frame) {
    return std::ranges::any_of(
        frame.places, [](const Place& place) { return is_kernel_allocator(place.function); });
  });
}

}  // namespace lb::observe
