// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The XDP program of a port: passes what is not ours, drops what no stack should see, and redirects
 * what belongs to a service to the AF_XDP socket of its queue. It decides by address, protocol and
 * port only; all else (flags, TTL, flows) is the worker's business, which checks every length
 * again.
 */
#include "bpf/vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/lb_abi.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88A8
#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET 0x1FFF

#define L3_OFFSET_MAX (sizeof(struct ethhdr) + LB_VLAN_TAGS_MAX * sizeof(struct vlan_hdr))

#define IPPROTO_ICMPV6 58 /* a macro in the UAPI, so not in vmlinux.h */
#define EXT_HOP_BY_HOP 0
#define EXT_ROUTING 43
#define EXT_FRAGMENT 44
#define EXT_AUTH 51
#define EXT_DEST_OPTIONS 60

char _license[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, LB_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LB_VIP_ENTRIES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lb_vip_key);
	__type(value, struct lb_vip_value);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lb_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LB_XDP_COUNTER_COUNT);
	__type(key, __u32);
	__type(value, struct lb_xdp_counter_value);
} xdp_counters SEC(".maps");

/* What the parser hands on: where the transport header lies, and whom the packet is for. */
struct packet {
	struct lb_vip_key key; /* the VIP; proto and port as far as they are known */
	__u32 l4_offset;
	__u32 end; /* end of the IP packet, from the frame's first byte */
	__u8 proto;
	__u8 later_fragment;
	__u8 fragment;
};

static __always_inline int count(struct xdp_md *ctx, __u32 index, int verdict)
{
	struct lb_xdp_counter_value *value = bpf_map_lookup_elem(&xdp_counters, &index);

	if (value) {
		value->packets++;
		value->bytes += bpf_xdp_get_buff_len(ctx);
	}
	return verdict;
}

static __always_inline int drop(struct xdp_md *ctx, enum lb_drop_reason reason)
{
	return count(ctx, reason, XDP_DROP);
}

static __always_inline int pass(struct xdp_md *ctx)
{
	return count(ctx, LB_XDP_PASSED, XDP_PASS);
}

static __always_inline int redirect(struct xdp_md *ctx)
{
	if (bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_ABORTED) != XDP_REDIRECT)
		return drop(ctx, LB_DROP_NoSocket);
	return count(ctx, LB_XDP_REDIRECTED, XDP_REDIRECT);
}

/* A packet for a VIP that no service takes. */
static __always_inline int unmatched(struct xdp_md *ctx, const struct lb_vip_value *vip)
{
	return vip->flags & LB_VIP_PASS_UNMATCHED ? pass(ctx) : drop(ctx, LB_DROP_VipUnmatched);
}

/* Frames for another machine reach us from a switch that floods; VRRP's virtual MACs count as ours.
 */
static __always_inline bool for_this_port(const struct lb_settings *config, const __u8 *mac)
{
	bool ours = true;

	for (int i = 0; i < 6; i++)
		ours &= mac[i] == config->mac[i];
	return ours || !config->mac_valid ||
	       (mac[0] == 0 && mac[1] == 0 && mac[2] == 0x5e && mac[3] == 0 &&
		(mac[4] == 1 || mac[4] == 2));
}

static __always_inline bool range_takes(const struct lb_vip_value *value, __u16 port)
{
	for (__u32 i = 0; i < LB_PORT_RANGES_MAX; i++) {
		if (i >= value->range_count)
			break;
		if (port >= value->ranges[i].first && port <= value->ranges[i].last)
			return true;
	}
	return false;
}

static __always_inline bool service_takes(struct packet *p, __u16 port_be)
{
	const struct lb_vip_value *value;

	p->key.proto = p->proto;
	p->key.port_be = port_be;
	if (port_be && bpf_map_lookup_elem(&vips, &p->key)) /* 0 is the key of the ranges */
		return true;
	p->key.port_be = 0;
	value = bpf_map_lookup_elem(&vips, &p->key);
	return value && range_takes(value, bpf_ntohs(port_be));
}

/* ICMP for a VIP: errors and answered echo to the worker, echo with icmp_echo = "pass" and ND to
 * the kernel. */
static __always_inline int icmp(struct xdp_md *ctx, const struct packet *p,
				const struct lb_vip_value *vip)
{
	bool v6 = p->proto == IPPROTO_ICMPV6;
	__u8 type;

	if (p->fragment) /* the kernel puts it together and answers */
		return pass(ctx);
	if (p->l4_offset + 8 > p->end || bpf_xdp_load_bytes(ctx, p->l4_offset, &type, 1))
		return drop(ctx, LB_DROP_Truncated);
	if (v6 ? type == 128 : type == 8)
		return vip->flags & LB_VIP_ECHO_REPLY ? redirect(ctx) : pass(ctx);
	if (v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12)
		return redirect(ctx);
	if (v6 && type >= 130 && type <= 143) /* MLD, ND */
		return pass(ctx);
	return unmatched(ctx, vip);
}

/*
 * A later fragment has no ports. It follows its first one to the kernel where no service can have
 * taken that; an IPv6 one may carry further extension headers first: only the worker knows.
 */
static __always_inline int later_fragment(struct xdp_md *ctx, const struct packet *p,
					  const struct lb_vip_value *vip)
{
	__u32 passes = p->proto == IPPROTO_TCP	  ? LB_VIP_PASS_LATER_TCP
		       : p->proto == IPPROTO_UDP  ? LB_VIP_PASS_LATER_UDP
		       : p->proto == IPPROTO_SCTP ? LB_VIP_PASS_LATER_SCTP
						  : 0;

	return vip->flags & passes ? pass(ctx) : redirect(ctx);
}

static __always_inline int transport(struct xdp_md *ctx, struct packet *p,
				     const struct lb_vip_value *vip)
{
	bool v6 = p->key.family == 6;
	__u16 ports[2];

	if (p->proto == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return icmp(ctx, p, vip);
	if (v6 && p->later_fragment)
		return later_fragment(ctx, p, vip);
	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP && p->proto != IPPROTO_SCTP)
		return unmatched(ctx, vip);
	if (p->later_fragment)
		return later_fragment(ctx, p, vip);
	if (p->l4_offset + sizeof(ports) > p->end ||
	    bpf_xdp_load_bytes(ctx, p->l4_offset, ports, sizeof(ports)))
		return drop(ctx, p->fragment ? LB_DROP_FragmentBad : LB_DROP_Truncated);
	return service_takes(p, ports[1]) ? redirect(ctx) : unmatched(ctx, vip);
}

static __always_inline int ipv4(struct xdp_md *ctx, void *l3, __u32 l3_offset)
{
	void *data_end = (void *)(long)ctx->data_end;
	const struct lb_vip_value *vip;
	struct iphdr *ip = l3;
	struct packet p = {};
	__u32 frame_bytes = bpf_xdp_get_buff_len(ctx);
	__u16 fragment;

	if ((void *)(ip + 1) > data_end)
		return pass(ctx);
	p.key.family = 4;
	__builtin_memcpy(p.key.addr, &ip->daddr, 4);
	vip = bpf_map_lookup_elem(&vips, &p.key);
	if (!vip)
		return pass(ctx);
	if (l3_offset > L3_OFFSET_MAX)
		return drop(ctx, LB_DROP_VlanDepth);
	if (ip->version != 4 || ip->ihl < 5 || bpf_ntohs(ip->tot_len) < ip->ihl * 4)
		return drop(ctx, LB_DROP_BadIpHeader);
	p.proto = ip->protocol;
	p.l4_offset = l3_offset + ip->ihl * 4;
	p.end = l3_offset + bpf_ntohs(ip->tot_len);
	if (p.end > frame_bytes)
		return drop(ctx, LB_DROP_Truncated);
	fragment = bpf_ntohs(ip->frag_off);
	p.later_fragment = (fragment & IP_OFFSET) != 0;
	p.fragment = (fragment & (IP_OFFSET | IP_MORE_FRAGMENTS)) != 0;
	return transport(ctx, &p, vip);
}

/*
 * Walks the extension headers to the transport header or a later fragment. 0 when p->proto is what
 * follows (known or not), else a drop reason + 1.
 */
static __noinline int walk_extensions(struct xdp_md *ctx, struct packet *p)
{
	__u8 header[8];

	if (!p)
		return 0;
	for (int i = 0; i < LB_EXT_HEADERS_MAX + 1; i++) {
		__u8 type = p->proto;

		if (type != EXT_HOP_BY_HOP && type != EXT_ROUTING && type != EXT_FRAGMENT &&
		    type != EXT_AUTH && type != EXT_DEST_OPTIONS)
			return 0;
		if (i == LB_EXT_HEADERS_MAX)
			break;
		if (p->l4_offset + 8 > p->end ||
		    bpf_xdp_load_bytes(ctx, p->l4_offset, header, sizeof(header)))
			return LB_DROP_Truncated + 1;
		p->proto = header[0];
		if (type == EXT_FRAGMENT) {
			__u16 field = (__u16)header[2] << 8 | header[3];

			p->l4_offset += 8;
			p->fragment |= (field & 0xfff9) != 0;
			p->later_fragment |= (field & 0xfff8) != 0;
			if (p->later_fragment)
				return 0;
		} else if (type == EXT_AUTH) {
			p->l4_offset += (header[1] + 2) * 4;
		} else {
			p->l4_offset += (header[1] + 1) * 8;
		}
	}
	return LB_DROP_ExtHeaders + 1;
}

static __always_inline int ipv6(struct xdp_md *ctx, void *l3, __u32 l3_offset)
{
	void *data_end = (void *)(long)ctx->data_end;
	const struct lb_vip_value *vip;
	struct ipv6hdr *ip = l3;
	struct packet p = {};
	__u32 frame_bytes = bpf_xdp_get_buff_len(ctx);
	int bad;

	if ((void *)(ip + 1) > data_end)
		return pass(ctx);
	p.key.family = 6;
	__builtin_memcpy(p.key.addr, &ip->daddr, 16);
	vip = bpf_map_lookup_elem(&vips, &p.key);
	if (!vip)
		return pass(ctx);
	if (l3_offset > L3_OFFSET_MAX)
		return drop(ctx, LB_DROP_VlanDepth);
	if (ip->version != 6)
		return drop(ctx, LB_DROP_BadIpHeader);
	p.proto = ip->nexthdr;
	p.l4_offset = l3_offset + sizeof(*ip);
	p.end = p.l4_offset + bpf_ntohs(ip->payload_len);
	if (p.end > frame_bytes)
		return drop(ctx, LB_DROP_Truncated);
	bad = walk_extensions(ctx, &p);
	if (bad)
		return drop(ctx, bad - 1);
	return transport(ctx, &p, vip);
}

SEC("xdp")
int lb_xdp(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	const struct lb_settings *config;
	struct ethhdr *eth = data;
	__u32 zero = 0, offset = sizeof(*eth);
	__u16 type;

	config = bpf_map_lookup_elem(&settings, &zero);
	if (!config)
		return XDP_PASS;
	if (config->panic)
		return count(ctx, LB_XDP_PANIC_PASSED, XDP_PASS);
	if ((void *)(eth + 1) > data_end || !for_this_port(config, eth->h_dest))
		return pass(ctx);
	type = eth->h_proto;
	for (int i = 0; i < LB_VLAN_TAGS_MAX + 1; i++) {
		struct vlan_hdr *tag = data + offset;

		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > data_end)
			return pass(ctx);
		type = tag->h_vlan_encapsulated_proto;
		offset += sizeof(*tag);
	}
	if (type == bpf_htons(ETH_P_IP))
		return ipv4(ctx, data + offset, offset);
	if (type == bpf_htons(ETH_P_IPV6))
		return ipv6(ctx, data + offset, offset);
	return pass(ctx);
}
