/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Look-ups of the XDP program: the index, the tables, the flow memory. Nothing here decides.
 */
#ifndef XDP_LOOKUP_BPF_H
#define XDP_LOOKUP_BPF_H

#include "bpf/xdp_packet.bpf.h"

#define INDEX_SLOTS_OFFSET sizeof(struct lb_index_head)

static __always_inline const struct lb_index_slot *index_slot(const void *index, __u32 at)
{
	return index + INDEX_SLOTS_OFFSET + (at & index_mask) * sizeof(struct lb_index_slot);
}

static __always_inline const struct lb_index_range *index_range(const void *index, __u32 at)
{
	return index + INDEX_SLOTS_OFFSET + (index_mask + 1) * sizeof(struct lb_index_slot) +
	       (at & range_mask) * sizeof(struct lb_index_range);
}

/* Who the member with this index is for the service: the id of a real server; 0: nobody. */
static __always_inline __u32 rs_id_at(const void *index, const struct lb_index_slot *service,
				      __u32 member)
{
	const __u32 *ids = index + ids_offset;

	return ids[(service->list_first + member) & ids_mask];
}

static __always_inline __u32 rs_id_of(const void *index, const struct lb_index_slot *service,
				      const struct lb_rs_entry *rs)
{
	return rs_id_at(index, service, rs->place - 1);
}

static __always_inline const struct lb_index_head *current_index(void)
{
	__u32 zero = 0;
	void *inner = bpf_map_lookup_elem(&vip_index, &zero);

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

/* What is looked for in the index, by functions that the verifier checks once and for themselves.
 */
struct index_query {
	__u64 addr[2];
	__u64 generation; /* of the index that the caller has */
	__u32 what;	  /* as lb_hash_vip() takes it */
	__u16 port;	  /* of find_range(), host order */
	__u16 reserved;
};

static __always_inline bool has_key(const struct lb_index_slot *slot, const __u64 *addr, __u32 what)
{
	const __u64 *words = (const __u64 *)slot->key.addr;

	return *(const __u32 *)&slot->key.port_be == what && words[0] == addr[0] &&
	       words[1] == addr[1];
}

static __always_inline int probe(const struct lb_index_head *index, const __u64 *addr, __u32 what)
{
	__u32 at = lb_hash_vip(addr[0], addr[1], what, &index->index_key);

	LB_NO_UNROLL
	for (__u32 i = 0; i < LB_INDEX_PROBES; i++) {
		const struct lb_index_slot *slot = index_slot(index, at + i);

		if (has_key(slot, addr, what))
			return (at + i) & index_mask;
		if (!slot->key.family)
			break;
	}
	return -1;
}

/* The slot with this key, or -1. */
__noinline int find_further(struct index_query *query)
{
	const struct lb_index_head *index = current_index();

	return index && query ? probe(index, query->addr, query->what) : -1;
}

/* The slot of the service whose range takes this port; -1: there is none; -2: the index is another
 * one by now. */
__noinline int find_range_slot(struct index_query *query)
{
	const struct lb_index_head *index = current_index();
	const struct lb_index_slot *group;
	int at;

	if (!index || !query || index->generation != query->generation)
		return -2;
	at = probe(index, query->addr, query->what);
	if (at < 0)
		return -1;
	group = index_slot(index, at);
	LB_NO_UNROLL
	for (__u32 i = 0; i < LB_PORT_RANGES_MAX + 1; i++) {
		const struct lb_index_range *range;

		if (i >= group->list_count)
			break;
		range = index_range(index, group->list_first + i);
		if (query->port >= range->first && query->port <= range->last)
			return range->slot & index_mask;
	}
	return -1;
}

static __always_inline __u32 what_of(__u8 family, __u8 proto, __u16 port_be)
{
	return port_be | (__u32)proto << 16 | (__u32)family << 24;
}

/* find_further() with a query on a stack of its own. */
static __noinline int look_further(__u64 addr0, __u64 addr1, __u32 what)
{
	struct index_query query = {{addr0, addr1}, 0, what, 0, 0};

	return find_further(&query);
}

/* find_range_slot() with a query on a stack of its own. `what`: as of a service on one port. */
static __noinline int look_for_range(__u64 addr0, __u64 addr1, __u32 what, __u64 generation)
{
	struct index_query query = {
		.addr = {addr0, addr1},
		.generation = generation,
		.what = what & ~0xffffu,
		.port = bpf_ntohs(what),
	};

	return find_range_slot(&query);
}

/* The slot with this key, or NULL. Nearly always it is the first one. */
static __always_inline const struct lb_index_slot *find_key(const struct lb_index_head *index,
							    const __u64 *addr, __u32 what)
{
	__u32 at = lb_hash_vip(addr[0], addr[1], what, &index->index_key);
	const struct lb_index_slot *slot = index_slot(index, at);
	int further;

	if (has_key(slot, addr, what))
		return slot;
	if (!slot->key.family)
		return NULL;
	further = look_further(addr[0], addr[1], what);
	if (further < 0)
		return NULL;
	slot = index_slot(index, further);
	return has_key(slot, addr, what) ? slot : NULL; /* the index may be another one by now */
}

static __always_inline const struct lb_index_slot *find_vip(const struct packet *p,
							    const __u64 *addr)
{
	return find_key(p->index, addr, what_of(p->flow.family, 0, 0));
}

/* Most sources are no VIP, and a bit of the filter says so. */
static __always_inline bool is_vip(const struct packet *p, const __u64 *addr)
{
	__u32 bit = lb_bloom_bit(addr[0], addr[1]);

	if (!(p->index->vip_bloom[(bit >> 6) & (LB_BLOOM_WORDS - 1)] >> (bit & 63) & 1))
		return false;
	return find_vip(p, addr) != NULL;
}

/* Room and offsets by class: constants that the verifier follows. */
#define BY_CLASS(t, zero, one, two) ((t)->class == 0 ? (zero) : (t)->class == 1 ? (one) : (two))
#define HOT_OFFSET(members)                                                                        \
	(sizeof(struct lb_table_head) +                                                            \
	 (members) * (sizeof(struct lb_rs_entry) + sizeof(struct lb_rs_name)))
#define STATES_OFFSET(n) (HOT_OFFSET(LB_TABLE_MEMBERS##n) + LB_TABLE_SLOTS##n * sizeof(__u16))

/*
 * The mark at its end keeps clang from making one call of the three, by a pointer to one of three
 * maps: such a call is not inlined by the kernel.
 */
#define TABLE_OF_CLASS(n)                                                                          \
	case n:                                                                                    \
		t->class = n;                                                                      \
		inner = bpf_map_lookup_elem(&tables##n, &key);                                     \
		t->at = inner ? bpf_map_lookup_elem(inner, &zero) : NULL;                          \
		asm volatile("# class " #n);                                                       \
		break

static __always_inline bool find_table(__u32 ref, struct table *t)
{
	__u32 key = ref & LB_TABLE_KEY_MASK, zero = 0;
	void *inner;

	switch (ref >> 24) {
		TABLE_OF_CLASS(1);
		TABLE_OF_CLASS(0);
		TABLE_OF_CLASS(2);
	default:
		return false;
	}
	return t->at != NULL;
}

/* In the next three, what is compared is what is used, and in this order: hence the barriers. */
static __always_inline const struct lb_rs_entry *member(const struct table *t, __u64 index)
{
	barrier_var(index);
	if (index >= BY_CLASS(t, LB_TABLE_MEMBERS0, LB_TABLE_MEMBERS1, LB_TABLE_MEMBERS2))
		return NULL;
	barrier_var(index);
	return t->at + sizeof(struct lb_table_head) + index * sizeof(struct lb_rs_entry);
}

/* What is known of a slot; NOBODY and closed when the table is not what it should be. */
static __always_inline __u32 hot_word(const struct table *t, __u64 slot)
{
	barrier_var(slot);
	if (slot >= BY_CLASS(t, LB_TABLE_SLOTS0, LB_TABLE_SLOTS1, LB_TABLE_SLOTS2))
		return LB_SLOT_NOBODY;
	barrier_var(slot);
	return *(const __u16 *)(t->at +
				BY_CLASS(t, HOT_OFFSET(LB_TABLE_MEMBERS0),
					 HOT_OFFSET(LB_TABLE_MEMBERS1),
					 HOT_OFFSET(LB_TABLE_MEMBERS2)) +
				slot * sizeof(__u16));
}

static __always_inline __u32 slot_state(const struct table *t, __u64 slot)
{
	barrier_var(slot);
	if (slot >= BY_CLASS(t, LB_TABLE_SLOTS0, LB_TABLE_SLOTS1, LB_TABLE_SLOTS2))
		return 0;
	barrier_var(slot);
	return *(const __u32 *)(t->at +
				BY_CLASS(t, STATES_OFFSET(0), STATES_OFFSET(1), STATES_OFFSET(2)) +
				slot * sizeof(__u32));
}

/* A member by the id of its RS, wherever a flow entry got it from. */
static __always_inline const struct lb_rs_entry *
member_of(const struct packet *p, const struct lb_index_slot *service, __u32 rs_id)
{
	__u32 slot = rs_id & 0xffff;
	const struct lb_rs_member *at = bpf_map_lookup_elem(&rs_members, &slot);
	const struct lb_rs_entry *rs = at ? member(&p->table, at->now) : NULL;

	if (rs && rs->place && rs_id_of(p->index, service, rs) == rs_id)
		return rs;
	rs = at ? member(&p->table, at->next) : NULL;
	return rs && rs->place && rs_id_of(p->index, service, rs) == rs_id ? rs : NULL;
}

static __always_inline __u64 flow_hash(const struct packet *p)
{
	const struct lb_hash_key *key = &p->index->flow_key;

	if (p->flow.family == 4)
		return lb_hash_flow4(p->flow.client[0], p->flow.vip[0], p->flow.ports_raw,
				     p->flow.proto, key);
	return lb_hash_flow6(p->flow.client, p->flow.vip, p->flow.ports_raw, p->flow.proto, key);
}

/* What the slot is chosen by, when that is one address alone. */
static __always_inline __u64 address_hash(const struct packet *p, bool by_client)
{
	const struct lb_hash_key *key = &p->index->flow_key;
	__u64 none[2] = {};

	if (p->flow.family == 4)
		return lb_hash_flow4(by_client ? p->flow.client[0] : 0,
				     by_client ? 0 : p->flow.vip[0], 0, 0, key);
	return lb_hash_flow6(by_client ? p->flow.client : none, by_client ? none : p->flow.vip, 0,
			     0, key);
}

#endif
