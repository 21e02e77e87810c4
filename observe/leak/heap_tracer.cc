// SPDX-License-Identifier: Apache-2.0
#include "observe/leak/heap_tracer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <random>
#include <utility>

#include "dataplane/base/clock.h"
#include "observe/frame/target.h"
#include "observe/leak/arenas.h"
#include "observe/leak/event_json.h"
#include "observe/leak/heap_object.h"
#include "observe/site.h"

namespace lb::observe {
namespace {

static_assert(static_cast<int>(Role::Malloc) == OBSERVE_HEAP_MALLOC);
static_assert(static_cast<int>(Role::Reallocarray) == OBSERVE_HEAP_REALLOCARRAY);
static_assert(static_cast<int>(Role::Free) == OBSERVE_HEAP_FREE);
static_assert(static_cast<int>(Role::PosixMemalign) == OBSERVE_HEAP_POSIX_MEMALIGN);
static_assert(static_cast<int>(Role::OperatorDelete) == OBSERVE_HEAP_OPERATOR_DELETE);
static_assert(static_cast<int>(Role::Dlopen) == OBSERVE_HEAP_DLOPEN);

constexpr std::uint64_t kSweepNs = 1'000'000'000;
constexpr std::uint32_t kFirstSpace = 0x8000'0000U;  // of ours; those of the kernel count from 1

std::uint64_t chance() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

/// Where the program break of a process is; 0: it has no heap.
std::uint64_t heap_end(std::uint32_t pid) {
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with("[heap]") && std::sscanf(line.c_str(), "%lx-%lx", &start, &end) == 2) break;
  }
  return end;
}

/// Frees before allocations: a block whose free nobody sees would stay.
bool before(const UprobeGroup& a, const UprobeGroup& b) {
  auto rank = [](UprobeKind kind) {
    return kind == UprobeKind::Session || kind == UprobeKind::MultiReturn ||
           kind == UprobeKind::PlainReturn;
  };
  return rank(a.kind) < rank(b.kind);
}

/// A process, and not what is left of one until its parent has read its status.
bool is_there(std::uint32_t pid) {
  std::array<char, 1> path{};
  return readlink(fmt::format("/proc/{}/exe", pid).c_str(), path.data(), path.size()) >= 0;
}

}  // namespace

HeapTracer::~HeapTracer() { detach(); }

std::vector<const BpfObject*> HeapTracer::objects() const {
  if (!object_) return {};
  return {&*object_};
}

Result<UprobePlan> HeapTracer::make_plan(bool calibrate) {
  PlannerOptions options;
  options.allocators.mappings = false;
  options.allocators.alloc = options_.alloc;
  options.allocators.may_have_none = options_.own_child;  // until it has executed its program
  options.calibrate = calibrate;
  options.sampled = options_.sample_bytes != 0;
  LB_TRY_ASSIGN(planner_, Planner::make(std::move(options)));
  return planner_->plan(options_.targets.pids);
}

std::uint32_t HeapTracer::level_max() const {
  std::uint32_t level = 0;
  while (level + 1 < OBSERVE_SAMPLE_LEVELS &&
         options_.sample_bytes << (level + 1) <= OBSERVE_SAMPLE_INTERVAL_MAX) {
    ++level;
  }
  return level;
}

Result<Plan> HeapTracer::plan() {
  LB_TRY_ASSIGN(auto uprobes, make_plan(true));
  Plan plan;
  plan.sites = uprobes.sites();
  const double event_ns = planner_->costs().work_ns;
  plan.sites.push_back({"sched:sched_process_fork, _exec, _exit", "raw tracepoint", event_ns, ""});
  plan.sites.push_back({"raw_syscalls:sys_enter, sys_exit", "raw tracepoint", event_ns,
                        "of mmap, munmap, mremap, brk; they cost every system call of the machine "
                        "50 to 200 ns"});
  plan.notes = uprobes.notes;
  for (const auto& refusal : uprobes.refusals) plan.notes.push_back("not probed: " + refusal);
  constexpr double kBucketBytes = 16;
  constexpr double kElementBytes = 48;
  plan.memory_bytes = kBucketBytes * (options_.blocks_max + options_.stacks_max * 3.0) + (2 << 20) +
                      static_cast<double>(BpfMap::cpus() * kUnwindBytesOfCpu);
  plan.memory_max_bytes =
      plan.memory_bytes +
      options_.blocks_max *
          (kElementBytes + sizeof(observe_heap_key) + sizeof(observe_heap_block)) +
      options_.stacks_max * (kElementBytes + 8 + sizeof(observe_stack)) +
      options_.stacks_max * 2.0 *
          (kElementBytes + sizeof(observe_heap_stat_key) + sizeof(observe_heap_stat));
  if (options_.own_child || options_.targets.pids.size() > 1) {
    plan.notes.emplace_back(
        "probes stand in these files for every process of the machine; others leave them at once, "
        "but pay the trap");
  }
  if (options_.own_child) {
    plan.notes.emplace_back("what the command maps is planned when it maps it");
  }
  return plan;
}

Status HeapTracer::load() {
  const auto mechanism = planner_->mechanism();
  BpfSpec spec;
  spec.name = "observe_heap";
  spec.elf = heap_object();
  spec.constant("bytes_min", options_.min_size)
      .constant("bytes_max", options_.max_size)
      .constant("sample_bytes", options_.sample_bytes)
      .constant("sample_seed", options_.sample_seed != 0 ? options_.sample_seed : chance())
      .constant("trace_events", static_cast<std::uint8_t>(options_.trace))
      .constant("follow_children", static_cast<std::uint8_t>(options_.own_child))
      .constant("has_wrappers", static_cast<std::uint8_t>(!options_.alloc.empty()))
      .constant("counts_hits", static_cast<std::uint8_t>(options_.budget))
      .constant("nr_mmap", static_cast<std::uint32_t>(SYS_mmap))
      .constant("nr_munmap", static_cast<std::uint32_t>(SYS_munmap))
      .constant("nr_mremap", static_cast<std::uint32_t>(SYS_mremap))
      .constant("nr_brk", static_cast<std::uint32_t>(SYS_brk));
  spec.map_sizes = {{"heap_blocks", options_.blocks_max},
                    {"heap_stats", options_.stacks_max * 2},
                    {"observe_stacks", options_.stacks_max}};
  if (mechanism == Mechanism::Session) {
    spec.attach_types.push_back({"observe_heap_session", kAttachUprobeSession});
    spec.left_out.emplace_back("observe_heap_return");
  } else {
    spec.left_out.emplace_back("observe_heap_session");
  }
  if (mechanism != Mechanism::Plain) {
    spec.attach_types.push_back({"observe_heap_call", kAttachUprobeMulti});
    spec.attach_types.push_back({"observe_heap_return", kAttachUprobeMulti});
  }
  LB_TRY_ASSIGN(object_, BpfObject::load(spec));
  return {};
}

Status HeapTracer::attach_group(const UprobeGroup& group) {
  const char* program =
      group.kind == UprobeKind::Session ? "observe_heap_session"
      : group.kind == UprobeKind::MultiReturn || group.kind == UprobeKind::PlainReturn
          ? "observe_heap_return"
          : "observe_heap_call";
  LB_TRY_ASSIGN(const int fd, object_->program_fd(program));
  // A command's children and what it executes are others: then for all, and the program chooses.
  const bool one = !options_.own_child && options_.targets.pids.size() == 1;
  const auto held = held_.find(group.file.path);
  const std::string path = held == held_.end() || !held->second
                               ? group.file.path
                               : fmt::format("/proc/self/fd/{}", held->second.get());
  auto link = attach_uprobes(fd, group.kind, path, group.offsets, group.cookies,
                             one ? options_.targets.pids.front() : 0);
  if (!link) return fail_in(group.file.shown, link.error());
  probes_.push_back(std::move(*link));
  return {};
}

Status HeapTracer::add_probes(const UprobePlan& plan) {
  auto groups = plan.groups();
  std::ranges::stable_sort(groups, before);
  entry_ns_.resize(plan.first_index + plan.points.size());
  for (std::size_t i = 0; i < plan.points.size(); ++i) {
    entry_ns_[plan.first_index + i] = planner_->costs().of(plan.points[i].site, false);
  }
  Status status;
  for (const auto& group : groups) {
    if (options_.budget && !held_.contains(group.file.path)) {
      held_[group.file.path].reset(::open(group.file.path.c_str(), O_PATH | O_CLOEXEC));
    }
    auto attached = paused_ ? Status() : attach_group(group);
    if (!attached && status) status = attached;
  }
  groups_.insert(groups_.end(), groups.begin(), groups.end());
  std::ranges::stable_sort(groups_, before);
  for (const auto& refusal : plan.refusals) note("not probed: " + refusal);
  for (const auto& allocator : plan.allocators) {
    if (allocator.kind == "jemalloc" || allocator.kind == "tcmalloc" ||
        allocator.kind == "mimalloc") {
      allocator_objects_.insert(allocator.shown);
    }
  }
  return status;
}

/// From here on the programs look at this process.
Status HeapTracer::admit(std::uint32_t pid) {
  const auto id = kFirstSpace + static_cast<std::uint32_t>(spaces_.size());
  spaces_[id] = {pid, comm_of(pid), false, false};
  mappings_.know_break(id, heap_end(pid));
  LB_TRY_ASSIGN(const int fd, object_->map_fd("heap_spaces"));
  LB_TRY_ASSIGN(const auto map,
                BpfMap::open(fd, sizeof(std::uint32_t), sizeof(observe_heap_space)));
  return map.put(pid,
                 observe_heap_space{id, 0, static_cast<std::uint16_t>(options_.own_child ? 1 : 0)});
}

Status HeapTracer::attach() {
  if (options_.targets.pids.empty()) {
    return fail(EINVAL, "say which processes: -p PID, --lbd, or a command after --");
  }
  LB_TRY_ASSIGN(const auto uprobes, make_plan(options_.budget));
  LB_TRY(load());
  LB_TRY_ASSIGN(tables_, UnwindTables::open(*object_));
  LB_TRY_ASSIGN(const int stacks, object_->map_fd("observe_stacks"));
  LB_TRY_ASSIGN(stacks_, StackStore::open(stacks, OBSERVE_STACK_FRAMES));
  LB_TRY_ASSIGN(const int events, object_->map_fd("heap_events"));
  LB_TRY_ASSIGN(ring_, BpfRing::open(events, [this](std::span<const std::byte> bytes) {
                  observe_heap_event event{};
                  if (bytes.size() < sizeof event) return;
                  std::memcpy(&event, bytes.data(), sizeof event);
                  on_event(event);
                }));
  if (options_.own_child) {
    LB_TRY_ASSIGN(const int stopped, object_->map_fd("heap_stopped"));
    LB_TRY_ASSIGN(keeper_, StopKeeper::start(stopped));
  }
  for (const auto* program : {"observe_heap_fork", "observe_heap_exec", "observe_heap_exit"}) {
    LB_TRY_ASSIGN(auto link, object_->attach(program));
    links_.push_back(std::move(link));
  }
  LB_TRY(attach_mappings());
  for (auto pid : options_.targets.pids) {
    LB_TRY(tables_->learn(pid));
    if (auto learnt = symbols_->learn(pid); !learnt) notes_.push_back(learnt.error().message);
  }
  if (auto attached = add_probes(uprobes); !attached) {
    detach();
    return attached;
  }
  if (!options_.own_child) {
    for (const auto& text : uprobes.notes) note(text);
  }
  reporter_.emplace(options_, monotonic_ns());
  for (auto pid : options_.targets.pids) LB_TRY(admit(pid));
  return {};
}

Status HeapTracer::attach_mappings() {
  for (const auto* program : {"observe_heap_sys_enter", "observe_heap_sys_exit"}) {
    LB_TRY_ASSIGN(auto link, object_->attach(program));
    mapping_links_.push_back(std::move(link));
  }
  return {};
}

// Programs that run as their links go may stop one more.
void HeapTracer::let_all_go() {
  auto fd = object_->map_fd("heap_stopped");
  auto map = fd ? BpfMap::of<std::uint32_t, std::uint8_t>(*fd)
                : Result<BpfMap>(std::unexpected(fd.error()));
  if (!map) return;
  constexpr int kTurns = 3;
  constexpr int kTurnMs = 5;
  for (int turn = 0; turn < kTurns; ++turn) {
    const auto scanned = map->scan_as<std::uint32_t, std::uint8_t>(
        [](std::uint32_t pid, std::uint8_t) { kill(static_cast<pid_t>(pid), SIGCONT); });
    if (!scanned) note(scanned.error().message);
    poll(nullptr, 0, kTurnMs);
  }
}

/// Once.
void HeapTracer::note(const std::string& text) {
  if (std::ranges::find(notes_, text) == notes_.end()) notes_.push_back(text);
}

void HeapTracer::catch_up(std::uint32_t pid) {
  if (detached_) return;
  if (!is_there(pid)) {  // what it has held is known; nothing more will come
    unplanned_.erase(pid);
    return;
  }
  for (const Status& learnt : {tables_->learn(pid), symbols_->learn(pid)}) {
    if (!learnt && is_there(pid)) note(learnt.error().message);
  }
  auto plan = planner_->rescan(std::span(&pid, 1));
  unplanned_.erase(pid);
  if (!is_there(pid)) {
    // Others may have its files as well.
    if (auto attached = plan ? add_probes(*plan) : Status(); !attached) {
      note(attached.error().message);
    }
    return;
  }
  if (plan && plan->without_allocator) {
    unplanned_[pid] = !plan->notes.empty()
                          ? plan->notes.front()
                          : fmt::format("process {}: no allocator function was found", pid);
  } else if (plan) {
    for (const auto& text : plan->notes) note(text);
  }
  if (!plan) {
    miss(plan.error().message);
  } else if (auto attached = add_probes(*plan); !attached && is_there(pid)) {
    miss(attached.error().message);
  }
}

void HeapTracer::miss(const std::string& text) {
  incomplete_ = true;
  note(text);
}

void HeapTracer::on_space(const observe_heap_event& event) {
  const std::string comm(event.comm, strnlen(event.comm, sizeof event.comm));
  if (event.role == OBSERVE_HEAP_BY_EXEC) {
    // A child of vfork leaves the space to its parent.
    auto old = spaces_.find(event.from);
    if (old != spaces_.end() && old->second.pid == event.tgid) {
      old->second.replaced = true;
      sweep_wanted_ = true;
      mappings_.forget(event.from);
    }
  } else {
    mappings_.copy(event.from, event.space);
  }
  spaces_[event.space] = {event.tgid, comm, false, false};
}

void HeapTracer::on_mapping(const observe_heap_event& event) {
  const MappingLedger::Origin origin{event.stack, event.time_ns, event.kind == OBSERVE_HEAP_BRK};
  switch (event.kind) {
    case OBSERVE_HEAP_MAPPED:
      mappings_.map(event.space, MappingLedger::range_of(event.address, event.bytes), origin);
      break;
    case OBSERVE_HEAP_UNMAPPING:
      mappings_.begin_unmap(event.space, event.tid,
                            MappingLedger::range_of(event.address, event.bytes));
      break;
    case OBSERVE_HEAP_UNMAPPED:
      mappings_.end_unmap(event.space, event.tid, event.role != 0);
      break;
    default:
      mappings_.set_break(event.space, {event.address, event.address + event.bytes}, origin);
  }
}

void HeapTracer::on_event(const observe_heap_event& event) {
  switch (event.kind) {
    case OBSERVE_HEAP_SPACE:
      on_space(event);
      if (event.role == OBSERVE_HEAP_BY_FORK) catch_up(event.tgid);
      break;
    case OBSERVE_HEAP_LOADED:
      catch_up(event.tgid);
      // It stays in heap_stopped until it ends: it may be stopped again before this returns.
      if (event.role != 0) kill(static_cast<pid_t>(event.tgid), SIGCONT);
      break;
    case OBSERVE_HEAP_ENDED: {
      auto space = spaces_.find(event.space);
      if (space != spaces_.end() && space->second.pid == event.tgid) {
        space->second.ended = true;
        sweep_wanted_ |= ended_.blocks.size() < options_.blocks_max;
        if (auto forgotten = tables_->forget(event.tgid); !forgotten) {
          note(forgotten.error().message);
        }
      }
      break;
    }
    case OBSERVE_HEAP_MAPPED:
    case OBSERVE_HEAP_UNMAPPING:
    case OBSERVE_HEAP_UNMAPPED:
    case OBSERVE_HEAP_BRK:
      on_mapping(event);
      break;
    default:
      if (line_ != nullptr) {
        (*line_)(event_json(event));
      } else {
        late_.push_back(event_json(event));
      }
  }
}

void HeapTracer::drain(const std::function<void(std::string_view)>& line) {
  line_ = &line;
  for (const std::string& event : std::exchange(late_, {})) line(event);
  if (ring_) ring_->drain();
  // A shell that forks often would fill the map with what its children had.
  const auto now = monotonic_ns();
  if (sweep_wanted_ && now > last_sweep_ns_ + kSweepNs) {
    last_sweep_ns_ = now;
    sweep_wanted_ = false;
    auto snapshot = read_heap_snapshot(*object_);
    auto swept = snapshot ? sweep(*snapshot) : Status(std::unexpected(snapshot.error()));
    if (!swept) note(swept.error().message);
  }
  if (tables_ && !detached_) {
    auto learnt = tables_->learn_wanted();
    if (!learnt && learnt.error().code != std::errc::no_such_process) {
      note(learnt.error().message);
    }
  }
  line_ = nullptr;
}

/// Blocks of address spaces that are no more leave the kernel's map: of replaced ones for good, of
/// ended ones they are kept here.
Status HeapTracer::sweep(HeapSnapshot& snapshot) {
  LB_TRY_ASSIGN(const int blocks_fd, object_->map_fd("heap_blocks"));
  LB_TRY_ASSIGN(const auto blocks,
                BpfMap::open(blocks_fd, sizeof(observe_heap_key), sizeof(observe_heap_block)));
  LB_TRY_ASSIGN(const int stats_fd, object_->map_fd("heap_stats"));
  LB_TRY_ASSIGN(const auto stats,
                BpfMap::open(stats_fd, sizeof(observe_heap_stat_key), sizeof(observe_heap_stat)));
  auto gone = [this](std::uint32_t space) {
    auto found = spaces_.find(space);
    return found != spaces_.end() && (found->second.ended || found->second.replaced);
  };
  auto kept = [this](std::uint32_t space) { return !spaces_[space].replaced; };
  for (const auto& block : snapshot.blocks) {
    if (!gone(block.key.space)) continue;
    LB_TRY(blocks.erase(&block.key));
    if (kept(block.key.space)) ended_.blocks.push_back(block);
  }
  for (const auto& stat : snapshot.stats) {
    if (!gone(stat.key.space)) continue;
    LB_TRY(stats.erase(&stat.key));
    if (kept(stat.key.space)) ended_.stats.push_back(stat);
  }
  auto is_gone = [&gone](const auto& entry) { return gone(entry.key.space); };
  std::erase_if(snapshot.blocks, is_gone);
  std::erase_if(snapshot.stats, is_gone);
  snapshot.blocks.insert(snapshot.blocks.end(), ended_.blocks.begin(), ended_.blocks.end());
  snapshot.stats.insert(snapshot.stats.end(), ended_.stats.begin(), ended_.stats.end());
  return {};
}

Result<Report> HeapTracer::read() {
  LB_TRY_ASSIGN(auto snapshot, read_heap_snapshot(*object_));
  LB_TRY(sweep(snapshot));
  Report report;
  stacks_->begin(report);
  reporter_->build(
      snapshot, spaces_, mappings_, [this](std::uint64_t id) { return stacks_->add(id); }, report);
  if (paused_) say_paused(report);
  if (incomplete_ || !unplanned_.empty()) {
    for (Figure& figure : report.figures) {
      if (!is_of_blocks(figure)) continue;
      figure.reliable = false;
      figure.help += "; allocators of a process are not probed: see the notes";
    }
  }
  report.honesty.memory_bytes = static_cast<double>(tables_->memory_bytes());
  report.honesty.notes.insert(report.honesty.notes.end(), notes_.begin(), notes_.end());
  for (const auto& [pid, text] : unplanned_) report.honesty.notes.push_back(text);
  return report;
}

void HeapTracer::refine(Report& report) {
  take_out_arenas(report, allocator_objects_);
  add_sites(report,
            [&](const Frame& frame) { return is_of_allocator(report, frame, allocator_objects_); });
  options_.suppressions.apply(report, "leak", "blocks");
}

Status HeapTracer::dismiss_all() {
  LB_TRY_ASSIGN(const int fd, object_->map_fd("heap_spaces"));
  LB_TRY_ASSIGN(const auto map,
                BpfMap::open(fd, sizeof(std::uint32_t), sizeof(observe_heap_space)));
  std::vector<std::uint32_t> pids;
  LB_TRY((map.scan_as<std::uint32_t, observe_heap_space>(
      [&pids](std::uint32_t pid, const observe_heap_space&) { pids.push_back(pid); })));
  for (auto pid : pids) LB_TRY(map.erase(&pid));
  return {};
}

Result<double> HeapTracer::traps_ns() const {
  LB_TRY_ASSIGN(const int fd, object_->map_fd("heap_hits"));
  LB_TRY_ASSIGN(const auto map, BpfMap::open(fd, sizeof(std::uint32_t), sizeof(observe_heap_hits)));
  const double return_ns = planner_->costs().return_ns;
  const auto sites = std::min<std::size_t>(entry_ns_.size(), OBSERVE_HEAP_SITES_MAX);
  double ns = 0;
  for (std::uint32_t site = 0; site < sites; ++site) {
    LB_TRY_ASSIGN(const auto values, map.per_cpu<observe_heap_hits>(site));
    for (const auto& hits : values) {
      ns += static_cast<double>(hits.entries) * entry_ns_[site] +
            static_cast<double>(hits.returns) * return_ns;
    }
  }
  return ns;
}

Status HeapTracer::put_control() {
  LB_TRY_ASSIGN(const int fd, object_->map_fd("heap_control"));
  LB_TRY_ASSIGN(const auto map,
                BpfMap::open(fd, sizeof(std::uint32_t), sizeof(observe_heap_control)));
  return map.put(std::uint32_t{0}, control_);
}

Status HeapTracer::set_level(std::uint32_t level) {
  control_.sample_level = level;
  return put_control();
}

// Those that see allocations stand behind those that see frees, and go first.
void HeapTracer::pause() {
  paused_ = true;
  while (!probes_.empty()) probes_.pop_back();
  mapping_links_.clear();
}

Status HeapTracer::resume() {
  // What processes have loaded meanwhile is planned before anything is attached.
  for (const auto& [id, space] : HeapSpaces(spaces_)) {
    if (!space.ended && !space.replaced) catch_up(space.pid);
  }
  ++control_.epoch;
  LB_TRY(put_control());
  paused_ = false;
  reporter_->observed_again(monotonic_ns());
  LB_TRY(attach_mappings());
  // A file may have gone with its last process. Without its frees its allocations are not wanted.
  std::set<std::string> failed;
  for (const auto& group : groups_) {
    if (failed.contains(group.file.path)) continue;
    if (auto attached = attach_group(group); !attached) {
      failed.insert(group.file.path);
      miss(attached.error().message);
    }
  }
  return {};
}

// First no process is looked at any more: taken off one by one, probes would see allocations and
// not their frees.
void HeapTracer::detach() {
  if (detached_ || !object_) return;
  if (auto ignored = dismiss_all(); !ignored) note(ignored.error().message);
  detached_ = true;
  while (!probes_.empty()) probes_.pop_back();
  mapping_links_.clear();
  while (!links_.empty()) links_.pop_back();
  if (ring_) ring_->drain();  // who was stopped meanwhile
  if (options_.own_child) let_all_go();
}

}  // namespace lb::observe
