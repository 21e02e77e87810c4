// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The forwarders that testbed/bench compares with: what the kernel alone can do (bench_tx,
 * bench_redirect) and the classifier of the bare AF_XDP loop (bench_xsk). They swap the MAC
 * addresses of IPv4 packets and know nothing of services; all else goes to the stack.
 */
#include "bpf/vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETH_P_IP 0x0800

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} out_port SEC(".maps");

static __always_inline struct ethhdr *ipv4_frame(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if (data + sizeof(*eth) + sizeof(struct iphdr) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return NULL;
	return eth;
}

static __always_inline void swap_macs(struct ethhdr *eth)
{
	__u8 mac[6];

	__builtin_memcpy(mac, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, mac, 6);
}

SEC("xdp")
int bench_xsk(struct xdp_md *ctx)
{
	if (!ipv4_frame(ctx))
		return XDP_PASS;
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

SEC("xdp")
int bench_tx(struct xdp_md *ctx)
{
	struct ethhdr *eth = ipv4_frame(ctx);

	if (!eth)
		return XDP_PASS;
	swap_macs(eth);
	return XDP_TX;
}

SEC("xdp")
int bench_redirect(struct xdp_md *ctx)
{
	struct ethhdr *eth = ipv4_frame(ctx);

	if (!eth)
		return XDP_PASS;
	swap_macs(eth);
	return bpf_redirect_map(&out_port, 0, XDP_DROP);
}

SEC("xdp")
int bench_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
