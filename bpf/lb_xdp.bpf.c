// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The XDP program of a port. It passes what is not ours, drops what no stack should see, forwards
 * what it can decide by itself (xdp_decide.bpf.h), and hands to the AF_XDP worker of its queue what
 * it cannot. This file reads headers: whom a packet is for. Every length is checked, by the IP
 * header and by the frame; the worker checks them again.
 */
#include "bpf/xdp_acl.bpf.h"
#include "bpf/xdp_decide.bpf.h"
#include "bpf/xdp_shortcut.bpf.h"

#define EXT_HOP_BY_HOP 0
#define EXT_ROUTING 43
#define EXT_FRAGMENT 44
#define EXT_AUTH 51
#define EXT_DEST_OPTIONS 60

char _license[] SEC("license") = "Dual BSD/GPL";

/* A packet for a VIP that no service takes. */
static __always_inline int unmatched(const struct packet *p, const struct lb_index_slot *vip)
{
	return vip->flags & LB_VIP_PASS_UNMATCHED ? pass(p) : drop(p, LB_DROP_VipUnmatched);
}

static __always_inline bool is_tag(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

static __always_inline bool has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

/* Frames for another machine reach us from a switch that floods. */
static __always_inline bool for_this_port(const __u8 *mac)
{
	const __u16 *a = (const __u16 *)mac, *b = (const __u16 *)settings.mac;
	bool ours = a[0] == b[0] && a[1] == b[1] && a[2] == b[2];

	return ours || !settings.mac_valid || is_virtual_mac(mac);
}

static __always_inline bool bad_source(const struct packet *p)
{
	if (p->flow.family == 4) {
		__u32 source = bpf_ntohl(p->flow.client[0]);

		return source == 0 || source >> 24 == 127 || source >> 28 == 14 || source == ~0u;
	}
	return (p->flow.client[0] & 0xff) == 0xff ||
	       (p->flow.client[0] == 0 &&
		(p->flow.client[1] == 0 || p->flow.client[1] == bpf_cpu_to_be64(1)));
}

/* What is wrong with a transport header: a drop reason + 1, or 0. In the order of parse.cc. */
static __always_inline int check_l4(struct packet *p)
{
	__u16 source = p->flow.ports_raw, destination = p->flow.ports_raw >> 16;

	if (p->flow.proto == IPPROTO_TCP) {
		__u16 word = bpf_ntohs(p->offset_flags);
		__u32 header = (word >> 12) * 4;

		if (p->l4_bytes < TCP_BYTES)
			return LB_DROP_Truncated + 1;
		if (header < TCP_BYTES || header > p->l4_bytes)
			return LB_DROP_BadL4Header + 1;
		p->tcp_flags = word;
		if (!(word & 0x3f) || (word & TCP_SYN && word & (TCP_FIN | TCP_RST)))
			return LB_DROP_BadFlags + 1;
	} else if (p->flow.proto == IPPROTO_UDP) {
		__u16 length = bpf_ntohs(p->udp_length);

		if (p->l4_bytes < UDP_BYTES)
			return LB_DROP_Truncated + 1;
		if (length < UDP_BYTES || length > p->l4_bytes)
			return LB_DROP_BadL4Header + 1;
	} else if (p->l4_bytes < SCTP_BYTES) {
		return LB_DROP_Truncated + 1;
	}
	if (!destination || (!source && p->flow.proto != IPPROTO_UDP))
		return LB_DROP_BadL4Header + 1;
	return 0;
}

/* TCP, UDP or SCTP with its ports. */
static __always_inline int transport(struct xdp_md *ctx, struct packet *p)
{
	const struct lb_index_slot *service = NULL, *vip;
	__u16 port_be = p->flow.ports_raw >> 16;
	__u32 what = what_of(p->flow.family, p->flow.proto, port_be);
	int bad, at;

	if (port_be) /* 0 is the key of the ranges */
		service = find_key(p->index, p->flow.vip, what);
	if (!service) {
		vip = find_vip(p, p->flow.vip);
		if (!vip)
			return pass(p);
		at = look_for_range(p->flow.vip[0], p->flow.vip[1], what, p->index->generation);
		if (at == -2) { /* the index was replaced under our feet: once, then it waits */
			p->index = current_index();
			at = p->index ? look_for_range(p->flow.vip[0], p->flow.vip[1], what,
						       p->index->generation)
				      : -2;
			if (at == -2)
				return drop(p, LB_DROP_NoSocket);
		}
		if (at < 0)
			return unmatched(p, vip);
		service = index_slot(p->index, at);
	}
	note_service(p, service);
	if (service->flags & LB_SVC_ACL) {
		bad = ask_acl(p, service);
		if (bad)
			return drop_of(p, bad - 1, service);
	}
	if (p->fragment || settings.engine == LB_ENGINE_AFXDP) {
		__u32 reason = p->fragment ? LB_HAND_Fragment : LB_HAND_Engine;

		if (hand_over(ctx, p, reason, service->service_id))
			return XDP_REDIRECT;
		if (p->fragment)
			return drop_of(p, LB_DROP_NoSocket, service);
		count(LB_XDP_ALONE, 0);
	}
	if (bad_source(p))
		return drop_of(p, LB_DROP_BadSource, service);
	bad = check_l4(p);
	if (bad)
		return drop_of(p, bad - 1, service);
	return balance(ctx, p, service);
}

/* ICMP for a VIP: errors and answered echo to the worker, echo with icmp_echo = "pass" and ND to
 * the kernel. */
static __always_inline int icmp(struct xdp_md *ctx, const struct packet *p,
				const struct lb_index_slot *vip)
{
	bool v6 = p->flow.proto == IPPROTO_ICMPV6;
	__u8 type;

	if (p->fragment) /* the kernel puts it together and answers */
		return pass(p);
	if (p->l4_offset + 8 > p->end || bpf_xdp_load_bytes(ctx, p->l4_offset, &type, 1))
		return drop(p, LB_DROP_Truncated);
	if (v6 ? type == 128 : type == 8)
		return vip->flags & LB_VIP_ECHO_REPLY
			       ? hand_or_drop(ctx, p, LB_HAND_Icmp, LB_DROP_NoSocket)
			       : pass(p);
	if (v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12)
		return hand_or_drop(ctx, p, LB_HAND_Icmp, LB_DROP_NoSocket);
	if (v6 && type >= 130 && type <= 143) /* MLD, ND */
		return pass(p);
	return unmatched(p, vip);
}

/*
 * A later fragment has no ports. It follows its first one to the kernel where no service can have
 * taken that; an IPv6 one may carry further extension headers first: only the worker knows.
 */
static __always_inline int later_fragment(struct xdp_md *ctx, const struct packet *p,
					  const struct lb_index_slot *vip)
{
	__u32 passes = p->flow.proto == IPPROTO_TCP    ? LB_VIP_PASS_LATER_TCP
		       : p->flow.proto == IPPROTO_UDP  ? LB_VIP_PASS_LATER_UDP
		       : p->flow.proto == IPPROTO_SCTP ? LB_VIP_PASS_LATER_SCTP
						       : 0;

	return vip->flags & passes ? pass(p)
				   : hand_or_drop(ctx, p, LB_HAND_Fragment, LB_DROP_NoSocket);
}

/* What is not the common case: by copies, with the offsets in `p`. */
static __noinline int other(struct xdp_md *ctx, struct packet *p)
{
	const struct lb_index_slot *vip = find_vip(p, p->flow.vip);
	bool v6 = p->flow.family == 6;
	__u8 header[16] = {};

	if (!vip)
		return pass(p);
	if (p->flow.proto == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return icmp(ctx, p, vip);
	if (v6 && p->later_fragment)
		return later_fragment(ctx, p, vip);
	if (!has_ports(p->flow.proto))
		return unmatched(p, vip);
	if (p->later_fragment)
		return later_fragment(ctx, p, vip);
	p->l4_bytes = p->end > p->l4_offset ? p->end - p->l4_offset : 0;
	if (p->l4_bytes < 4 || bpf_xdp_load_bytes(ctx, p->l4_offset, header, 4))
		return drop(p, p->fragment ? LB_DROP_FragmentBad : LB_DROP_Truncated);
	if (p->l4_bytes >= UDP_BYTES)
		bpf_xdp_load_bytes(ctx, p->l4_offset + 4, header + 4, 4);
	if (p->l4_bytes >= TCP_BYTES)
		bpf_xdp_load_bytes(ctx, p->l4_offset + 12, header + 12, 4);
	p->flow.ports_raw = *(__u32 *)header;
	p->udp_length = *(__be16 *)(header + 4);
	p->offset_flags = *(__be16 *)(header + 12);
	return GO_ON;
}

/* The common case: the transport header follows at `at`. False: it has to be looked at again. */
static __always_inline bool read_l4(struct packet *p, const void *at, const void *end)
{
	p->l4_bytes = p->end - p->l4_offset;
	p->offset_flags = 0;
	if (p->flow.proto == IPPROTO_TCP) {
		if (p->l4_bytes < TCP_BYTES || at + TCP_BYTES > end)
			return false;
		p->offset_flags = *(const __be16 *)(at + 12);
	} else if (p->flow.proto == IPPROTO_UDP) {
		if (p->l4_bytes < UDP_BYTES || at + UDP_BYTES > end)
			return false;
	} else {
		return false;
	}
	p->udp_length = *(const __be16 *)(at + 4);
	p->flow.ports_raw = *(const __u32 *)at;
	return true;
}

/* Looks at an IPv4 header again. A verdict, or GO_ON. */
static __noinline int inspect_ipv4(struct xdp_md *ctx, struct packet *p)
{
	struct iphdr ip;
	__u16 fragment;

	if (!find_vip(p, p->flow.vip))
		return pass(p);
	if (p->l3_offset > L3_OFFSET_MAX)
		return drop(p, LB_DROP_VlanDepth);
	if (bpf_xdp_load_bytes(ctx, p->l3_offset, &ip, sizeof(ip)))
		return drop(p, LB_DROP_Truncated);
	if (ip.version != 4 || ip.ihl < 5 || p->l3_bytes < ip.ihl * 4)
		return drop(p, LB_DROP_BadIpHeader);
	p->l4_offset = p->l3_offset + ip.ihl * 4;
	if (p->end > p->frame_bytes)
		return drop(p, LB_DROP_Truncated);
	if (ip.ihl > 5)
		p->reason = LB_HAND_Options;
	fragment = bpf_ntohs(ip.frag_off);
	p->later_fragment = (fragment & IP_OFFSET) != 0;
	p->fragment = (fragment & (IP_OFFSET | IP_MORE_FRAGMENTS)) != 0;
	return GO_ON;
}

static __always_inline int ipv4(struct xdp_md *ctx, struct packet *p, void *l3)
{
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = l3;
	int verdict;

	if ((void *)(ip + 1) > end)
		return pass(p);
	p->flow.family = 4;
	p->flow.client[0] = ip->saddr;
	p->flow.client[1] = p->flow.vip[1] = 0;
	p->flow.vip[0] = ip->daddr;
	p->flow.proto = ip->protocol;
	p->ttl = ip->ttl;
	p->l3_bytes = bpf_ntohs(ip->tot_len);
	p->end = p->l3_offset + p->l3_bytes;
	p->l4_offset = p->l3_offset + sizeof(*ip);
	if (*(__u8 *)l3 == 0x45 && !(ip->frag_off & bpf_htons(IP_OFFSET | IP_MORE_FRAGMENTS)) &&
	    p->l3_offset <= L3_OFFSET_MAX && p->l3_bytes >= sizeof(*ip) &&
	    p->end <= p->frame_bytes && read_l4(p, ip + 1, end))
		return GO_ON;
	verdict = inspect_ipv4(ctx, p);
	return verdict == GO_ON ? other(ctx, p) : verdict;
}

/*
 * Walks the extension headers to the transport header or a later fragment. 0 when p->flow.proto is
 * what follows (known or not), else a drop reason + 1.
 */
static __noinline int walk_extensions(struct xdp_md *ctx, struct packet *p)
{
	__u8 header[8];

	if (!p)
		return 0;
	for (int i = 0; i < LB_EXT_HEADERS_MAX + 1; i++) {
		__u8 type = p->flow.proto;

		if (type != EXT_HOP_BY_HOP && type != EXT_ROUTING && type != EXT_FRAGMENT &&
		    type != EXT_AUTH && type != EXT_DEST_OPTIONS)
			return 0;
		if (i == LB_EXT_HEADERS_MAX)
			break;
		if (p->l4_offset + 8 > p->end ||
		    bpf_xdp_load_bytes(ctx, p->l4_offset, header, sizeof(header)))
			return LB_DROP_Truncated + 1;
		p->reason = LB_HAND_Options;
		p->flow.proto = header[0];
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

/* Looks at an IPv6 header and what extends it. A verdict, or GO_ON. */
static __noinline int inspect_ipv6(struct xdp_md *ctx, struct packet *p)
{
	__u8 first;
	int bad;

	if (!find_vip(p, p->flow.vip))
		return pass(p);
	if (p->l3_offset > L3_OFFSET_MAX)
		return drop(p, LB_DROP_VlanDepth);
	if (bpf_xdp_load_bytes(ctx, p->l3_offset, &first, 1) || first >> 4 != 6)
		return drop(p, LB_DROP_BadIpHeader);
	if (p->end > p->frame_bytes)
		return drop(p, LB_DROP_Truncated);
	bad = walk_extensions(ctx, p);
	return bad ? drop(p, bad - 1) : GO_ON;
}

static __always_inline int ipv6(struct xdp_md *ctx, struct packet *p, void *l3)
{
	void *end = (void *)(long)ctx->data_end;
	struct ipv6hdr *ip = l3;
	int verdict;

	if ((void *)(ip + 1) > end)
		return pass(p);
	p->flow.family = 6;
	__builtin_memcpy(p->flow.client, &ip->saddr, 16);
	__builtin_memcpy(p->flow.vip, &ip->daddr, 16);
	p->flow.proto = ip->nexthdr;
	p->ttl = ip->hop_limit;
	p->l3_bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->end = p->l3_offset + p->l3_bytes;
	p->l4_offset = p->l3_offset + sizeof(*ip);
	if (*(__u8 *)l3 >> 4 == 6 && p->l3_offset <= L3_OFFSET_MAX && p->end <= p->frame_bytes &&
	    read_l4(p, ip + 1, end))
		return GO_ON;
	verdict = inspect_ipv6(ctx, p);
	return verdict == GO_ON ? other(ctx, p) : verdict;
}

/*
 * Where the IP header of a tagged frame is, or 0: the frame ends before. Beyond L3_OFFSET_MAX: too
 * many tags. Not static: so the verifier looks at what follows once, not for each number of tags.
 */
__noinline int l3_offset_of_tagged(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	__u32 offset = sizeof(struct ethhdr);

	for (int i = 0; i < LB_VLAN_TAGS_MAX + 1; i++) {
		struct vlan_hdr *tag = data + offset;

		if ((void *)(tag + 1) > data_end)
			return 0;
		offset += sizeof(*tag);
		if (!is_tag(tag->h_vlan_encapsulated_proto))
			break;
	}
	return offset;
}

/* All that the short way does not take. */
static __noinline int long_way(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct packet p;
	struct ethhdr *eth = data;
	__u32 offset = sizeof(*eth);
	__be16 type, *inner;
	int verdict;

	if (settings.panic)
		return count(LB_XDP_PANIC_PASSED, XDP_PASS);
	p.frame_bytes = data_end - data;
	p.reason = LB_HAND_COUNT;
	p.fragment = p.later_fragment = p.tcp_flags = 0;
	p.offset_flags = p.udp_length = 0;
	p.index = current_index();
	if (!p.index || (void *)(eth + 1) > data_end || !for_this_port(eth->h_dest))
		return pass(&p);
	type = eth->h_proto;
	if (is_tag(type)) {
		offset = l3_offset_of_tagged(ctx);
		if (offset < sizeof(*eth) + sizeof(struct vlan_hdr) ||
		    offset > L3_OFFSET_MAX + sizeof(struct vlan_hdr))
			return pass(&p);
		offset -= sizeof(*inner);
		barrier_var(offset); /* a pointer is checked from itself on, not before itself */
		inner = data + offset;
		offset += sizeof(*inner);
		if ((void *)(inner + 1) > data_end)
			return pass(&p);
		type = *inner;
	}
	p.l3_offset = offset;
	if (type == bpf_htons(ETH_P_IP))
		verdict = ipv4(ctx, &p, data + offset);
	else if (type == bpf_htons(ETH_P_IPV6))
		verdict = ipv6(ctx, &p, data + offset);
	else
		return pass(&p);
	return verdict == GO_ON ? transport(ctx, &p) : verdict;
}

SEC("xdp")
int lb_xdp(struct xdp_md *ctx)
{
	int verdict = explains ? GO_ON : short_way(ctx);

	return verdict == GO_ON ? long_way(ctx) : verdict;
}
