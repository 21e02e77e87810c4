// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/observe_bench_heap.h"

#include <bpf/test_observe_upstream.skel.h>

#include <array>
#include <cerrno>
#include <span>
#include <utility>

#include "bpf/observe_heap.h"
#include "dataplane/base/bpf_map.h"
#include "observe/leak/heap_object.h"

namespace lb::observe {
namespace {

constexpr std::uint32_t kSpace = 0x8000'0000U;

UprobePlan put_at(UprobePlan plan, ProbeAt place) {
  if (place == ProbeAt::Site) return plan;
  for (ProbePoint& point : plan.points) point.site.offset = 0;
  return plan;
}

/// As HeapTracer::load() with its defaults.
Result<BpfObject> load_heap_programs(Mechanism mechanism, std::uint64_t sample_bytes) {
  BpfSpec spec;
  spec.name = "observe_heap";
  spec.elf = heap_object();
  spec.constant("sample_bytes", sample_bytes).constant("sample_seed", std::uint64_t{1});
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
  return BpfObject::load(spec);
}

const char* heap_program(UprobeKind kind) {
  switch (kind) {
    case UprobeKind::Session:
      return "observe_heap_session";
    case UprobeKind::MultiReturn:
    case UprobeKind::PlainReturn:
      return "observe_heap_return";
    default:
      return "observe_heap_call";
  }
}

Result<BpfObject> load_usual() {
  std::size_t bytes = 0;
  const void* elf = test_observe_upstream__elf_bytes(&bytes);
  BpfSpec spec;
  spec.name = "test_observe_upstream";
  spec.elf = {static_cast<const std::byte*>(elf), bytes};
  return BpfObject::load(spec);
}

}  // namespace

Result<UprobePlan> heap_plan_of(std::uint32_t pid) {
  PlannerOptions options;
  options.allocators.mappings = false;
  options.calibrate = false;
  LB_TRY_ASSIGN(auto planner, Planner::make(std::move(options)));
  return planner.plan(std::span(&pid, 1));
}

Result<Attached> attach_tracer(std::uint32_t pid, std::uint64_t sample_bytes) {
  HeapLeakOptions options;
  options.targets.everything = false;
  options.targets.pids = {pid};
  options.sample_bytes = sample_bytes;
  options.sample_seed = 1;
  Attached attached;
  attached.symbols = std::make_unique<Symboliser>();
  attached.tracer = std::make_unique<HeapTracer>(std::move(options), *attached.symbols);
  LB_TRY(attached.tracer->attach());
  return attached;
}

Result<Attached> attach_tracer_programs(std::uint32_t pid, UprobePlan plan, ProbeAt place,
                                        std::uint64_t sample_bytes) {
  Attached attached;
  LB_TRY_ASSIGN(attached.object, load_heap_programs(plan.mechanism, sample_bytes));
  LB_TRY_ASSIGN(attached.tables, UnwindTables::open(*attached.object));
  LB_TRY(attached.tables->learn(pid));
  for (const UprobeGroup& group : put_at(std::move(plan), place).groups()) {
    LB_TRY_ASSIGN(const int fd, attached.object->program_fd(heap_program(group.kind)));
    LB_TRY_ASSIGN(auto link, attach_uprobes(fd, group.kind, group.file.path, group.offsets,
                                            group.cookies, pid));
    attached.links.push_back(std::move(link));
  }
  LB_TRY_ASSIGN(const int spaces, attached.object->map_fd("heap_spaces"));
  LB_TRY_ASSIGN(const auto map,
                BpfMap::open(spaces, sizeof(std::uint32_t), sizeof(observe_heap_space)));
  LB_TRY(map.put(pid, observe_heap_space{kSpace, 0, 0}));
  return attached;
}

Result<Attached> attach_nothing(std::uint32_t pid, UprobePlan plan, ProbeAt place, bool returns) {
  Attached attached;
  for (const UprobeGroup& group : put_at(std::move(plan), place).groups()) {
    const int result = group.kind == UprobeKind::Session && !returns ? 1 : 0;
    const bool at_return =
        group.kind == UprobeKind::MultiReturn || group.kind == UprobeKind::PlainReturn;
    if (at_return && !returns) continue;
    LB_TRY_ASSIGN(auto program, load_empty_uprobe_program(group.kind, result));
    LB_TRY_ASSIGN(auto link, attach_uprobes(program.get(), group.kind, group.file.path,
                                            group.offsets, group.cookies, pid));
    attached.programs.push_back(std::move(program));
    attached.links.push_back(std::move(link));
  }
  return attached;
}

Result<Attached> attach_usual(std::uint32_t pid, const UprobePlan& plan) {
  Attached attached;
  LB_TRY_ASSIGN(attached.object, load_usual());
  auto attach = [&](const char* program, UprobeKind kind, const ProbePoint& point) -> Status {
    LB_TRY_ASSIGN(const int fd, attached.object->program_fd(program));
    const std::array offsets = {point.function_offset};
    LB_TRY_ASSIGN(auto link, attach_uprobes(fd, kind, point.file.path, offsets, {}, pid));
    attached.links.push_back(std::move(link));
    return {};
  };
  for (const ProbePoint& point : plan.points) {
    if (point.role == Role::Malloc) {
      LB_TRY(attach("test_malloc_entry", UprobeKind::Plain, point));
      LB_TRY(attach("test_malloc_return", UprobeKind::PlainReturn, point));
    } else if (point.role == Role::Free) {
      LB_TRY(attach("test_free_entry", UprobeKind::Plain, point));
    }
  }
  return attached;
}

}  // namespace lb::observe
