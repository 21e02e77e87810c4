// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The XDP program as `lbctl explain` runs it (BPF_PROG_TEST_RUN, never attached): it decides by the
 * same code and the same maps, writes down what it finds in `trace`, counts nothing but its verdict
 * and touches neither flows nor rates.
 */
#define LB_EXPLAIN
#include "bpf/lb_xdp.bpf.c"
