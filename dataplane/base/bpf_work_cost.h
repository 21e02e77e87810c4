// SPDX-License-Identifier: Apache-2.0
// What work in a program costs on this machine: the unit that the programs of tracers are told in
// (SiteCosts). One thread.
#pragma once

#include "dataplane/base/result.h"

namespace lb {

/// Nanoseconds in which a BPF program puts an entry into a hash map that is not preallocated,
/// looks it up and deletes it. By BPF_PROG_TEST_RUN: nothing is attached, no trap is in it. Takes
/// a millisecond. Errors: errno of bpf(2).
[[nodiscard]] Result<double> measure_bpf_work_unit();

}  // namespace lb
