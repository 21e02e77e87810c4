// SPDX-License-Identifier: Apache-2.0
// Targets: from what the user wrote to what a BPF program compares (bpf/observe_target.h). Blocks
// shortly on /proc and the cgroup file system.
#pragma once

#include <string>

#include "bpf/observe_target.h"
#include "dataplane/base/bpf_object.h"
#include "dataplane/base/result.h"
#include "observe/frame/options.h"
#include "observe/tracer.h"

namespace lb::observe {

/// `child`: the process started for TargetOptions::command; 0: none. Errors: ESRCH for a process
/// that is gone, EINVAL for more than one kind of target, ENOENT for a cgroup that is not there or
/// not in cgroup2, each with its name.
[[nodiscard]] Result<TargetSet> resolve_target(const TargetOptions& options, std::uint32_t child);

/// The constant `target` of a program that includes bpf/observe_target.bpf.h.
[[nodiscard]] observe_target target_constant(const TargetSet& targets);
/// What such an object leaves out: forks matter only where targets are processes.
void leave_out_target_programs(BpfSpec& spec, const TargetSet& targets);
/// Fills its map of processes and attaches its programs, before anything else is attached.
[[nodiscard]] Result<std::vector<BpfLink>> arm_target(const BpfObject& object,
                                                      const TargetSet& targets);

/// "pid 17 (nginx)", "cgroup ...", "the whole system": for titles.
[[nodiscard]] std::string describe(const TargetSet& targets);
/// The name of a process; empty when it is gone.
[[nodiscard]] std::string comm_of(std::uint32_t pid);
/// Where cgroup2 is mounted; empty: nowhere.
[[nodiscard]] std::string cgroup2_mount();

}  // namespace lb::observe
