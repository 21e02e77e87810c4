// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The XDP program as it would be with state for every flow: one look-up in an LRU map a packet, as
 * balancers with a connection table have it. What testbed/bench and xdp_bench compare with; else
 * the same program, line by line.
 */
#define LB_BENCH_LRU
#include "bpf/lb_xdp.bpf.c"
