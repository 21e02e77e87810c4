// SPDX-License-Identifier: Apache-2.0
#include "observe/resident/resident_tracer.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "dataplane/base/bpf_types.h"
#include "dataplane/base/clock.h"
#include "observe/frame/target.h"
#include "observe/plan/site_costs.h"
#include "observe/resident/resident_object.h"
#include "observe/symbols/process_maps.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kLookNs = 250'000'000;  // at least this between looks
constexpr std::uint64_t kLookShare = 100;       // and this many times what one took
constexpr std::size_t kEndedMax = 256;          // processes that have ended and are told still
constexpr const char* kLock = "mmap_lock_acquire_returned";
constexpr int kTurns = 10;  // of let_all_go_on(): a program may be in flight
// What a program does, in units of measure_trapped_work(); fitted on one host.
constexpr double kStackUnits = 6;  // with a user stack that is remembered
constexpr double kEventUnits = 1.6;
constexpr std::uint64_t kCodeNs = 20'000'000;  // after its event, code that was mapped is there

/// The sum over the CPUs.
Result<observe_losses> read_losses(const BpfObject& object) {
  LB_TRY_ASSIGN(const int fd, object.map_fd("observe_counts"));
  LB_TRY_ASSIGN(const auto map, (BpfMap::of<std::uint32_t, observe_losses>(fd)));
  LB_TRY_ASSIGN(const auto values, map.per_cpu<observe_losses>(std::uint32_t{0}));
  observe_losses sum{};
  for (const auto& value : values) {
    sum.events += value.events;
    sum.ring_full += value.ring_full;
    sum.map_full += value.map_full;
    sum.stack_full += value.stack_full;
    sum.stack_cut += value.stack_cut;
    sum.scratch_busy += value.scratch_busy;
  }
  return sum;
}

/// Whether the kernel takes pages from processes to see by faults who uses them.
bool numa_balances() {
  int mode = 0;
  std::ifstream("/proc/sys/kernel/numa_balancing") >> mode;
  return mode != 0;
}

/// The inode of the cgroup (v2) of a process, cut to this depth; 0: it is not so deep.
std::uint64_t cgroup_of(const std::string& mount, std::uint32_t pid, std::uint32_t level) {
  std::ifstream file(fmt::format("/proc/{}/cgroup", pid));
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("0::/")) continue;
    std::size_t end = 3;
    for (std::uint32_t i = 0; i < level && end != std::string::npos; ++i) {
      if (end + 1 >= line.size()) return 0;
      end = line.find('/', end + 1);
    }
    struct ::stat info{};
    const auto path = mount + line.substr(3, end == std::string::npos ? end : end - 3);
    return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
  }
  return 0;
}

std::vector<ResidentLedger::Range> ranges_of(const ResidentLook& look, bool with_files) {
  std::vector<ResidentLedger::Range> ranges;
  for (const auto& region : look.regions) {
    if (with_files || !region.file) ranges.push_back({region.start, region.end});
  }
  return ranges;
}

std::vector<ResidentLedger::Range> ranges_of(const std::vector<ResidentMapping>& mappings) {
  std::vector<ResidentLedger::Range> ranges;
  for (const auto& mapping : mappings) ranges.push_back({mapping.start, mapping.end});
  return ranges;
}

/// Its event comes before the code is there to be read.
void wait_for_code(const observe_resident_event& event) {
  while (monotonic_ns() < event.time_ns + kCodeNs) {
    const auto maps = ProcessMaps::read(event.tgid);
    if (!maps || maps->find(event.address) != nullptr) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Whether it tells the path of a cgroup with each lock.
bool tells_path() { return kernel_tracepoint_arguments(kLock) == 4; }

/// Whether the kernel tells where mappings change and where pages are given back.
bool tells_changes() {
  return kernel_has_tracepoint("ma_write") && kernel_has_tracepoint(kLock) &&
         kernel_has_tracepoint("rss_stat");
}

}  // namespace

std::vector<std::uint32_t> processes_of(const TargetSet& targets) {
  if (!targets.pids.empty()) return targets.pids;
  std::vector<std::uint32_t> found;
  const auto mount = cgroup2_mount();
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const auto name = entry.path().filename().string();
    std::uint32_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr !=
        name.data() + name.size()) {
      continue;
    }
    const bool wanted = targets.comm.empty()
                            ? cgroup_of(mount, pid, targets.cgroup_level) == targets.cgroup_id
                            : comm_of(pid) == targets.comm;
    if (wanted) found.push_back(pid);
  }
  return found;
}

std::vector<const BpfObject*> ResidentTracer::objects() const {
  if (!object_) return {};
  return {&*object_};
}

bool ResidentTracer::by_system_calls() const {
  return options_.by_system_calls || !tells_changes();
}

Status ResidentTracer::check_targets() const {
  if (!options_.targets.everything) return {};
  return fail(EINVAL,
              "--tier pages does not look at the whole system: say which processes by -p PID, "
              "--comm, --cgroup, --lbd, or a command after --");
}

Result<Plan> ResidentTracer::plan() {
  LB_TRY(check_targets());
  Plan plan;
  const char* how = "raw tracepoint";
  const double unit_ns = measure_trapped_work().value_or(0);
  const double stack_ns = kStackUnits * unit_ns;
  const double event_ns = kEventUnits * unit_ns;
  plan.sites = {{"exceptions:page_fault_user", how, stack_ns, "with the user's stack"},
                {"exceptions:page_fault_kernel", how, stack_ns, "copies of system calls; the same"},
                {"sched:sched_process_fork, _exec, _exit", how, event_ns, ""}};
  if (by_system_calls()) {
    plan.sites.push_back({"raw_syscalls:sys_exit", how, stack_ns,
                          "of mmap, mremap, brk, munmap, madvise; it costs every system call of "
                          "the machine 50 to 200 ns"});
  } else {
    plan.sites.push_back(
        {"maple_tree:ma_write", how, stack_ns, "of mmap, mremap, brk; with the stack"});
    plan.sites.push_back(
        {"mmap_lock:mmap_lock_acquire_returned", how, event_ns, "of munmap, mremap, brk"});
    plan.sites.push_back(
        {"kmem:rss_stat", how, event_ns, "of madvise; all others leave it at once"});
  }
  constexpr double kBucketBytes = 16;
  constexpr double kElementBytes = 48;
  const double stacks = options_.stacks_max;
  plan.memory_bytes =
      OBSERVE_RESIDENT_RING_BYTES +
      kBucketBytes * (stacks + OBSERVE_RESIDENT_LOST_MAX + 65536 + 16384) +
      static_cast<double>(BpfMap::cpus() * (4 * (sizeof(observe_stack) + 16) + kUnwindBytesOfCpu)) +
      (1 << 20);
  plan.memory_max_bytes =
      plan.memory_bytes + stacks * (kElementBytes + 8 + sizeof(observe_stack)) +
      OBSERVE_RESIDENT_LOST_MAX * (kElementBytes + sizeof(observe_resident_page) + 8);
  plan.notes.emplace_back(
      "what is resident is asked of /proc/PID/pagemap; pages without a fault of their own (read "
      "ahead of a file, huge pages made later, MAP_POPULATE) are rows of their own");
  if (options_.own_child) {
    plan.notes.emplace_back(
        "a process that has ended holds nothing: give it --duration, or see "
        "peak_bytes, which is looked at about once a second");
  }
  return plan;
}

Status ResidentTracer::load() {
  BpfSpec spec;
  spec.name = "observe_resident";
  spec.elf = resident_object();
  spec.constant("target", target_constant(options_.targets))
      .constant("stops", static_cast<std::uint8_t>(options_.own_child))
      .constant("nr_mmap", static_cast<std::uint32_t>(SYS_mmap))
      .constant("nr_mremap", static_cast<std::uint32_t>(SYS_mremap))
      .constant("nr_brk", static_cast<std::uint32_t>(SYS_brk))
      .constant("nr_munmap", static_cast<std::uint32_t>(SYS_munmap))
      .constant("nr_madvise", static_cast<std::uint32_t>(SYS_madvise));
  spec.map_sizes = {{"observe_stacks", options_.stacks_max}};
  leave_out_target_programs(spec, options_.targets);
  if (by_system_calls()) {
    for (const char* program : {"store", "lock", "lock_path", "given"}) {
      spec.left_out.push_back(fmt::format("observe_resident_{}", program));
    }
  } else {
    spec.left_out.emplace_back("observe_resident_sys_exit");
    spec.left_out.emplace_back(tells_path() ? "observe_resident_lock"
                                            : "observe_resident_lock_path");
  }
  LB_TRY_ASSIGN(object_, BpfObject::load(spec));
  return {};
}

// Ends before observe_exit, which takes a process off the target: programs run as they were
// attached. Faults last: then all that explains them is there.
Status ResidentTracer::attach_programs() {
  auto attach = [this](std::initializer_list<const char*> programs) -> Status {
    for (const char* program : programs) {
      LB_TRY_ASSIGN(auto link, object_->attach(program));
      links_.push_back(std::move(link));
    }
    return {};
  };
  LB_TRY(attach({"observe_resident_exit", "observe_resident_exec", "observe_resident_fork"}));
  LB_TRY_ASSIGN(auto armed, arm_target(*object_, options_.targets));
  for (auto& link : armed) links_.push_back(std::move(link));
  const char* lock = tells_path() ? "observe_resident_lock_path" : "observe_resident_lock";
  LB_TRY(by_system_calls() ? attach({"observe_resident_sys_exit"})
                           : attach({"observe_resident_store", lock, "observe_resident_given"}));
  return attach({"observe_resident_kernel_fault", "observe_resident_user_fault"});
}

Status ResidentTracer::attach() {
  LB_TRY(check_targets());
  LB_TRY(load());
  LB_TRY_ASSIGN(tables_, UnwindTables::open(*object_));
  LB_TRY_ASSIGN(const int stacks, object_->map_fd("observe_stacks"));
  LB_TRY_ASSIGN(stacks_, StackStore::open(stacks, OBSERVE_STACK_FRAMES));
  LB_TRY_ASSIGN(const int events, object_->map_fd("resident_events"));
  LB_TRY_ASSIGN(
      ring_, BpfRing::open(events, [this](std::span<const std::byte> bytes) { on_record(bytes); }));
  if (options_.own_child) {
    LB_TRY_ASSIGN(const int stopped, object_->map_fd("resident_stopped"));
    LB_TRY_ASSIGN(keeper_, StopKeeper::start(stopped));
  }
  const auto pids = processes_of(options_.targets);
  if (!options_.own_child) {
    for (auto pid : pids) learn(pid);
  }
  reporter_.emplace(monotonic_ns());
  if (numa_balances()) {
    reporter_->doubt_before();
    note(
        "kernel.numa_balancing is on: pages get faults while they are there, so what was there at "
        "first may count as new, and a page's stack may be of a later touch");
  }
  if (auto attached = attach_programs(); !attached) {
    detach();
    return attached;
  }
  for (auto pid : pids) {
    auto admitted = admit(pid);
    if (admitted || options_.targets.pids.empty()) continue;  // of others, one may just have ended
    detach();
    return admitted;
  }
  next_look_ns_ = monotonic_ns() + kLookNs;
  return {};
}

void ResidentTracer::note(const std::string& text) {
  if (std::ranges::find(notes_, text) == notes_.end()) notes_.push_back(text);
}

void ResidentTracer::learn(std::uint32_t pid) {
  if (detached_) return;
  // A process that has ended in between is no news.
  if (auto learnt = tables_->learn(pid); !learnt && learnt.error().code.value() != ESRCH) {
    note(learnt.error().message);
  }
  if (auto learnt = symbols_->learn(pid); !learnt && learnt.error().code.value() != ESRCH) {
    note(learnt.error().message);
  }
}

ResidentLife* ResidentTracer::life_of(std::uint32_t pid) {
  const auto found = life_of_pid_.find(pid);
  return found == life_of_pid_.end() ? nullptr : &lives_.at(found->second);
}

ResidentLife& ResidentTracer::begin_life(std::uint32_t pid, const std::string& comm) {
  const auto id = ++last_life_;
  life_of_pid_[pid] = id;
  unknown_.erase(pid);
  auto& life = lives_[id];
  life.pid = pid;
  life.comm = comm;
  life.space = id;
  return life;
}

Status ResidentTracer::admit(std::uint32_t pid) {
  const auto since = monotonic_ns();
  LB_TRY_ASSIGN(const auto look, look_at(pid, options_.scan));
  auto& life = begin_life(pid, comm_of(pid));
  life.since_ns = since;
  life.first = look.status;
  life.first_bytes = look.bytes();
  ledger_.begin(life.space, ranges_of(look, true), ranges_of(look.mappings), look.break_end());
  return {};
}

void ResidentTracer::on_record(std::span<const std::byte> bytes) {
  std::uint32_t kind = 0;
  if (bytes.size() < sizeof kind) return;
  std::memcpy(&kind, bytes.data(), sizeof kind);
  if (kind == OBSERVE_RESIDENT_FAULT && bytes.size() >= sizeof(observe_resident_fault)) {
    observe_resident_fault fault{};
    std::memcpy(&fault, bytes.data(), sizeof fault);
    on_fault(fault);
  } else if (bytes.size() >= sizeof(observe_resident_event)) {
    observe_resident_event event{};
    std::memcpy(&event, bytes.data(), sizeof event);
    on_event(event);
  }
}

void ResidentTracer::on_fault(const observe_resident_fault& fault) {
  auto* life = life_of(fault.tgid);
  if (life == nullptr) {
    // One that came into the target without a fork or an exec: what it has is of before.
    if (!unknown_.contains(fault.tgid) && !admit(fault.tgid)) unknown_.insert(fault.tgid);
    return;
  }
  if (fault.time_ns < life->since_ns) return;
  const bool user = (fault.error & OBSERVE_RESIDENT_USER) != 0;
  ledger_.touch(life->space, fault.address, {fault.stack, user ? Fault::User : Fault::Kernel},
                (fault.error & OBSERVE_RESIDENT_PRESENT) != 0);
}

void ResidentTracer::on_fork(const observe_resident_event& event) {
  const auto* parent = life_of(event.parent);
  if (parent == nullptr) return;
  const auto from = parent->space;
  end(event.tgid);  // of an earlier process with this number
  auto& life = begin_life(event.tgid, std::string(event.comm, strnlen(event.comm, 16)));
  life.since_ns = event.time_ns;
  if ((event.flags & OBSERVE_RESIDENT_SHARES) != 0) {
    life.space = from;
    life.shares = true;
  } else {
    ledger_.copy(from, life.space);
    life.first_known = false;
  }
  if (auto learnt = symbols_->learn(event.tgid); !learnt) unknown_.erase(event.tgid);
}

void ResidentTracer::on_exec(const observe_resident_event& event) {
  if (const auto found = life_of_pid_.find(event.tgid); found != life_of_pid_.end()) {
    const auto& old = lives_.at(found->second);
    if (!old.shares) ledger_.forget(old.space);
    reporter_->forget(found->second);
    lives_.erase(found->second);
    life_of_pid_.erase(found);
  }
  if ((event.flags & OBSERVE_RESIDENT_WANTED) == 0) return;
  auto& life = begin_life(event.tgid, std::string(event.comm, strnlen(event.comm, 16)));
  life.since_ns = event.time_ns;
  // What exec has mapped is read while nothing can change it; else it is not known.
  std::vector<ResidentLedger::Range> mapped;
  if ((event.flags & OBSERVE_RESIDENT_STOPPED) != 0) {
    if (const auto mappings = mappings_of(event.tgid)) mapped = ranges_of(*mappings);
  }
  ledger_.begin(life.space, {}, mapped, 0);
}

void ResidentTracer::end(std::uint32_t pid) {
  const auto found = life_of_pid_.find(pid);
  unknown_.erase(pid);
  if (found == life_of_pid_.end()) return;
  const auto id = found->second;
  auto& life = lives_.at(id);
  life_of_pid_.erase(found);
  if (auto forgotten = tables_->forget(pid); !forgotten) note(forgotten.error().message);
  life.ended = true;
  if (!life.shares) ledger_.end(life.space);
  if (!life.shares && reporter_->has_seen(id) && ended_ < kEndedMax) {
    ++ended_;
    reporter_->ended(id);
    return;
  }
  if (!life.shares) ledger_.forget(life.space);
  reporter_->forget(id);
  lives_.erase(id);
}

void ResidentTracer::on_change(std::uint32_t space, const observe_resident_event& event) {
  const auto range = ResidentLedger::pages_of(event.address, event.bytes);
  const auto from = ResidentLedger::pages_of(event.from_address, event.from_bytes);
  const auto asked = ResidentLedger::pages_of(0, event.asked_bytes).end;
  const MappedBy by{event.stack, true, event.kind == OBSERVE_RESIDENT_BREAK};
  switch (event.kind) {
    case OBSERVE_RESIDENT_MAPPED:
      if (asked == 0) return ledger_.map(space, range, by);
      return ledger_.map_within(space, range, asked, by);
    case OBSERVE_RESIDENT_MOVED:
      if (asked == 0) return ledger_.move(space, from, range, by);
      return ledger_.move_within(space, from, range, asked, by);
    case OBSERVE_RESIDENT_BREAK:
      return ledger_.set_break(space, {event.address, event.address + event.bytes}, by);
    case OBSERVE_RESIDENT_GIVEN:
      if ((event.flags & OBSERVE_RESIDENT_UNMAPPED) != 0) return ledger_.unmap(space, range);
      return ledger_.give_back(space, range);
    default:
      return;
  }
}

void ResidentTracer::on_event(const observe_resident_event& event) {
  if (event.kind == OBSERVE_RESIDENT_FORK) return on_fork(event);
  if (event.kind == OBSERVE_RESIDENT_EXIT) return end(event.tgid);
  if (event.kind == OBSERVE_RESIDENT_EXEC) on_exec(event);
  const auto* life = life_of(event.tgid);
  if (life != nullptr && event.time_ns >= life->since_ns) {
    on_change(life->space, event);
  }
  if ((event.flags & OBSERVE_RESIDENT_LOADED) != 0) {
    if (event.kind == OBSERVE_RESIDENT_MAPPED) wait_for_code(event);
    learn(event.tgid);
  }
  if ((event.flags & OBSERVE_RESIDENT_STOPPED) != 0) {
    kill(static_cast<pid_t>(event.tgid), SIGCONT);
  }
}

// Both are written before ring_full is raised.
Status ResidentTracer::take_losses() {
  LB_TRY_ASSIGN(const auto now, read_losses(*object_));
  const bool more = now.ring_full != losses_.ring_full;
  losses_ = now;
  if (more) LB_TRY(take_lost_pages());
  LB_TRY_ASSIGN(const int state_fd, object_->map_fd("resident_states"));
  LB_TRY_ASSIGN(const auto states, (BpfMap::of<std::uint32_t, observe_resident_state>(state_fd)));
  const auto state = states.get<observe_resident_state>(std::uint32_t{0});
  if (!state || state->blind_ns == blind_ns_) return {};
  blind_ns_ = state->blind_ns;
  ledger_.lose_all();
  note("so much was lost that stacks from before then are not known");
  return {};
}

Status ResidentTracer::take_lost_pages() {
  LB_TRY_ASSIGN(const int lost_fd, object_->map_fd("resident_lost"));
  LB_TRY_ASSIGN(const auto lost, (BpfMap::of<observe_resident_page, std::uint64_t>(lost_fd)));
  std::vector<observe_resident_page> pages;
  LB_TRY((lost.scan_as<observe_resident_page, std::uint64_t>(
      [&pages](const observe_resident_page& page, std::uint64_t) { pages.push_back(page); })));
  for (const auto& page : pages) {
    if (const auto* life = life_of(page.tgid)) ledger_.lose(life->space, page.address);
    LB_TRY(lost.erase(&page));
  }
  return {};
}

// What was lost is taken after the ring: a page that is in both is told as lost, which is never
// wrong.
void ResidentTracer::take_events() {
  if (!ring_) return;
  ring_->drain();
  if (auto taken = take_losses(); !taken) note(taken.error().message);
}

// First the page tables, then the events of all that is in them.
void ResidentTracer::look_at_all() {
  take_events();
  std::map<std::uint32_t, ResidentLook> looks;
  std::map<std::uint32_t, std::string> failures;
  std::vector<std::uint32_t> gone;
  for (const auto& [pid, id] : life_of_pid_) {
    if (lives_.at(id).shares) continue;
    if (auto look = look_at(pid, options_.scan)) {
      looks.emplace(id, std::move(*look));
    } else if (kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH) {
      gone.push_back(pid);
    } else {
      failures.emplace(id, look.error().message);
    }
  }
  for (const auto& [id, look] : looks) {
    ledger_.know_mappings(lives_.at(id).space, ranges_of(look.mappings));
  }
  take_events();
  for (const auto pid : gone) end(pid);  // where the event was lost
  for (const auto& [id, look] : looks) {
    const auto life = lives_.find(id);
    if (life == lives_.end() || life->second.ended) continue;
    if (!life->second.first_known) {
      // fork copies no page tables of files.
      ledger_.keep_before(life->second.space, ranges_of(look, false));
    }
    reporter_->see(id, life->second, look, ledger_);
  }
  for (const auto& [id, message] : failures) {
    const auto life = lives_.find(id);
    if (life == lives_.end() || life->second.ended) continue;
    note("not looked at: " + message);
    reporter_->miss(id);
  }
  reporter_->seen_all();
}

void ResidentTracer::drain(const std::function<void(std::string_view)>& /*line*/) {
  take_events();
  if (!tables_ || detached_) return;
  if (auto learnt = tables_->learn_wanted(); !learnt) note(learnt.error().message);
  const auto now = monotonic_ns();
  if (now < next_look_ns_) return;
  look_at_all();
  const auto took = monotonic_ns() - now;
  next_look_ns_ = now + std::max(kLookNs, took * kLookShare);
}

Result<Report> ResidentTracer::read() {
  if (!detached_) look_at_all();
  Report report;
  stacks_->begin(report);
  reporter_->build(
      lives_, ledger_, losses_, monotonic_ns(),
      [this](std::uint64_t id) { return stacks_->add(id); }, report);
  report.honesty.memory_bytes = static_cast<double>(tables_->memory_bytes());
  report.honesty.notes.insert(report.honesty.notes.end(), notes_.begin(), notes_.end());
  if (ended_ == kEndedMax) {
    report.honesty.notes.push_back(
        fmt::format("of processes that have ended only the first {} are told", kEndedMax));
  }
  return report;
}

// The last look is before the end of the events, or faults in between would not be seen.
void ResidentTracer::detach() {
  if (detached_ || !object_) return;
  if (reporter_ && !links_.empty()) look_at_all();
  detached_ = true;
  while (!links_.empty()) links_.pop_back();
  take_events();
  if (options_.own_child) {
    const auto stopped = object_->map_fd("resident_stopped");
    if (auto gone_on = let_all_go_on(stopped ? *stopped : -1, kTurns); !gone_on) {
      note("processes may be stopped still: " + gone_on.error().message);
    }
  }
  keeper_.reset();
}

}  // namespace lb::observe
