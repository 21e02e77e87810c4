// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// A tagged host of the testbed on a kernel without VLAN devices: `untag` (XDP) takes up to two tags
// off what arrives, `tag10` and `tag20` (tc egress) put one on what leaves. Loaded by
// testbed/lib.sh.
#include "bpf/vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define VLAN_BYTES 4
#define MAC_PAIR_BYTES 12
#define TC_ACT_OK 0
#define TC_ACT_SHOT 2

static __always_inline int untag_one(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	__u8 macs[MAC_PAIR_BYTES];

	if (data + sizeof(*eth) + VLAN_BYTES > end)
		return 0;
	if (eth->h_proto != bpf_htons(ETH_P_8021Q) && eth->h_proto != bpf_htons(ETH_P_8021AD))
		return 0;
	__builtin_memcpy(macs, data, sizeof(macs));
	if (bpf_xdp_adjust_head(ctx, VLAN_BYTES))
		return 0;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + sizeof(*eth) > end)
		return 0;
	__builtin_memcpy(data, macs, sizeof(macs));
	return 1;
}

SEC("xdp")
int untag(struct xdp_md *ctx)
{
	if (untag_one(ctx))
		untag_one(ctx);
	return XDP_PASS;
}

SEC("tc/10")
int tag10(struct __sk_buff *skb)
{
	return bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 10) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc/20")
int tag20(struct __sk_buff *skb)
{
	return bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 20) ? TC_ACT_SHOT : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
