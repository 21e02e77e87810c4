// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The load generator and the sinks of testbed/bench. bench_gen runs by BPF_PROG_TEST_RUN with
 * BPF_F_TEST_XDP_LIVE_FRAMES: the kernel hands it the same few pages again and again, as the
 * forwarder left them, so every byte of the header is written for each packet. bench_sink and
 * bench_sink_gaps count what comes back and drop it; all else (ARP, ND) goes to the stack.
 */
#include "bpf/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/bench_abi.h"

#define ETH_P_IP 0x0800
#define SPIN_MAX (1 << 20)

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct bench_plan plan;
struct bench_count sent;
struct bench_count received[BENCH_CPUS];
struct bench_gaps gaps;

/* One generator thread runs at a time, so plain globals do. */
static __u32 random_state = 2463534242u;
static __u64 next_flow;
static __u64 next_burst_ns;

struct headers {
	struct ethhdr eth;
	struct iphdr ip;
	union {
		struct udphdr udp;
		struct tcphdr tcp;
	};
} __attribute__((packed));

static __always_inline __u32 pick_flow(void)
{
	__u32 x = random_state;

	if (plan.flows == 0)
		return next_flow++;
	if (plan.flows == 1)
		return 0;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	random_state = x;
	return ((__u64)x * plan.flows) >> 32;
}

static __always_inline void write_ip(struct headers *h, __u32 flow, __u32 bytes)
{
	__u32 saddr = bpf_htonl(plan.src_ip + (flow >> 15));
	__u32 sum;

	h->ip.version = 4;
	h->ip.ihl = 5;
	h->ip.tos = 0;
	h->ip.tot_len = bpf_htons(bytes);
	h->ip.id = 0;
	h->ip.frag_off = 0;
	h->ip.ttl = 64;
	h->ip.protocol = plan.proto;
	h->ip.saddr = saddr;
	h->ip.daddr = plan.dst_ip;
	sum = 0x0045 + bpf_htons(bytes) + (64 | plan.proto << 8);
	sum += (saddr & 0xffff) + (saddr >> 16) + (plan.dst_ip & 0xffff) + (plan.dst_ip >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	h->ip.check = ~sum;
}

static __always_inline void write_l4(struct headers *h, __u32 flow, __u32 bytes)
{
	__u16 sport = bpf_htons(1024 + (flow & 32767));

	if (plan.proto == BENCH_UDP) {
		h->udp.source = sport;
		h->udp.dest = bpf_htons(plan.dst_port);
		h->udp.len = bpf_htons(bytes);
		h->udp.check = 0;
		return;
	}
	__builtin_memset(&h->tcp, 0, sizeof(h->tcp));
	h->tcp.source = sport;
	h->tcp.dest = bpf_htons(plan.dst_port);
	h->tcp.seq = flow;
	h->tcp.doff = 5;
	h->tcp.syn = 1;
	h->tcp.window = bpf_htons(65535);
}

struct turn {
	__u64 now;
	__u64 due;
};

static long look_at_clock(__u32 index, struct turn *turn)
{
	(void)index;
	turn->now = bpf_ktime_get_ns();
	return turn->now >= turn->due;
}

/* Waits, inside the batch, until the next burst is due; a generator that is late by more than
 * a millisecond forgets the debt, so that a gap of the machine is not followed by a flood. */
static __always_inline void wait_for_turn(void)
{
	struct turn turn = {.due = next_burst_ns};

	bpf_loop(SPIN_MAX, look_at_clock, &turn, 0);
	if (turn.due + 1000000 < turn.now)
		turn.due = turn.now;
	next_burst_ns = turn.due + plan.burst_ns;
}

SEC("xdp")
int bench_gen(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct headers *h = data;
	__u32 flow;

	if (data + BENCH_FRAME_BYTES > end)
		return XDP_DROP;
	if (plan.burst_ns && sent.packets % (plan.burst ?: 1) == 0)
		wait_for_turn();
	flow = pick_flow();
	__builtin_memcpy(h->eth.h_dest, plan.dst_mac, 6);
	__builtin_memcpy(h->eth.h_source, plan.src_mac, 6);
	h->eth.h_proto = bpf_htons(ETH_P_IP);
	write_ip(h, flow, BENCH_FRAME_BYTES - sizeof(h->eth));
	write_l4(h, flow, BENCH_FRAME_BYTES - sizeof(h->eth) - sizeof(h->ip));
	sent.packets++;
	return bpf_redirect(plan.out_ifindex, 0);
}

/* True for what the generator sends; then it is counted. */
static __always_inline bool count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct headers *h = data;
	struct bench_count *slot;

	if (data + sizeof(*h) > end || h->eth.h_proto != bpf_htons(ETH_P_IP) ||
	    h->ip.protocol != plan.proto)
		return false;
	slot = &received[bpf_get_smp_processor_id() % BENCH_CPUS];
	slot->packets++;
	slot->bytes += end - data;
	return true;
}

SEC("xdp")
int bench_sink(struct xdp_md *ctx)
{
	return count(ctx) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int bench_sink_gaps(struct xdp_md *ctx)
{
	__u64 now, gap, us;
	int bucket = 0;

	if (!count(ctx))
		return XDP_PASS;
	now = bpf_ktime_get_ns();
	gap = now - gaps.last_ns;
	if (gaps.last_ns && now > gaps.last_ns) {
		if (gap > gaps.longest_ns)
			gaps.longest_ns = gap;
		us = gap >> 10;
		while (us > 1 && bucket < BENCH_GAP_BUCKETS - 1) {
			us >>= 1;
			bucket++;
		}
		gaps.bucket[bucket]++;
	}
	gaps.last_ns = now;
	return XDP_DROP;
}
