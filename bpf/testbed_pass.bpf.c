// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// The far end of a test veth. `pass`: a native XDP program that only passes; without one the kernel
// drops what the director's end sends by XDP_TX or redirect, silently. `spread` (tc ingress of a
// switch port): flows go on to the director's two queues by their hash, as a NIC would. Loaded by
// testbed/lib.sh.
#include "bpf/vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("xdp.frags")
int pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

SEC("tc")
int spread(struct __sk_buff *skb)
{
	/* Read as a recorded RX queue, which is one less; a bridge keeps to it when it transmits.
	 */
	skb->queue_mapping = 1 + (bpf_get_hash_recalc(skb) & 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
