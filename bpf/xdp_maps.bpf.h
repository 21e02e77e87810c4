/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Maps, constants and counters of the XDP program (lb_xdp.bpf.c). All maps but `xsks`, `settings`
 * and `xdp_counters` are shared by the ports of an lbd. Sizes are set by user space before the
 * load.
 */
#ifndef XDP_MAPS_BPF_H
#define XDP_MAPS_BPF_H

#include "bpf/vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Which hash flows are spread by: enum lb_hash_kind. Set before the load, as those below. */
const volatile __u32 flow_hash_kind = 0;
#define LB_HASH_KIND(key) flow_hash_kind
#include "bpf/lb_abi.h"

/* Loops that the verifier walks and the compiler shall not copy. */
#define LB_NO_UNROLL _Pragma("clang loop unroll(disable)")

/* Set before the load; the defaults are those of the maps below. */
const volatile __u32 index_mask = 63;			/* slots of the index - 1 */
const volatile __u32 range_mask = 7;			/* ranges of the index - 1 */
const volatile __u32 ids_mask = 7;			/* ids of the index - 1 */
const volatile __u32 ids_offset = LB_IDS_OFFSET(64, 8); /* of the ids in the index */
const volatile __u32 services_max = 1;
const volatile __u32 rs_max = 1;
const volatile __u32 rs_counts_max = 1; /* of all CPUs */
const volatile __u32 flow_buckets4 = 2; /* of one queue */
const volatile __u32 flow_buckets6 = 2;

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, LB_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, LB_PORTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} devs SEC(".maps");

/* In a map of its own, that user space writes as a whole; here a load away. */
struct lb_settings settings SEC(".data.settings") = {
	.short_port = LB_NO_SHORT_PORT,
	.short_mac = LB_NO_SHORT_MAC,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LB_XDP_COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} xdp_counters SEC(".maps");

#define LB_MAPPED_ARRAY(name, bytes)                                                               \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, sizeof(__u32));                                                   \
		__uint(value_size, bytes);                                                         \
	} name SEC(".maps")

LB_MAPPED_ARRAY(beats, sizeof(struct lb_beat));
LB_MAPPED_ARRAY(service_counts, sizeof(struct lb_service_count));
LB_MAPPED_ARRAY(rs_counts, sizeof(struct lb_rs_count));
LB_MAPPED_ARRAY(rs_members, sizeof(struct lb_rs_member));
LB_MAPPED_ARRAY(flows4, sizeof(struct lb_flow_bucket4));
LB_MAPPED_ARRAY(flows6, sizeof(struct lb_flow_bucket6));

/* lb_explain.bpf.c only tells what it would do; it counts nothing but its verdict. */
#ifdef LB_EXPLAIN
#define explains true
LB_MAPPED_ARRAY(trace, sizeof(struct lb_trace));
#else
#define explains false
#endif

/* Objects that are replaced as a whole: arrays of maps, whose inner maps have one value. */
#define LB_OBJECTS(name, bytes)                                                                    \
	struct name##_object {                                                                     \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, sizeof(__u32));                                                   \
		__uint(value_size, bytes);                                                         \
	};                                                                                         \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                          \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, sizeof(__u32));                                                   \
		__array(values, struct name##_object);                                             \
	} name SEC(".maps")

LB_OBJECTS(vip_index, sizeof(struct lb_index_head) + 64 * sizeof(struct lb_index_slot) +
			      8 * sizeof(struct lb_index_range) + 8 * sizeof(__u32));
LB_OBJECTS(tables0, LB_TABLE_BYTES(LB_TABLE_SLOTS0, LB_TABLE_MEMBERS0));
LB_OBJECTS(tables1, LB_TABLE_BYTES(LB_TABLE_SLOTS1, LB_TABLE_MEMBERS1));
LB_OBJECTS(tables2, LB_TABLE_BYTES(LB_TABLE_SLOTS2, LB_TABLE_MEMBERS2));

static __always_inline int count(__u32 index, int verdict)
{
	__u64 *packets = bpf_map_lookup_elem(&xdp_counters, &index);

	if (packets)
		++*packets;
	return verdict;
}

/* This CPU's counters of a service; NULL for an id that is out of range. */
static __always_inline struct lb_service_count *service_count(__u32 service_id)
{
	__u32 slot = service_id & 0xffff;
	__u32 at = bpf_get_smp_processor_id() * services_max + slot;

	return !explains && slot < services_max ? bpf_map_lookup_elem(&service_counts, &at) : NULL;
}

/* This CPU's counters of a real server; the map's size bounds what a wrong id can reach. */
static __always_inline struct lb_rs_count *rs_count(__u32 rs_id)
{
	__u32 zero = 0, slot = rs_id & 0xffff;
	__u64 at = bpf_get_smp_processor_id() * rs_max + slot;
	struct lb_rs_count *all = bpf_map_lookup_elem(&rs_counts, &zero);

	if (explains || !all || at >= rs_counts_max)
		return NULL;
	barrier_var(at);
	return all + at;
}

static __always_inline __u32 tick_now(void)
{
	return bpf_ktime_get_coarse_ns() / 1000000;
}

#endif
