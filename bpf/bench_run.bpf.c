// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What xdp_bench runs by BPF_PROG_TEST_RUN: the kernel hands a program the same frame again and
 * again, as the program left it, so bench_run writes a packet of one of `bench_flows` flows and
 * then jumps to the program that is measured. bench_none is the end of it for the cost of that
 * alone.
 */
#include "bpf/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETH_P_IP 0x0800

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 bench_vip_be = 0; /* network order */
const volatile __u16 bench_port = 80;
const volatile __u8 bench_proto = 6;	  /* TCP: segments with ACK */
const volatile __u8 bench_port_bits = 15; /* of a flow: its client's port; the rest: the client */
__u32 bench_flows = 1;			  /* picked uniformly at random */

static __u32 random_state = 2463534242u;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured SEC(".maps");

struct headers {
	struct ethhdr eth;
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
	};
} __attribute__((packed));

static __always_inline __u32 pick_flow(void)
{
	__u32 x = random_state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	random_state = x;
	return ((__u64)x * bench_flows) >> 32;
}

SEC("xdp")
int bench_run(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct headers *h = data;
	__u32 flow = pick_flow();

	if (data + sizeof(*h) > end)
		return XDP_ABORTED;
	__builtin_memset(h->eth.h_dest, 2, 6);
	__builtin_memset(h->eth.h_source, 6, 6);
	h->eth.h_proto = bpf_htons(ETH_P_IP);
	h->ip.version = 4;
	h->ip.ihl = 5;
	h->ip.frag_off = 0;
	h->ip.tot_len = bpf_htons(end - data - sizeof(h->eth));
	h->ip.ttl = 64;
	h->ip.protocol = bench_proto;
	h->ip.saddr = bpf_htonl(0xc6120000 + (flow >> bench_port_bits)); /* 198.18.0.0 on */
	h->ip.daddr = bench_vip_be;
	h->tcp.source = bpf_htons(1024 + (flow & ((1u << bench_port_bits) - 1)));
	h->tcp.dest = bpf_htons(bench_port);
	if (bench_proto == IPPROTO_TCP) {
		((__u8 *)&h->tcp)[12] = 5 << 4;
		((__u8 *)&h->tcp)[13] = 0x10;
	} else {
		h->udp.len = bpf_htons(end - data - sizeof(h->eth) - sizeof(h->ip));
	}
	bpf_tail_call(ctx, &measured, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int bench_none(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}
