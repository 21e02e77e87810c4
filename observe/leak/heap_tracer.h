// SPDX-License-Identifier: Apache-2.0
// HeapTracer: `observe leak` of processes. Probes the functions that the Planner finds, follows
// fork, exec and dlopen, and reads what is outstanding. A command of ours is stopped at the dynamic
// linker's notice until the probes and the unwind tables of what it has loaded stand, so nothing of
// it is missed. One thread, the loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/bpf_map.h"
#include "dataplane/base/bpf_object_uprobe.h"
#include "observe/frame/stack_store.h"
#include "observe/frame/stop_keeper.h"
#include "observe/leak/heap_report.h"
#include "observe/leak/options.h"
#include "observe/plan/planner.h"
#include "observe/symbols/symboliser.h"
#include "observe/tracer.h"
#include "observe/unwind/unwind_tables.h"

namespace lb::observe {

class HeapTracer final : public Tracer, private Throttle {
 public:
  /// `symbols` outlives this: it learns the processes that come and go.
  HeapTracer(HeapLeakOptions options, Symboliser& symbols)
      : options_(std::move(options)), symbols_(&symbols) {}
  ~HeapTracer() override;

  [[nodiscard]] std::string name() const override { return "leak"; }
  [[nodiscard]] Result<Plan> plan() override;
  [[nodiscard]] Status attach() override;
  [[nodiscard]] Result<Report> read() override;
  void refine(Report& report) override;
  void detach() override;
  [[nodiscard]] std::vector<const BpfObject*> objects() const override;
  [[nodiscard]] int event_fd() const override { return ring_ ? ring_->fd() : -1; }
  void drain(const std::function<void(std::string_view)>& line) override;
  [[nodiscard]] Throttle* throttle() override { return options_.budget ? this : nullptr; }

 private:
  [[nodiscard]] Result<double> traps_ns() const override;
  [[nodiscard]] Status set_level(std::uint32_t level) override;
  [[nodiscard]] std::uint32_t level_max() const override;
  void pause() override;
  [[nodiscard]] Status resume() override;

  [[nodiscard]] Status put_control();
  [[nodiscard]] Result<UprobePlan> make_plan(bool calibrate);
  [[nodiscard]] Status load();
  /// Keeps what is planned; attaches it unless it is paused.
  [[nodiscard]] Status add_probes(const UprobePlan& plan);
  [[nodiscard]] Status attach_group(const UprobeGroup& group);
  [[nodiscard]] Status attach_mappings();
  /// Processes that were stopped for us go on.
  void let_all_go();
  [[nodiscard]] Status admit(std::uint32_t pid);
  /// No process is looked at any more.
  [[nodiscard]] Status dismiss_all();
  void on_event(const observe_heap_event& event);
  void on_space(const observe_heap_event& event);
  void on_mapping(const observe_heap_event& event);
  [[nodiscard]] Status sweep(HeapSnapshot& snapshot);
  /// Once.
  void note(const std::string& text);
  /// What was to be probed and is not: the figures of blocks are not reliable from now on.
  void miss(const std::string& text);
  /// Probes, tables and names of what a process has mapped now.
  void catch_up(std::uint32_t pid);

  HeapLeakOptions options_;
  Symboliser* symbols_;
  std::optional<Planner> planner_;
  std::optional<BpfObject> object_;
  std::optional<UnwindTables> tables_;
  std::optional<StackStore> stacks_;
  std::optional<HeapReporter> reporter_;
  std::optional<BpfRing> ring_;
  std::vector<BpfLink> links_;
  std::vector<BpfLink> mapping_links_;  // at every system call of the machine
  std::vector<UprobeLink> probes_;
  std::vector<UprobeGroup> groups_;  // planned, frees first
  std::map<std::string, Fd> held_;   // their files, which may go with a process; with a budget
  std::vector<double> entry_ns_;     // of a hit's trap, by the index of a point
  observe_heap_control control_{};
  bool paused_ = false;
  std::optional<StopKeeper> keeper_;  // of a command's processes
  HeapSpaces spaces_;
  MappingLedger mappings_;
  std::set<std::string> allocator_objects_;
  std::vector<std::string> notes_;
  std::map<std::uint32_t, std::string> unplanned_;  // processes in which no allocator was found
  HeapSnapshot ended_;                              // blocks and stats of processes that have ended
  bool incomplete_ = false;
  bool sweep_wanted_ = false;
  std::uint64_t last_sweep_ns_ = 0;
  bool detached_ = false;
  const std::function<void(std::string_view)>* line_ = nullptr;  // while drain() runs
  std::vector<std::string> late_;  // events that came as the probes went, for the drain behind it
};

}  // namespace lb::observe
