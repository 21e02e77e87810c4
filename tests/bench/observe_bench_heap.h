// SPDX-License-Identifier: Apache-2.0
// What stands on malloc and free of a target while observe_bench measures it: our tracer, our
// programs elsewhere, programs that do nothing, the usual way. Root. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/bpf_object.h"
#include "dataplane/base/bpf_object_uprobe.h"
#include "observe/leak/heap_tracer.h"
#include "observe/plan/planner.h"
#include "observe/symbols/symboliser.h"
#include "observe/unwind/unwind_tables.h"

namespace lb::observe {

/// Goes, with all that it holds in the kernel, when this does.
struct Attached {
  std::vector<Fd> programs;
  std::optional<BpfObject> object;
  std::optional<UnwindTables> tables;
  std::unique_ptr<Symboliser> symbols;
  std::unique_ptr<HeapTracer> tracer;
  std::vector<UprobeLink> links;

  /// What our tracer's programs are in; null: none of them stand there.
  [[nodiscard]] const BpfObject* programs_of() const {
    return tracer ? tracer->objects().front() : nullptr;
  }
};

/// Where the probes of a plan are put.
enum class ProbeAt : std::uint8_t {
  Site,   ///< where the planner chose
  Begin,  ///< at the first instruction of each function
};

/// Plan of one process, without mmap and its kin, as HeapTracer makes it. Errors: those of Planner.
[[nodiscard]] Result<UprobePlan> heap_plan_of(std::uint32_t pid);

/// HeapTracer; `sample_bytes` as its option. Errors: those of attach().
[[nodiscard]] Result<Attached> attach_tracer(std::uint32_t pid, std::uint64_t sample_bytes);
/// Its programs, with stacks, at a place of our choice. Errors: as above.
[[nodiscard]] Result<Attached> attach_tracer_programs(std::uint32_t pid, UprobePlan plan,
                                                      ProbeAt place, std::uint64_t sample_bytes);
/// Programs that do nothing. `returns`: those at both ends of a call have its return too.
[[nodiscard]] Result<Attached> attach_nothing(std::uint32_t pid, UprobePlan plan, ProbeAt place,
                                              bool returns);
/// bpf/test_observe_upstream.bpf.c on malloc and free, by plain uprobes at the first instruction.
[[nodiscard]] Result<Attached> attach_usual(std::uint32_t pid, const UprobePlan& plan);

}  // namespace lb::observe
