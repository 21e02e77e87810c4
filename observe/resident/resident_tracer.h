// SPDX-License-Identifier: Apache-2.0
// ResidentTracer: `observe leak --tier pages`. Follows page faults, mappings and lives of the
// target (bpf/observe_resident.bpf.c), looks at the page tables about once a second and for each
// report. A command of ours is stopped when it has mapped code, until the unwind tables of that
// stand. One thread, the loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/observe_resident.h"
#include "dataplane/base/bpf_map.h"
#include "observe/frame/stack_store.h"
#include "observe/frame/stop_keeper.h"
#include "observe/resident/options.h"
#include "observe/resident/resident_ledger.h"
#include "observe/resident/resident_report.h"
#include "observe/symbols/symboliser.h"
#include "observe/tracer.h"
#include "observe/unwind/unwind_tables.h"

namespace lb::observe {

class ResidentTracer final : public Tracer {
 public:
  /// `symbols` outlives this: it learns the processes that come and go.
  ResidentTracer(ResidentOptions options, Symboliser& symbols)
      : options_(std::move(options)), symbols_(&symbols) {}
  ~ResidentTracer() override { detach(); }

  [[nodiscard]] std::string name() const override { return "leak"; }
  [[nodiscard]] Result<Plan> plan() override;
  [[nodiscard]] Status attach() override;
  [[nodiscard]] Result<Report> read() override;
  void refine(Report& report) override {
    name_mappings(report);
    add_resident_sites(report);
  }
  void detach() override;
  [[nodiscard]] std::vector<const BpfObject*> objects() const override;
  [[nodiscard]] int event_fd() const override { return ring_ ? ring_->fd() : -1; }
  void drain(const std::function<void(std::string_view)>& line) override;

 private:
  [[nodiscard]] Status check_targets() const;
  /// Whether changes of mappings are seen at the ends of system calls.
  [[nodiscard]] bool by_system_calls() const;
  [[nodiscard]] Status load();
  [[nodiscard]] Status attach_programs();
  /// What is resident in this process from here on is told. Errors: of look_at().
  [[nodiscard]] Status admit(std::uint32_t pid);
  void learn(std::uint32_t pid);
  void on_record(std::span<const std::byte> bytes);
  void on_fault(const observe_resident_fault& fault);
  void on_event(const observe_resident_event& event);
  void on_change(std::uint32_t space, const observe_resident_event& event);
  void on_fork(const observe_resident_event& event);
  void on_exec(const observe_resident_event& event);
  void end(std::uint32_t pid);
  /// The life of this process now; null: it is not known.
  [[nodiscard]] ResidentLife* life_of(std::uint32_t pid);
  ResidentLife& begin_life(std::uint32_t pid, const std::string& comm);
  /// Events that wait, and what was lost of them.
  void take_events();
  [[nodiscard]] Status take_losses();
  [[nodiscard]] Status take_lost_pages();
  void look_at_all();
  /// Once.
  void note(const std::string& text);

  ResidentOptions options_;
  Symboliser* symbols_;
  std::optional<BpfObject> object_;
  std::optional<UnwindTables> tables_;
  std::optional<StackStore> stacks_;
  std::optional<BpfRing> ring_;
  std::optional<StopKeeper> keeper_;
  std::optional<ResidentReporter> reporter_;
  std::vector<BpfLink> links_;
  ResidentLedger ledger_;
  ResidentLives lives_;
  std::map<std::uint32_t, std::uint32_t> life_of_pid_;
  std::set<std::uint32_t> unknown_;  // processes that could not be looked at when they were met
  std::uint32_t last_life_ = 0;
  std::size_t ended_ = 0;
  observe_losses losses_{};
  std::uint64_t blind_ns_ = 0;
  std::uint64_t next_look_ns_ = 0;
  std::vector<std::string> notes_;
  bool detached_ = false;
};

/// Whether events could come from this process, as `targets` says; of processes there are now.
[[nodiscard]] std::vector<std::uint32_t> processes_of(const TargetSet& targets);

}  // namespace lb::observe
