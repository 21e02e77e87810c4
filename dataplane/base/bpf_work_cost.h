// SPDX-License-Identifier: Apache-2.0
// What work in a program costs on this machine: the unit that the programs of tracers are told in.
// A unit puts an entry into a hash map that is not preallocated, looks it up and deletes it. One
// thread.
#pragma once

#include "dataplane/base/bpf_object_uprobe.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb {

/// Nanoseconds of a unit in the kernel, with warm caches. By BPF_PROG_TEST_RUN: nothing is
/// attached, no trap is in it. Takes a millisecond. Errors: errno of bpf(2).
[[nodiscard]] Result<double> measure_bpf_work_unit();

/// A program that does one unit; to be attached where the caches are as they are there.
struct BpfWorkProgram {
  Fd map;
  Fd program;
};
/// For attach_uprobes(). Errors: errno of bpf(2).
[[nodiscard]] Result<BpfWorkProgram> load_bpf_work_unit(UprobeKind kind);

}  // namespace lb
