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
const volatile __u16 bench_vlan = 0; /* 0: untagged */
__u32 bench_flows = 1;		     /* picked uniformly at random */

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

/* Clients are 198.18.0.0/15 and 2001:db8:c::/96. */
static __always_inline void *write_l3(void *at, void *end, __u32 flow)
{
	struct ipv6hdr *v6 = at;
	struct iphdr *v4 = at;

	if (bench_v6) {
		if ((void *)(v6 + 1) > end)
			return NULL;
		*(__be32 *)v6 = bpf_htonl(6u << 28);
		v6->payload_len = bpf_htons(end - at - sizeof(*v6));
		v6->nexthdr = bench_proto;
		v6->hop_limit = 64;
		v6->saddr.in6_u.u6_addr32[0] = bpf_htonl(0x20010db8);
		v6->saddr.in6_u.u6_addr32[1] = bpf_htonl(0xc);
		v6->saddr.in6_u.u6_addr32[2] = 0;
		v6->saddr.in6_u.u6_addr32[3] = bpf_htonl(1 + (flow >> 15));
		v6->daddr.in6_u.u6_addr32[0] = bench_vip_be[0];
		v6->daddr.in6_u.u6_addr32[1] = bench_vip_be[1];
		v6->daddr.in6_u.u6_addr32[2] = bench_vip_be[2];
		v6->daddr.in6_u.u6_addr32[3] = bench_vip_be[3];
		return v6 + 1;
	}
	if ((void *)(v4 + 1) > end)
		return NULL;
	v4->version = 4;
	v4->ihl = 5;
	v4->frag_off = 0;
	v4->tot_len = bpf_htons(end - at);
	v4->ttl = 64;
	v4->protocol = bench_proto;
	v4->saddr = bpf_htonl(0xc6120000 + (flow >> 15));
	v4->daddr = bench_vip_be[0];
	return v4 + 1;
}

static __always_inline int write_l4(void *at, void *end, __u32 flow)
{
	struct tcphdr *tcp = at;
	struct udphdr *udp = at;

	if ((void *)(udp + 1) > end)
		return -1;
	udp->source = bpf_htons(1024 + (flow & 32767));
	udp->dest = bpf_htons(bench_port);
	if (bench_proto != IPPROTO_TCP) {
		udp->len = bpf_htons(end - at);
		return 0;
	}
	if ((void *)(tcp + 1) > end)
		return -1;
	((__u8 *)tcp)[12] = 5 << 4;
	((__u8 *)tcp)[13] = 0x10;
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
	at = write_l3(at, end, flow);
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
