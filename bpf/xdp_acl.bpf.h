/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Access lists at the door: who may talk to a service, and how fast. Asked in one place
 * (transport() in lb_xdp.bpf.c), as soon as the service is known and before anything is decided,
 * forwarded or handed over: what a service's list denies reaches none of its real servers, by
 * neither engine. Not subject to it are ICMP errors, which come from routers, and pings.
 */
#ifndef XDP_ACL_BPF_H
#define XDP_ACL_BPF_H

#include "bpf/xdp_packet.bpf.h"

#define LB_ACL_MAP(name, key_type)                                                                 \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);                                               \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__uint(max_entries, 1);                                                            \
		__type(key, key_type);                                                             \
		__type(value, struct lb_acl_value);                                                \
	} name SEC(".maps")

LB_ACL_MAP(acl4, struct lb_acl_key4);
LB_ACL_MAP(acl6, struct lb_acl_key6);

/* CPUs that take from one limit at the same moment; one that loses so often finds it used up. */
#define ACL_TRIES 16

/*
 * Takes one packet from a limit (GCRA, ITU-T I.371): `next` is when the packets that passed would
 * end if they came evenly; a burst is how far ahead of now that may be.
 */
static __always_inline bool within_limit(struct lb_acl_value *entry)
{
	__u64 cost = 1000000000ull * LB_ACL_TICKS_PER_NS / entry->rate;
	__u64 now = bpf_ktime_get_ns() * LB_ACL_TICKS_PER_NS;
	__u64 latest = now + cost * entry->burst;

	LB_NO_UNROLL
	for (int i = 0; i < ACL_TRIES; i++) {
		__u64 before = *(volatile __u64 *)&entry->next;
		__u64 after = (before > now ? before : now) + cost;

		if (after > latest)
			return false;
#ifdef LB_EXPLAIN
		return true; /* and takes nothing */
#endif
		if (__sync_val_compare_and_swap(&entry->next, before, after) == before)
			return true;
	}
	return false;
}

/* Counts, unless somebody only asks what would be. */
static __always_inline void count_acl(__u64 *counter, __u64 add)
{
#ifndef LB_EXPLAIN
	__sync_fetch_and_add(counter, add);
#endif
}

static __always_inline struct lb_acl_value *acl_entry4(const struct packet *p, __u32 service_id)
{
	struct lb_acl_key4 key = {.prefix_bits = LB_ACL_BITS(32), .service_id = service_id};

	*(__u32 *)key.addr = p->flow.client[0];
	return bpf_map_lookup_elem(&acl4, &key);
}

static __always_inline struct lb_acl_value *acl_entry6(const struct packet *p, __u32 service_id)
{
	struct lb_acl_key6 key = {.prefix_bits = LB_ACL_BITS(128), .service_id = service_id};

	__builtin_memcpy(key.addr, p->flow.client, sizeof(key.addr));
	return bpf_map_lookup_elem(&acl6, &key);
}

/* 0: the packet may go on; else the reason to drop it + 1. REQUIRES: LB_SVC_ACL. */
static __noinline int ask_acl(const struct packet *p, const struct lb_index_slot *service)
{
	struct lb_acl_value *entry = p->flow.family == 4 ? acl_entry4(p, service->service_id)
							 : acl_entry6(p, service->service_id);

	if (!entry)
		return 0;
	count_acl(&entry->packets, 1);
	count_acl(&entry->bytes, p->frame_bytes);
	if (entry->rate == LB_ACL_ALLOW)
		return 0;
	if (entry->rate == LB_ACL_DENY)
		return LB_DROP_AclDenied + 1;
	if (within_limit(entry))
		return 0;
	count_acl(&entry->over, 1);
	return LB_DROP_RateLimited + 1;
}

#endif
