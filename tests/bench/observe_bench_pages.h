// SPDX-License-Identifier: Apache-2.0
// What `observe pages` costs an event and a page: the tracer, programs that do nothing and one that
// only takes the stack, by the kernel's statistics and by the CPU time of a load. Root. One thread.
#pragma once

#include "tests/bench/observe_bench_rounds.h"
#include "tests/bench/observe_bench_target.h"

namespace lb::observe {

/// Cases "pages nothing", "pages empty", "pages stack" and "pages tracer"; figures "LOAD page" of
/// each load, and, of all but the first, "LOAD alloc" and "LOAD free", ns an event. `target`
/// outlives the rounds.
void add_page_cases(Rounds& rounds, const BenchTarget& target, unsigned milliseconds);
void print_page_figures(const Rounds& rounds);

}  // namespace lb::observe
