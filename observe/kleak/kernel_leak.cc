// SPDX-License-Identifier: Apache-2.0
#include "observe/kleak/kernel_leak.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "bpf/observe_kmem.h"
#include "bpf/observe_kmem.skel.h"
#include "bpf/observe_sample.h"
#include "dataplane/base/bpf_work_cost.h"
#include "observe/frame/target.h"
#include "observe/kleak/cache_ledger.h"
#include "observe/kleak/event_json.h"
#include "observe/kleak/snapshot.h"
#include "observe/site.h"

namespace lb::observe {
namespace {

enum class Role : std::uint8_t { Free, Alloc, Own };

/// A program on a tracepoint, in the order of attaching.
struct Site {
  const char* program;
  const char* tracepoint;
  const char* subsystem;
  Role role;
  int kind;  // kmem_kind
};
constexpr std::array kSites = {
    Site{"kmem_on_kfree", "kfree", "kmem", Role::Free, KMEM_SLAB},
    Site{"kmem_on_cache_free", "kmem_cache_free", "kmem", Role::Free, KMEM_SLAB},
    Site{"kmem_on_percpu_free", "percpu_free_percpu", "percpu", Role::Free, KMEM_PERCPU},
    Site{"kmem_on_vmap_free", "free_vmap_area_noflush", "vmalloc", Role::Free, KMEM_VMALLOC},
    Site{"kmem_own_kmalloc", "kmalloc", "kmem", Role::Own, KMEM_SLAB},
    Site{"kmem_own_kmalloc_node", "kmalloc_node", "kmem", Role::Own, KMEM_SLAB},
    Site{"kmem_on_kmalloc", "kmalloc", "kmem", Role::Alloc, KMEM_SLAB},
    Site{"kmem_on_kmalloc_node", "kmalloc_node", "kmem", Role::Alloc, KMEM_SLAB},
    Site{"kmem_on_cache_alloc", "kmem_cache_alloc", "kmem", Role::Alloc, KMEM_SLAB},
    Site{"kmem_on_cache_alloc_node", "kmem_cache_alloc_node", "kmem", Role::Alloc, KMEM_SLAB},
    Site{"kmem_on_percpu_alloc", "percpu_alloc_percpu", "percpu", Role::Alloc, KMEM_PERCPU},
    Site{"kmem_on_vmap_alloc", "alloc_vmap_area", "vmalloc", Role::Alloc, KMEM_VMALLOC},
};

/// Functions that free without a tracepoint, and what can stand on them: fentry, else a kprobe.
struct HiddenFree {
  const char* function;
  const char* fentry;
  const char* kprobe;
};
constexpr std::array kHiddenFrees = {
    HiddenFree{"kvfree_call_rcu", "kmem_enter_rcu_free", "kmem_probe_rcu_free"},
    HiddenFree{"kmem_cache_free_bulk", "kmem_enter_bulk_free", "kmem_probe_bulk_free"},
};

// What a program does, in units of measure_bpf_work_unit(); fitted on one host. The stack is most
// of an allocation that is taken.
constexpr double kOwnUnits = 0.5;
constexpr double kFreedUnits = 2.6;
constexpr double kTakenUnits = 17;
constexpr double kLeftUnits = 1.2;  // by sampling, and of their frees

constexpr std::uint32_t kGroupsPerStack = 2;

std::uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

bool wants(const KernelLeakOptions& options, const KernelFacts& facts, const Site& site) {
  if (!facts.has(site.tracepoint)) return false;
  switch (site.kind) {
    case KMEM_SLAB:
      return options.slab;
    case KMEM_PERCPU:
      return options.percpu;
    default:
      return options.vmalloc;
  }
}

Plan::Site planned(const Site& site, bool sampled, double unit_ns) {
  Plan::Site plan{.where = fmt::format("tracepoint {}:{}", site.subsystem, site.tracepoint),
                  .how = "raw_tp",
                  .cost_ns = unit_ns * kOwnUnits,
                  .note = site.role == Role::Own ? "counts what our own maps take" : ""};
  if (site.role == Role::Own) return plan;
  const double taken = unit_ns * (site.role == Role::Free ? kFreedUnits : kTakenUnits);
  plan.cost_ns = sampled ? unit_ns * kLeftUnits : taken;
  plan.taken_ns = sampled ? taken : 0;
  return plan;
}

/// Bytes that a hash map takes: its buckets, and the elements that are there.
double hash_bytes(double entries_max, double entries, double key, double value) {
  constexpr double kBucket = 16;
  constexpr double kElement = 48;
  const auto rounded = static_cast<std::uint64_t>(entries_max);
  const auto element = static_cast<std::uint64_t>(kElement + key + value);
  return kBucket * static_cast<double>(std::bit_ceil(rounded)) +
         entries * static_cast<double>(std::bit_ceil(element));
}

/// Of the maps; `fill` from 0 (no event yet) to 1.
double map_bytes(const KernelLeakOptions& options, double fill) {
  constexpr double kFixed = 600'000;  // preallocated filters, scratch, programs
  constexpr double kRing = 1 << 20;
  const double stacks = options.stacks_max;
  const double groups = kGroupsPerStack * stacks;
  const double blocks = options.blocks_max;
  return kFixed + (options.trace ? kRing : 0) +
         hash_bytes(blocks, blocks * fill, 8, sizeof(kmem_block)) +
         hash_bytes(groups, groups * fill, sizeof(kmem_group_key), sizeof(kmem_group)) +
         hash_bytes(stacks, stacks * fill, 8, sizeof(kmem_stack)) +
         hash_bytes(KMEM_CACHES_MAX, KMEM_CACHES_MAX * fill, 8, sizeof(kmem_cache_state));
}

template <std::size_t Bytes>
std::array<char, Bytes> padded(const std::string& text) {
  std::array<char, Bytes> room{};
  std::copy_n(text.begin(), std::min(text.size(), Bytes - 1), room.begin());
  return room;
}

}  // namespace

KernelLeakTracer::KernelLeakTracer(KernelLeakOptions options) : options_(std::move(options)) {}

KernelLeakTracer::~KernelLeakTracer() { detach(); }

Status KernelLeakTracer::check() const {
  if (!options_.slab && !options_.percpu && !options_.vmalloc) {
    return fail(EINVAL, "nothing to trace: none of slab, percpu and vmalloc is wanted");
  }
  if (options_.min_size > options_.max_size) {
    return fail(EINVAL, fmt::format("--min-size {} is more than --max-size {}", options_.min_size,
                                    options_.max_size));
  }
  if (options_.sample_bytes > OBSERVE_SAMPLE_INTERVAL_MAX >> (OBSERVE_SAMPLE_LEVELS - 1)) {
    return fail(EINVAL, fmt::format("--sample {} is over {}", options_.sample_bytes,
                                    OBSERVE_SAMPLE_INTERVAL_MAX >> (OBSERVE_SAMPLE_LEVELS - 1)));
  }
  if (options_.blocks_max == 0 || options_.stacks_max == 0) {
    return fail(EINVAL, "a map needs at least one entry");
  }
  if (options_.caches.size() > KMEM_CACHES_MAX) {
    return fail(E2BIG, fmt::format("at most {} caches can be chosen", KMEM_CACHES_MAX));
  }
  return {};
}

Result<Plan> KernelLeakTracer::plan() {
  LB_TRY(check());
  LB_TRY_ASSIGN(facts_, read_kernel_facts());
  Plan plan;
  const double unit_ns = measure_bpf_work_unit().value_or(0);
  bool any_alloc = false;
  for (const Site& site : kSites) {
    if (!wants(options_, facts_, site)) continue;
    any_alloc |= site.role == Role::Alloc;
    plan.sites.push_back(planned(site, options_.sample_bytes > 0, unit_ns));
  }
  if (!any_alloc) {
    return fail(EOPNOTSUPP, "this kernel has none of the wanted allocation tracepoints");
  }
  plan.memory_bytes = map_bytes(options_, 0);
  plan.memory_max_bytes = map_bytes(options_, 1);
  plan.notes = {
      "frees by kfree_rcu, kfree_bulk and kmem_cache_free_bulk have no tracepoint: they "
      "are seen by fentry or kprobe where the kernel lets us, else such caches are found "
      "and marked",
      "allocations by kmem_cache_alloc_bulk have no tracepoint and are not seen",
      "memory of BPF maps, ours and those of others, is left out (figure own)"};
  if (options_.vmalloc && facts_.has("alloc_vmap_area")) {
    plan.notes.emplace_back(
        "vmalloc: address space with guard pages, mappings of devices included");
  } else if (options_.vmalloc) {
    plan.notes.emplace_back("this kernel has no event for vmalloc: not seen");
  }
  if (!facts_.has_get_kmem_cache) {
    plan.notes.emplace_back(
        "this kernel does not tell the cache of an object (bpf_get_kmem_cache): caches of kmalloc "
        "are told by size and flags");
  }
  return plan;
}

BpfSpec KernelLeakTracer::spec(bool with_hidden_frees) const {
  std::size_t bytes = 0;
  const void* elf = observe_kmem__elf_bytes(&bytes);
  const auto self = static_cast<std::uint32_t>(getpid());
  const bool self_is_target = std::ranges::count(options_.targets.pids, self) > 0;
  BpfSpec spec;
  spec.name = "observe_kmem";
  spec.elf = {static_cast<const std::byte*>(elf), bytes};
  spec.constant("kmem_own_from", facts_.text.bpf_allocator.from)
      .constant("kmem_own_to", facts_.text.bpf_allocator.to)
      .constant("kmem_own_tgid", self_is_target ? 0U : self)
      .constant("kmem_cpus", static_cast<std::uint32_t>(BpfMap::cpus()))
      .constant("kmem_min_bytes", options_.min_size)
      .constant("kmem_max_bytes", options_.max_size)
      .constant("kmem_has_get_cache", facts_.has_get_kmem_cache)
      .constant("kmem_cache_filter", !options_.caches.empty())
      .constant("target", target_constant(options_.targets))
      .constant("kmem_trace", options_.trace)
      .constant("observe_sample_bytes", options_.sample_bytes)
      .constant("observe_sample_seed", options_.sample_seed);
  spec.map_sizes = {{"kmem_blocks", options_.blocks_max},
                    {"observe_stacks", options_.stacks_max},
                    {"kmem_groups", kGroupsPerStack * options_.stacks_max}};
  for (const Site& site : kSites) {
    if (!wants(options_, facts_, site)) spec.left_out.emplace_back(site.program);
  }
  leave_out_target_programs(spec, options_.targets);
  if (!options_.trace) spec.left_out.emplace_back("kmem_events");
  for (const HiddenFree& way : kHiddenFrees) {
    if (with_hidden_frees && options_.slab) {
      spec.alternatives.push_back({way.fentry, way.kprobe});
    } else {
      spec.left_out.insert(spec.left_out.end(), {way.fentry, way.kprobe});
    }
  }
  return spec;
}

Status KernelLeakTracer::load() {
  auto object = BpfObject::load(spec(true));
  if (!object) object = BpfObject::load(spec(false));
  if (!object) return std::unexpected(std::move(object).error());
  object_ = std::move(*object);
  LB_TRY_ASSIGN(const int fd, object_->map_fd("observe_stacks"));
  LB_TRY_ASSIGN(stacks_, StackStore::open(fd, KMEM_STACK_FRAMES));
  return fill_cache_filter();
}

Status KernelLeakTracer::fill_cache_filter() const {
  using Name = std::array<char, KMEM_NAME_BYTES>;
  LB_TRY_ASSIGN(const int fd, object_->map_fd("kmem_wanted_caches"));
  LB_TRY_ASSIGN(const BpfMap caches, (BpfMap::of<Name, std::uint8_t>(fd)));
  for (const auto& cache : options_.caches) {
    LB_TRY(caches.put(padded<KMEM_NAME_BYTES>(cache), std::uint8_t{1}));
  }
  return {};
}

Status KernelLeakTracer::attach_all() {
  LB_TRY_ASSIGN(links_, arm_target(*object_, options_.targets));
  attach_hidden_frees();
  for (const Site& site : kSites) {
    if (!wants(options_, facts_, site)) continue;
    LB_TRY_ASSIGN(BpfLink link, object_->attach(site.program));
    links_.push_back(std::move(link));
  }
  return {};
}

void KernelLeakTracer::attach_hidden_frees() {
  if (!options_.slab) return;
  for (const HiddenFree& way : kHiddenFrees) {
    std::string seen_by;
    for (const char* program : {way.fentry, way.kprobe}) {
      if (!seen_by.empty() || !object_->program_fd(program)) continue;
      auto link = object_->attach(program);
      if (!link) continue;
      links_.push_back(std::move(*link));
      seen_by = program == way.fentry ? "fentry" : "a kprobe";
    }
    notes_.push_back(fmt::format("frees by {} are {}", way.function,
                                 seen_by.empty()
                                     ? "not seen: the kernel takes neither fentry nor kprobe"
                                     : "seen by " + seen_by));
  }
}

Status KernelLeakTracer::attach() {
  LB_TRY(plan());
  LB_TRY(load());
  if (options_.trace) {
    LB_TRY_ASSIGN(const int fd, object_->map_fd("kmem_events"));
    LB_TRY_ASSIGN(auto ring, BpfRing::open(fd, [this](std::span<const std::byte> record) {
                    take_event(record);
                  }));
    ring_ = std::make_unique<BpfRing>(std::move(ring));
  }
  const auto before = read_slabinfo();
  if (auto attached = attach_all(); !attached) {
    detach();
    object_.reset();
    return attached;
  }
  const auto after = read_slabinfo();
  SlabBaseline baseline;
  if (before && after) baseline = make_baseline(*before, *after);
  const std::uint64_t now_ns = monotonic_ns();
  if (attached_ns_ == 0) attached_ns_ = now_ns;
  reporter_ = std::make_unique<KernelLeakReporter>(
      options_, facts_.text, std::move(baseline),
      KernelLeakReporter::Times{.attached_ns = attached_ns_, .since_ns = now_ns});
  return {};
}

Result<Report> KernelLeakTracer::read() {
  if (!reporter_) return fail(EINVAL, "the tracer was never attached");
  LB_TRY_ASSIGN(const auto snapshot, read_snapshot(*object_));
  Report report;
  stacks_->begin(report);
  reporter_->build(snapshot, [this](std::uint64_t stack) { return stacks_->add(stack); }, report);
  if (paused_) say_paused(report);
  auto& notes = report.honesty.notes;
  notes.insert(notes.end(), notes_.begin(), notes_.end());
  return report;
}

void KernelLeakTracer::detach() {
  // Allocations first: frees of what is recorded count until the end.
  while (!links_.empty()) links_.pop_back();
}

std::vector<const BpfObject*> KernelLeakTracer::objects() const {
  if (!object_) return {};
  return {&*object_};
}

int KernelLeakTracer::event_fd() const { return ring_ ? ring_->fd() : -1; }

void KernelLeakTracer::drain(const std::function<void(std::string_view)>& line) {
  if (!ring_) return;
  line_ = &line;
  ring_->drain();
  line_ = nullptr;
}

void KernelLeakTracer::take_event(std::span<const std::byte> record) {
  if (record.size() < sizeof(kmem_event) || line_ == nullptr) return;
  kmem_event event;
  std::memcpy(&event, record.data(), sizeof event);
  const kmem_group_key& group = event.block.group;
  (*line_)(event_json(event, cache_name(group.cache), frames_of(group.stack)));
}

std::string KernelLeakTracer::cache_name(std::uint64_t cache) {
  if (auto found = cache_names_.find(cache); found != cache_names_.end()) return found->second;
  std::string name = unnamed_cache(cache);
  if (name.empty()) {
    auto fd = object_->map_fd("kmem_caches");
    auto map = fd ? BpfMap::of<std::uint64_t, kmem_cache_state>(*fd)
                  : Result<BpfMap>(std::unexpected(fd.error()));
    const auto state = map ? map->get<kmem_cache_state>(cache) : std::nullopt;
    if (state) name.assign(state->name, strnlen(state->name, sizeof state->name));
  }
  return cache_names_[cache] = name;
}

const std::vector<std::uint64_t>& KernelLeakTracer::frames_of(std::uint64_t stack) {
  const auto [entry, is_new] = frames_.try_emplace(stack);
  if (!is_new || stack == 0) return entry->second;
  auto fd = object_->map_fd("observe_stacks");
  auto map =
      fd ? BpfMap::of<std::uint64_t, kmem_stack>(*fd) : Result<BpfMap>(std::unexpected(fd.error()));
  const auto stored = map ? map->get<kmem_stack>(stack) : std::nullopt;
  if (!stored) return entry->second;
  const std::size_t frames = std::min<std::size_t>(stored->head.kernel_frames, KMEM_STACK_FRAMES);
  entry->second.assign(stored->frames, stored->frames + frames);
  return entry->second;
}

void KernelLeakTracer::refine(Report& report) {
  add_sites(report, [](const Frame& frame) {
    return std::ranges::any_of(
        frame.places, [](const Place& place) { return is_kernel_allocator(place.function); });
  });
}

// slabinfo and the counts of what was recorded do not fit each other any more, since allocations
// went unseen, too: all begins anew.
Status KernelLeakTracer::resume() {
  object_.reset();
  notes_.clear();
  cache_names_.clear();
  frames_.clear();
  LB_TRY(attach());
  LB_TRY(set_level(level_));
  paused_ = false;
  notes_.emplace_back(
      "what was recorded before the last pause of the budget is forgotten: figures are since then");
  return {};
}

Status KernelLeakTracer::set_level(std::uint32_t level) {
  level_ = level;
  LB_TRY_ASSIGN(const int fd, object_->map_fd("observe_sample_level"));
  LB_TRY_ASSIGN(const BpfMap map, (BpfMap::of<std::uint32_t, std::uint32_t>(fd)));
  return map.put(std::uint32_t{0}, level);
}

}  // namespace lb::observe
