// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What xdp_bench runs by BPF_PROG_TEST_RUN: the kernel hands a program the same frame again and
 * again, as the program left it, so bench_run writes a packet of one of `bench_flows` flows and
 * then jumps to the program that is measured. bench_none is the end of it for the cost of that
 * alone, bench_swap what every forwarder has to do at least.
 */
#include "bpf/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD
#define ETH_P_8021Q 0x8100

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 bench_vip_be[4] = {}; /* network order; IPv4: the first */
const volatile __u16 bench_port = 80;
const volatile __u8 bench_proto = 6; /* TCP: segments with ACK */
const volatile __u8 bench_v6 = 0;
const volatile __u8 bench_port_bits = 15; /* of a flow: its client's port; the rest: the client */
const volatile __u16 bench_vlan = 0;	  /* 0: untagged */
__u32 bench_flows = 1;			  /* picked uniformly at random */

static __u32 random_state = 2463534242u;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured SEC(".maps");

static __always_inline __u32 pick_flow(void)
{
	__u32 x = random_state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	random_state = x;
	return ((__u64)x * bench_flows) >> 32;
}

/*
 * Clients are 198.18.0.0/15 and 2001:db8:c::/96. Each header is written in words at least as wide
 * as any that a program reads: a read over two fresh writes waits for both to reach the cache, as
 * no packet from a network makes it.
 */
static __always_inline void *write_ipv4(void *at, void *end, __u32 flow)
{
	__u32 bytes = end - at;
	__u64 *words = at;

	if (at + sizeof(struct iphdr) > end)
		return NULL;
	words[0] = 0x45 | (__u64)bpf_htons(bytes) << 16;
	words[1] = 64 | (__u64)bench_proto << 8 |
		   (__u64)bpf_htonl(0xc6120000 + (flow >> bench_port_bits)) << 32;
	*(__u32 *)&words[2] = bench_vip_be[0];
	return at + sizeof(struct iphdr);
}

static __always_inline void *write_ipv6(void *at, void *end, __u32 flow)
{
	__u32 bytes = end - at - sizeof(struct ipv6hdr);
	__u64 *words = at;

	if (at + sizeof(struct ipv6hdr) > end)
		return NULL;
	words[0] = 0x60 | (__u64)bpf_htons(bytes) << 32 | (__u64)bench_proto << 48 | 64ull << 56;
	words[1] = bpf_htonl(0x20010db8) | (__u64)bpf_htonl(0xc) << 32;
	words[2] = (__u64)bpf_htonl(1 + (flow >> bench_port_bits)) << 32;
	words[3] = bench_vip_be[0] | (__u64)bench_vip_be[1] << 32;
	words[4] = bench_vip_be[2] | (__u64)bench_vip_be[3] << 32;
	return at + sizeof(struct ipv6hdr);
}

static __always_inline int write_l4(void *at, void *end, __u32 flow)
{
	__u32 bytes = end - at, *words = at;

	if (at + sizeof(struct udphdr) > end)
		return -1;
	words[0] = bpf_htons(1024 + (flow & ((1u << bench_port_bits) - 1))) |
		   (__u32)bpf_htons(bench_port) << 16;
	words[1] = bench_proto == IPPROTO_TCP ? 0 : bpf_htons(bytes);
	if (bench_proto != IPPROTO_TCP)
		return 0;
	if (at + sizeof(struct tcphdr) > end)
		return -1;
	words[3] = 0x1050; /* no options, ACK */
	return 0;
}

SEC("xdp")
int bench_run(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct vlan_hdr *tag;
	struct ethhdr *eth = data;
	void *at = eth + 1;
	__be16 type = bench_v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	__u32 flow = pick_flow();

	if (at > end)
		return XDP_ABORTED;
	__builtin_memset(eth->h_dest, 2, 6);
	__builtin_memset(eth->h_source, 6, 6);
	eth->h_proto = type;
	if (bench_vlan) {
		tag = at;
		at = tag + 1;
		if (at > end)
			return XDP_ABORTED;
		eth->h_proto = bpf_htons(ETH_P_8021Q);
		tag->h_vlan_TCI = bpf_htons(bench_vlan);
		tag->h_vlan_encapsulated_proto = type;
	}
	at = bench_v6 ? write_ipv6(at, end, flow) : write_ipv4(at, end, flow);
	if (!at || write_l4(at, end, flow))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &measured, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int bench_none(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}

SEC("xdp")
int bench_swap(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u8 mac[6];

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	__builtin_memcpy(mac, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, mac, 6);
	return XDP_TX;
}
