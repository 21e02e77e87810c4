// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// The far end of a test veth: a native XDP program that only passes. Without one the kernel drops
// what the director's end sends by XDP_TX or redirect, silently. Loaded by testbed/lib.sh.
#include "bpf/vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("xdp.frags")
int pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
