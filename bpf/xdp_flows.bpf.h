/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The flow memory as the XDP program reads it: the buckets of its own queue, whose worker may write
 * them at the same moment. An entry that is being written is not there.
 */
#ifndef XDP_FLOWS_BPF_H
#define XDP_FLOWS_BPF_H

#include "bpf/xdp_lookup.bpf.h"

static __always_inline bool stable(__u64 before, __u64 after)
{
	return !((before >> LB_STAMP_SEQUENCE_SHIFT) & 1) &&
	       before >> LB_STAMP_SEQUENCE_SHIFT == after >> LB_STAMP_SEQUENCE_SHIFT;
}

static __always_inline bool found(struct flow *flow, __u64 ids, __u64 stamp, __u32 seen)
{
	__u32 last = stamp;

	flow->rs_id = ids;
	flow->service_id = ids >> 32;
	flow->last_seen = (__s32)(seen - last) > 0 ? seen : last;
	flow->state = stamp >> LB_STAMP_STATE_SHIFT & 0xff;
	return true;
}

static __always_inline __u16 tag_at(const volatile __u64 *tags, __u32 slot)
{
	return tags[slot >> 2] >> (16 * (slot & 3));
}

/* The last word of a FlowKey. */
static __always_inline __u64 ports_of(const struct flow *flow)
{
	return flow->ports_raw | (__u64)flow->proto << 32;
}

/* Looks through flow->bucket. */
static __always_inline bool find_in4(__u16 tag, struct flow *flow)
{
	__u64 key0 = (__u32)flow->client[0] | flow->vip[0] << 32;
	__u32 at = flow->bucket;
	struct lb_flow_bucket4 *b = bpf_map_lookup_elem(&flows4, &at);

	if (!b)
		return false;
	LB_NO_UNROLL
	for (__u32 i = 0; i < LB_FLOW_SLOTS; i++) {
		const volatile struct lb_flow4 *f = &b->flows[i];
		__u64 stamp, ids;

		if (tag_at(b->tags, i) != tag)
			continue;
		stamp = f->stamp;
		if (f->key[0] != key0 || f->key[1] != ports_of(flow))
			continue;
		ids = f->ids;
		if (!stable(stamp, f->stamp))
			continue;
		flow->at = i;
		return found(flow, ids, stamp, *(volatile __u32 *)&b->seen[i]);
	}
	return false;
}

static __always_inline bool find_in6(__u16 tag, struct flow *flow)
{
	__u32 at = flow->bucket;
	struct lb_flow_bucket6 *b = bpf_map_lookup_elem(&flows6, &at);

	if (!b)
		return false;
	LB_NO_UNROLL
	for (__u32 i = 0; i < LB_FLOW_SLOTS; i++) {
		const volatile struct lb_flow6 *f = &b->flows[i];
		__u64 stamp, ids;

		if (tag_at(b->tags, i) != tag)
			continue;
		stamp = f->stamp;
		if (f->key[0] != flow->client[0] || f->key[1] != flow->client[1] ||
		    f->key[2] != flow->vip[0] || f->key[3] != flow->vip[1] ||
		    f->key[4] != ports_of(flow))
			continue;
		ids = f->ids;
		if (!stable(stamp, f->stamp))
			continue;
		flow->at = i;
		return found(flow, ids, stamp, *(volatile __u32 *)&b->seen[i]);
	}
	return false;
}

/* 1 when the flow is remembered. Not static: no pointers in it, so the verifier checks it once. */
__noinline int find_flow(struct flow *flow)
{
	__u32 buckets, first, base;
	__u16 tag;

	if (!flow)
		return 0;
	tag = lb_flow_tag(flow->hash);
	buckets = flow->family == 4 ? flow_buckets4 : flow_buckets6;
	first = lb_flow_bucket(flow->hash, buckets);
	base = flow->queue * buckets;
	flow->bucket = base + first;
	if (flow->family == 4 ? find_in4(tag, flow) : find_in6(tag, flow))
		return 1;
	flow->bucket = base + lb_flow_other_bucket(first, tag, buckets);
	return flow->family == 4 ? find_in4(tag, flow) : find_in6(tag, flow);
}

/* The kernel forwarded a packet of the flow that find_flow() found. */
static __always_inline void touch(const struct flow *flow, __u32 now)
{
	__u32 at = flow->bucket;
	volatile __u32 *seen = NULL;

	if (explains)
		return;
	if (flow->family == 4) {
		struct lb_flow_bucket4 *b = bpf_map_lookup_elem(&flows4, &at);

		if (b)
			seen = &b->seen[flow->at & (LB_FLOW_SLOTS - 1)];
	} else {
		struct lb_flow_bucket6 *b = bpf_map_lookup_elem(&flows6, &at);

		if (b)
			seen = &b->seen[flow->at & (LB_FLOW_SLOTS - 1)];
	}
	if (seen)
		*seen = now;
}

#endif
