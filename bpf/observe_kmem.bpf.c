// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Kernel memory by its tracepoints: slab, per-CPU and vmalloc allocations and frees, on raw
 * tracepoints. Aggregates here; read by observe/kleak. Layout: observe_kmem.h.
 *
 * A map of ours grows by the BPF allocator, whose kmalloc would come back here and grow it again:
 * call sites inside that allocator are left out of everything and summed up in kmem_own.
 */
#include "bpf/vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define OBSERVE_STACK_FRAMES 64
#include "bpf/observe_kmem.h"
#include "bpf/observe_stack.bpf.h"
#include "bpf/observe_target.h"
#include "bpf/observe_target.bpf.h"

enum kmem_stream {
	STREAM_KMALLOC,
	STREAM_CACHE,
	STREAM_KMALLOC_NODE,
	STREAM_CACHE_NODE,
	STREAM_PERCPU,
	STREAM_VMALLOC,
	STREAMS,
};
#define OBSERVE_SAMPLE_STREAMS STREAMS
#include "bpf/observe_sample.h"
#include "bpf/observe_sample.bpf.h"

#include "bpf/observe_kmem_records.bpf.h"

_Static_assert(sizeof(struct observe_stack) == sizeof(struct kmem_stack), "one stack");

char _license[] SEC("license") = "Dual BSD/GPL";

#define KMEM_BULK_MAX 4096 /* objects of one call; kvfree_rcu gives about 500 */
#define KMEM_GFP_DMA 0x01u
#define KMEM_GFP_RECLAIMABLE 0x10u
#define KMEM_GFP_ACCOUNT 0x400000u
#define KMEM_BUCKET_BYTES_MAX 8192 /* larger ones are pages */
#define KMEM_PERCPU_KEY (1ULL << 60)

const volatile __u32 kmem_cpus = 1;

/* Tracepoint events whose shape tells the arguments of their raw form. */
struct trace_event_raw_kmem_cache_alloc___any {
	char any;
} __attribute__((preserve_access_index));
struct trace_event_raw_kmem_alloc___accounted {
	bool accounted;
} __attribute__((preserve_access_index));
struct trace_event_raw_percpu_alloc_percpu___sited {
	unsigned long call_site;
	size_t bytes_alloc;
} __attribute__((preserve_access_index));
/*
 * In assembler, so that loads of two branches are not made one from a computed place, which the
 * kernel refuses for a context.
 */
#define KMEM_ARG(ctx, index)                                                                       \
	({                                                                                         \
		__u64 value_;                                                                      \
		asm volatile("%0 = *(u64 *)(%1 + %2)"                                              \
			     : "=r"(value_)                                                        \
			     : "r"(ctx), "i"((index) * 8));                                        \
		value_;                                                                            \
	})

static __always_inline __u64 kmem_bucket_of(__u64 bytes, __u32 gfp)
{
	__u64 type = KMEM_BUCKET_NORMAL;

	if (bytes > KMEM_BUCKET_BYTES_MAX)
		return KMEM_CACHE_LARGE;
	if (gfp & KMEM_GFP_DMA)
		type = KMEM_BUCKET_DMA;
	else if (gfp & KMEM_GFP_RECLAIMABLE)
		type = KMEM_BUCKET_RECLAIMABLE;
	else if (gfp & KMEM_GFP_ACCOUNT)
		type = KMEM_BUCKET_ACCOUNTED;
	return type << KMEM_BUCKET_SHIFT | bytes;
}

static __always_inline int kmem_count_own(__u64 site, __u64 bytes)
{
	struct kmem_own *own = kmem_is_own(site) ? kmem_own_counts() : NULL;

	if (!own)
		return 0;
	__sync_fetch_and_add(&own->allocs, 1);
	__sync_fetch_and_add(&own->bytes, bytes);
	return 0;
}

/*
 * kmalloc: from 6.1 (call_site, ptr, bytes_req, bytes_alloc, gfp); from 5.19 with the cache behind
 * ptr; before that without.
 */
static __always_inline void kmem_read_kmalloc(struct bpf_raw_tracepoint_args *ctx,
					      struct kmem_request *request)
{
	request->site = KMEM_ARG(ctx, 0);
	request->address = KMEM_ARG(ctx, 1);
	request->kind = KMEM_SLAB;
	if (!bpf_core_type_exists(struct trace_event_raw_kmem_cache_alloc___any) &&
	    bpf_core_field_exists(struct trace_event_raw_kmem_alloc___accounted, accounted)) {
		request->bytes = KMEM_ARG(ctx, 4);
		request->gfp = KMEM_ARG(ctx, 5);
	} else {
		request->bytes = KMEM_ARG(ctx, 3);
		request->gfp = KMEM_ARG(ctx, 4);
	}
}

static __always_inline int kmem_kmalloc(struct bpf_raw_tracepoint_args *ctx, __u32 stream)
{
	struct kmem_request request = {.stream = stream};

	kmem_read_kmalloc(ctx, &request);
	if (request.address <= 16) /* a failure, or ZERO_SIZE_PTR */
		return 0;
	request.cache = kmem_has_get_cache ? kmem_cache_of(request.address)
					   : kmem_bucket_of(request.bytes, request.gfp);
	return kmem_alloc(ctx, &request);
}

/*
 * kmem_cache_alloc: from 6.1 (call_site, ptr, cache, gfp); from 5.19 (call_site, ptr, cache,
 * bytes_req, bytes_alloc, gfp); before that without the cache.
 */
static __always_inline int kmem_cache_object(struct bpf_raw_tracepoint_args *ctx, __u32 stream)
{
	struct kmem_request request = {
		.site = KMEM_ARG(ctx, 0),
		.address = KMEM_ARG(ctx, 1),
		.kind = KMEM_SLAB,
		.stream = stream,
	};

	if (request.address <= 16)
		return 0;
	if (bpf_core_type_exists(struct trace_event_raw_kmem_cache_alloc___any)) {
		struct kmem_cache *cache = (void *)KMEM_ARG(ctx, 2);

		request.cache = (__u64)cache;
		request.bytes = BPF_CORE_READ(cache, size);
		request.gfp = KMEM_ARG(ctx, 3);
	} else if (bpf_core_field_exists(struct trace_event_raw_kmem_alloc___accounted,
					 accounted)) {
		request.cache = KMEM_ARG(ctx, 2);
		request.bytes = KMEM_ARG(ctx, 4);
		request.gfp = KMEM_ARG(ctx, 5);
	} else {
		request.bytes = KMEM_ARG(ctx, 3);
		request.gfp = KMEM_ARG(ctx, 4);
	}
	return kmem_alloc(ctx, &request);
}

SEC("raw_tp/kmalloc")
int kmem_on_kmalloc(struct bpf_raw_tracepoint_args *ctx)
{
	return kmem_kmalloc(ctx, STREAM_KMALLOC);
}

SEC("raw_tp/kmalloc_node")
int kmem_on_kmalloc_node(struct bpf_raw_tracepoint_args *ctx)
{
	return kmem_kmalloc(ctx, STREAM_KMALLOC_NODE);
}

/* Programs of their own, for these may interrupt those above. */
SEC("raw_tp/kmalloc")
int kmem_own_kmalloc(struct bpf_raw_tracepoint_args *ctx)
{
	struct kmem_request request = {};

	kmem_read_kmalloc(ctx, &request);
	return kmem_count_own(request.site, request.bytes);
}

SEC("raw_tp/kmalloc_node")
int kmem_own_kmalloc_node(struct bpf_raw_tracepoint_args *ctx)
{
	struct kmem_request request = {};

	kmem_read_kmalloc(ctx, &request);
	return kmem_count_own(request.site, request.bytes);
}

SEC("raw_tp/kmem_cache_alloc")
int kmem_on_cache_alloc(struct bpf_raw_tracepoint_args *ctx)
{
	return kmem_cache_object(ctx, STREAM_CACHE);
}

SEC("raw_tp/kmem_cache_alloc_node")
int kmem_on_cache_alloc_node(struct bpf_raw_tracepoint_args *ctx)
{
	return kmem_cache_object(ctx, STREAM_CACHE_NODE);
}

/* Both: (call_site, ptr, ...). */
static __always_inline int kmem_slab_free(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 address = KMEM_ARG(ctx, 1);

	if (address <= 16 || kmem_is_own(KMEM_ARG(ctx, 0)))
		return 0;
	return kmem_free(address, KMEM_CACHE_NONE, 1);
}

SEC("raw_tp/kfree")
int kmem_on_kfree(struct bpf_raw_tracepoint_args *ctx)
{
	return kmem_slab_free(ctx);
}

SEC("raw_tp/kmem_cache_free")
int kmem_on_cache_free(struct bpf_raw_tracepoint_args *ctx)
{
	return kmem_slab_free(ctx);
}

/*
 * From 5.19 (call_site, reserved, is_atomic, size, align, base, off, ptr, bytes_alloc, gfp), where
 * bytes_alloc is of all CPUs; before that without the first and the last two.
 */
SEC("raw_tp/percpu_alloc_percpu")
int kmem_on_percpu_alloc(struct bpf_raw_tracepoint_args *ctx)
{
	struct kmem_request request = {
		.cache = KMEM_CACHE_PERCPU,
		.kind = KMEM_PERCPU,
		.stream = STREAM_PERCPU,
	};

	if (bpf_core_field_exists(struct trace_event_raw_percpu_alloc_percpu___sited, call_site)) {
		request.site = KMEM_ARG(ctx, 0);
		request.address = KMEM_ARG(ctx, 7);
		request.bytes = KMEM_ARG(ctx, 8);
		request.gfp = KMEM_ARG(ctx, 9);
	} else {
		request.address = KMEM_ARG(ctx, 6);
		request.bytes = KMEM_ARG(ctx, 2) * kmem_cpus;
	}
	if (!request.address)
		return 0;
	request.address ^= KMEM_PERCPU_KEY;
	return kmem_alloc(ctx, &request);
}

/* (base, off, ptr) */
SEC("raw_tp/percpu_free_percpu")
int kmem_on_percpu_free(struct bpf_raw_tracepoint_args *ctx)
{
	return kmem_free(KMEM_ARG(ctx, 2) ^ KMEM_PERCPU_KEY, KMEM_CACHE_PERCPU, 0);
}

/* (addr, size, align, vstart, vend, failed) */
SEC("raw_tp/alloc_vmap_area")
int kmem_on_vmap_alloc(struct bpf_raw_tracepoint_args *ctx)
{
	struct kmem_request request = {
		.address = KMEM_ARG(ctx, 0),
		.bytes = KMEM_ARG(ctx, 1),
		.cache = KMEM_CACHE_VMALLOC,
		.kind = KMEM_VMALLOC,
		.stream = STREAM_VMALLOC,
	};

	if ((__s32)KMEM_ARG(ctx, 5))
		return 0;
	return kmem_alloc(ctx, &request);
}

/* (va_start, ...) */
SEC("raw_tp/free_vmap_area_noflush")
int kmem_on_vmap_free(struct bpf_raw_tracepoint_args *ctx)
{
	return kmem_free(KMEM_ARG(ctx, 0), KMEM_CACHE_VMALLOC, 0);
}

/*
 * kvfree_call_rcu(head, ptr); before 6.2 the second one is the offset of head in its object, which
 * is less than a page. The object is as good as freed: nobody can reach it.
 */
static __always_inline int kmem_rcu_free(__u64 head, __u64 pointer)
{
	__u64 address = pointer < 4096 ? head - pointer : pointer;

	return address <= 16 ? 0 : kmem_free(address, KMEM_CACHE_NONE, 1);
}

struct kmem_bulk {
	__u64 cache;
	__u64 objects;
};

static int kmem_bulk_object(__u32 index, struct kmem_bulk *bulk)
{
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), (void *)(bulk->objects + index * 8ULL));
	if (address > 16 && (bulk->cache || bpf_map_lookup_elem(&kmem_blocks, &address)))
		kmem_free(address, bulk->cache, 1);
	return 0;
}

/* kmem_cache_free_bulk(cache, count, objects). Objects that kvfree_call_rcu showed are gone. */
static __always_inline int kmem_bulk_free(__u64 cache, __u64 count, __u64 objects)
{
	struct kmem_bulk bulk = {.cache = cache, .objects = objects};

	bpf_loop(count > KMEM_BULK_MAX ? KMEM_BULK_MAX : count, kmem_bulk_object, &bulk, 0);
	return 0;
}

SEC("fentry/kvfree_call_rcu")
int kmem_enter_rcu_free(__u64 *ctx)
{
	return kmem_rcu_free(ctx[0], ctx[1]);
}

SEC("kprobe/kvfree_call_rcu")
int kmem_probe_rcu_free(struct pt_regs *ctx)
{
	return kmem_rcu_free(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx));
}

SEC("fentry/kmem_cache_free_bulk")
int kmem_enter_bulk_free(__u64 *ctx)
{
	return kmem_bulk_free(ctx[0], ctx[1], ctx[2]);
}

SEC("kprobe/kmem_cache_free_bulk")
int kmem_probe_bulk_free(struct pt_regs *ctx)
{
	return kmem_bulk_free(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx));
}
