/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The short way: an untagged TCP or UDP packet without options, for a hashed service in steady
 * state, that can be sent as it is. Nearly every packet is one. The short way decides nothing that
 * the long way (lb_xdp.bpf.c) would not decide the same: where anything is odd it answers GO_ON,
 * and it neither counts nor writes before it is sure. What it knows of a packet stays in registers.
 */
#ifndef XDP_SHORTCUT_BPF_H
#define XDP_SHORTCUT_BPF_H

#include "bpf/xdp_send.bpf.h"

/* What of a packet decides, beside its addresses. */
struct short_packet {
	__u32 ports_raw;
	__u32 l3_bytes;
	__u32 proto;
};

/* Reads the transport header: `l4_bytes` of IP packet, TCP_BYTES of frame. False: look closer. */
static __always_inline bool short_l4(struct short_packet *p, const void *l4, __u32 l4_bytes)
{
	__u32 ports = *(const __u32 *)l4;

	p->ports_raw = ports;
	if (!(__u16)ports || !(ports >> 16))
		return false;
	if (p->proto == IPPROTO_TCP) {
		__u32 word = bpf_ntohs(*(const __be16 *)(l4 + 12));
		__u32 header = (word >> 12) * 4;

		if (header < TCP_BYTES || header > l4_bytes || !(word & 0x3f))
			return false;
		return !(word & TCP_SYN && word & (TCP_FIN | TCP_RST));
	}
	if (p->proto == IPPROTO_UDP) {
		__u32 length = bpf_ntohs(*(const __be16 *)(l4 + 4));

		return length >= UDP_BYTES && length <= l4_bytes;
	}
	return false;
}

/* A SYN without ACK. */
static __always_inline bool short_opens(const struct short_packet *p, const void *l4)
{
	return p->proto == IPPROTO_TCP &&
	       (*(const __u8 *)(l4 + 13) & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The slot of a service that remembers nothing, or NULL: look closer. */
static __always_inline const struct lb_index_slot *
short_service(const struct lb_index_head *index, __u64 addr0, __u64 addr1, __u32 what)
{
	__u32 at = lb_hash_vip(addr0, addr1, what, &index->index_key);
	const struct lb_index_slot *slot = index_slot(index, at);
	const __u64 *addr = (const __u64 *)slot->key.addr;
	int range;

	/* The second word of an IPv4 address is 0 in every key. */
	if (*(const __u32 *)&slot->key.port_be != what || addr[0] != addr0 ||
	    (what >> 24 == 6 && addr[1] != addr1)) {
		if (slot->key.family) /* the service on this port may be further on */
			return NULL;
		range = look_for_range(addr0, addr1, what, index->generation);
		if (range < 0)
			return NULL;
		slot = index_slot(index, range);
	}
	return *(const __u32 *)&slot->flags == LB_SLOT_BY_FLOW ? slot : NULL; /* and no flags */
}

static __always_inline bool may_be_vip(const struct lb_index_head *index, __u64 addr0, __u64 addr1)
{
	__u32 bit = lb_bloom_bit(addr0, addr1);

	return index->vip_bloom[(bit >> 6) & (LB_BLOOM_WORDS - 1)] >> (bit & 63) & 1;
}

/* The owner of a slot that is closed and has no exceptions. What else a hot word can say is no
 * member's index. */
static __always_inline const struct lb_rs_entry *owner_in(const void *table, __u64 hash,
							  __u64 slot_key, __u64 hot_offset,
							  __u64 slots_max, __u64 members_max,
							  __u32 *member)
{
	const struct lb_table_head *head = table;
	__u64 slot = lb_hash_slot(hash, slot_key, head->slots), word;

	barrier_var(slot);
	if (slot >= slots_max)
		return NULL;
	barrier_var(slot);
	word = *(const __u16 *)(table + hot_offset + slot * sizeof(__u16));
	if (word >= members_max)
		return NULL;
	barrier_var(word);
	*member = word;
	return table + sizeof(*head) + word * sizeof(struct lb_rs_entry);
}

#define OWNER_IN_CLASS(n)                                                                          \
	case n:                                                                                    \
		inner = bpf_map_lookup_elem(&tables##n, &service->table_key);                      \
		table = inner ? bpf_map_lookup_elem(inner, &zero) : NULL;                          \
		asm volatile("# short " #n);                                                       \
		return table ? owner_in(table, hash, service->slot_key,                            \
					HOT_OFFSET(LB_TABLE_MEMBERS##n), LB_TABLE_SLOTS##n,        \
					LB_TABLE_MEMBERS##n, member)                               \
			     : NULL

static __always_inline const struct lb_rs_entry *short_owner(const struct lb_index_slot *service,
							     __u64 hash, __u32 *member)
{
	__u32 zero = 0;
	const void *table;
	void *inner;

	switch (service->table >> 24) {
		OWNER_IN_CLASS(1);
		OWNER_IN_CLASS(0);
		OWNER_IN_CLASS(2);
	}
	return NULL;
}

/* vlan, flags, egress, mtu of a struct lb_rs_entry in one word. */
#define RS_PLAIN_MASK ((LB_RS_HAS_MAC | LB_RS_EGRESS_UP) << 16 | 0xffffu)
#define RS_PLAIN ((LB_RS_HAS_MAC | LB_RS_EGRESS_UP) << 16)

/* XDP_TX, XDP_REDIRECT, or GO_ON. An entry that is no member's has no flags. */
static __always_inline int short_way_out(const struct lb_rs_entry *rs, __u32 l3_bytes)
{
	__u64 word;
	__u32 port;

	if (!rs)
		return GO_ON;
	word = *(const __u64 *)&rs->vlan;
	if (((__u32)word & RS_PLAIN_MASK) != RS_PLAIN || l3_bytes > word >> 48)
		return GO_ON;
	port = (word >> 32) & 0xffff;
	if (port == settings.short_port)
		return XDP_TX;
	if (port == settings.port || !(settings.sends >> (port & 31) & 1))
		return GO_ON;
	return bpf_redirect_map(&devs, port, XDP_ABORTED) == XDP_REDIRECT ? XDP_REDIRECT : GO_ON;
}

static __always_inline int short_sent(__u32 rs_id, __u32 frame_bytes, bool opens, int verdict)
{
	count_sent(rs_id, frame_bytes, opens);
	return count(LB_XDP_SENT + (verdict - XDP_TX), verdict);
}
_Static_assert(LB_XDP_REDIRECTED - LB_XDP_SENT == XDP_REDIRECT - XDP_TX, "counted by verdict");

#ifdef LB_BENCH_LRU
/* bench_lru.bpf.c: what it costs to know every flow. */
struct lru_key {
	__u64 words[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, struct lru_key);
	__type(value, __u32);
} lru SEC(".maps");

static __noinline void know(__u64 client0, __u64 client1, __u64 vip0, __u64 vip1, __u64 rest)
{
	struct lru_key key = {{client0, client1, vip0, vip1, rest}};
	__u32 new = 0, *known = bpf_map_lookup_elem(&lru, &key);

	if (known)
		++*known;
	else
		bpf_map_update_elem(&lru, &key, &new, BPF_ANY);
}
#else
static __always_inline void know(__u64 client0, __u64 client1, __u64 vip0, __u64 vip1, __u64 rest)
{
}
#endif

static __always_inline void write_macs(void *data, const struct lb_rs_entry *rs)
{
	const __u32 *macs = (const __u32 *)rs->macs;
	__u32 *to = data;

	to[0] = macs[0];
	to[1] = macs[1];
	to[2] = macs[2];
}

/* The first eight bytes of an IPv4 header: version and length of the header, and the fragment's
 * bits, as they are in a packet of the short way. */
#define IPV4_WHOLE_MASK ((__u64)bpf_htons(IP_OFFSET | IP_MORE_FRAGMENTS) << 48 | 0xff)
#define IPV4_WHOLE 0x45

static __always_inline int short_ipv4(struct xdp_md *ctx, const struct lb_index_head *index,
				      void *data, void *end)
{
	struct iphdr *ip = data + sizeof(struct ethhdr);
	const struct lb_index_slot *service;
	const struct lb_rs_entry *rs;
	struct short_packet p;
	__u64 head = *(const __u64 *)ip;
	__u32 member = 0, first = ip->saddr & 0xff, word = *(const __u32 *)&ip->ttl;
	int verdict;

	p.l3_bytes = bpf_ntohs(head >> 16);
	p.proto = word >> 8 & 0xff;
	if ((head & IPV4_WHOLE_MASK) != IPV4_WHOLE || p.l3_bytes < sizeof(*ip) ||
	    p.l3_bytes > end - (void *)ip || (word & 0xff) <= 1)
		return GO_ON;
	if (!short_l4(&p, ip + 1, p.l3_bytes - sizeof(*ip)))
		return GO_ON;
	service = short_service(index, ip->daddr, 0, what_of(4, p.proto, p.ports_raw >> 16));
	/* Sources that may be no host's, or a VIP's. */
	if (!service || first == 0 || first == 127 || first >= 224 ||
	    may_be_vip(index, ip->saddr, 0))
		return GO_ON;
	rs = short_owner(
		service,
		lb_hash_flow4(ip->saddr, ip->daddr, p.ports_raw, p.proto, &index->flow_key),
		&member);
	verdict = short_way_out(rs, p.l3_bytes);
	if (verdict == GO_ON)
		return GO_ON;
	know(ip->saddr, 0, ip->daddr, 0, p.ports_raw | (__u64)p.proto << 32);
	write_macs(data, rs);
	if (index->flags & LB_INDEX_DECREMENT_TTL)
		*(__u32 *)&ip->ttl = lb_ttl_less(word);
	return short_sent(rs_id_at(index, service, member), end - data, short_opens(&p, ip + 1),
			  verdict);
}

static __noinline int short_ipv6(struct xdp_md *ctx, const struct lb_index_head *index, void *data,
				 void *end)
{
	struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	const __u64 *client = (const __u64 *)&ip->saddr, *vip = (const __u64 *)&ip->daddr;
	const struct lb_index_slot *service;
	const struct lb_rs_entry *rs;
	struct short_packet p;
	__u32 member = 0;
	int verdict;

	if ((void *)(ip + 1) + TCP_BYTES > end)
		return GO_ON;
	p.l3_bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p.proto = ip->nexthdr;
	if (*(__u8 *)ip >> 4 != 6 || p.l3_bytes > end - (void *)ip || ip->hop_limit <= 1)
		return GO_ON;
	if (!short_l4(&p, ip + 1, p.l3_bytes - sizeof(*ip)))
		return GO_ON;
	service = short_service(index, vip[0], vip[1], what_of(6, p.proto, p.ports_raw >> 16));
	if (!service || (client[0] & 0xff) == 0xff || !client[0] ||
	    may_be_vip(index, client[0], client[1]))
		return GO_ON;
	rs = short_owner(service,
			 lb_hash_flow6(client, vip, p.ports_raw, p.proto, &index->flow_key),
			 &member);
	verdict = short_way_out(rs, p.l3_bytes);
	if (verdict == GO_ON)
		return GO_ON;
	know(client[0], client[1], vip[0], vip[1], p.ports_raw | (__u64)p.proto << 32);
	write_macs(data, rs);
	if (index->flags & LB_INDEX_DECREMENT_TTL)
		ip->hop_limit--;
	return short_sent(rs_id_at(index, service, member), end - data, short_opens(&p, ip + 1),
			  verdict);
}

static __always_inline bool takes_short_way(const void *mac)
{
	return *(const __u64 *)mac << 16 == settings.short_mac ||
	       (settings.short_mac != LB_NO_SHORT_MAC && is_virtual_mac(mac));
}

static __always_inline int short_way(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	const struct lb_index_head *index;
	struct ethhdr *eth = data;

	if (data + sizeof(*eth) + sizeof(struct iphdr) + TCP_BYTES > data_end ||
	    !takes_short_way(data))
		return GO_ON;
	index = current_index();
	if (!index)
		return GO_ON;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return short_ipv4(ctx, index, data, data_end);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return short_ipv6(ctx, index, data, data_end);
	return GO_ON;
}

#endif
