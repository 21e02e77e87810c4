// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * `observe pages`, in the kernel: an entry per page frame, a row per combination (observe_pages.h).
 * The raw tracepoints give a struct page, whose number follows from the base of the page array; the
 * plain ones give the number. User space leaves out what it does not use. mm_page_free covers
 * per-CPU lists, batches and huge pages; mm_page_free_batched only repeats it.
 */
#include "bpf/vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "bpf/observe_pages.h"
#define OBSERVE_STACK_PREALLOCATED
#include "bpf/observe_stack.bpf.h"
#include "bpf/observe_target.h"
#include "bpf/observe_target.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

const volatile __u64 page_array_base;
const volatile __u32 page_bytes = 64; /* sizeof(struct page) */
const volatile __u32 rows_max;
const volatile __u32 sections_max;
const volatile __u8 by_cgroup;
const volatile __u32 learner; /* thread whose events tell the base of the page array */

__u32 rows_used = OBSERVE_ROW_OVERFLOW + 1;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} page_frames SEC(".maps");

/* By section of physical memory: where its frames begin in page_frames. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} page_sections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct observe_pages_key);
	__type(value, __u32);
} page_row_ids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct observe_pages_row);
} page_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct observe_pages_totals);
} page_totals SEC(".maps");

/* Where the base of the page array is learnt. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct observe_pages_pair);
} page_pairs SEC(".maps");

#define COUNT_TOTAL(field, n)                                                                      \
	do {                                                                                       \
		__u32 zero_ = 0;                                                                   \
		struct observe_pages_totals *totals_ = bpf_map_lookup_elem(&page_totals, &zero_);  \
		if (totals_)                                                                       \
			__sync_fetch_and_add(&totals_->field, n);                                  \
	} while (0)

/* Where the entries of these frames begin, or OBSERVE_SECTION_ABSENT. An allocation is aligned to
 * its size, so it lies in one section. */
static __always_inline __u32 first_entry(__u64 frame_number)
{
	__u64 section = frame_number >> OBSERVE_SECTION_SHIFT;
	__u32 index = section;
	__u32 *start;

	if (section >= sections_max)
		return OBSERVE_SECTION_ABSENT;
	start = bpf_map_lookup_elem(&page_sections, &index);
	if (!start || *start == OBSERVE_SECTION_ABSENT)
		return OBSERVE_SECTION_ABSENT;
	return *start + (frame_number & (OBSERVE_SECTION_FRAMES - 1));
}

static __always_inline struct observe_pages_row *row_at(__u32 id)
{
	return bpf_map_lookup_elem(&page_rows, &id);
}

/* A row for a key that has none; two CPUs may come at once, then the first one's counts. */
static __noinline __u32 new_row(struct observe_pages_key *key)
{
	struct observe_pages_row *row;
	__u32 id, *known;

	if (!key)
		return OBSERVE_ROW_OVERFLOW;
	id = rows_used < rows_max ? __sync_fetch_and_add(&rows_used, 1) : rows_max;
	row = id < rows_max ? row_at(id) : NULL;
	if (!row) {
		OBSERVE_COUNT(map_full);
		return OBSERVE_ROW_OVERFLOW;
	}
	row->key = *key;
	bpf_get_current_comm(row->comm, sizeof(row->comm));
	if (bpf_map_update_elem(&page_row_ids, key, &id, BPF_NOEXIST)) {
		known = bpf_map_lookup_elem(&page_row_ids, key);
		if (known)
			return *known;
		OBSERVE_COUNT(map_full);
		return OBSERVE_ROW_OVERFLOW;
	}
	return id;
}

/* What was found on this CPU lately, so that the maps of stacks and rows need not be searched. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OBSERVE_PAGES_RECENT);
	__type(key, __u32);
	__type(value, struct observe_pages_recent);
} page_recent SEC(".maps");

static __always_inline int same_key(const struct observe_pages_key *a,
				    const struct observe_pages_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

static __noinline __u32 find_row_of(struct observe_stack *stack, struct observe_pages_key *key)
{
	__u32 *id;

	if (!stack || !key)
		return OBSERVE_ROW_OVERFLOW;
	key->stack = observe_store(stack);
	id = bpf_map_lookup_elem(&page_row_ids, key);
	return id ? *id : new_row(key);
}

static __always_inline __u32 find_row(void *ctx, __u32 order, __u32 gfp, __u32 migratetype)
{
	/* Not claimed, and neither is `recent`: on a CPU this program does not come in between
	 * itself (the kernel counts it as missed), and no other one of this object takes stacks. */
	__u32 zero = 0, index, length, id;
	struct observe_scratch *scratch = bpf_map_lookup_elem(&observe_scratches, &zero);
	struct observe_pages_key key = {
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.gfp = gfp,
		.order = order,
		.migratetype = migratetype,
	};
	struct observe_pages_recent *recent;
	__u64 hash = 0, same;

	if (!scratch)
		return OBSERVE_ROW_OVERFLOW;
	if (by_cgroup)
		key.cgroup = bpf_get_current_cgroup_id();
	__builtin_memset(&scratch->stack.head, 0, sizeof(scratch->stack.head));
	observe_take_kernel(ctx, &scratch->stack, 0);
	length = observe_stack_length(&scratch->stack);
	if (length > OBSERVE_PAGES_RECENT_FRAMES)
		return find_row_of(&scratch->stack, &key);
	key.stack = length;
	for (__u32 i = 0; i < OBSERVE_PAGES_RECENT_FRAMES && i < length; i++)
		hash += scratch->stack.frames[i] * (2 * i + 0x9e3779b97f4a7c15ULL);
	index = ((hash ^ key.tgid) * 0x9e3779b97f4a7c15ULL) >> (64 - OBSERVE_PAGES_RECENT_LOG2);
	recent = bpf_map_lookup_elem(&page_recent, &index);
	if (!recent)
		return OBSERVE_ROW_OVERFLOW;
	if (recent->row && same_key(&recent->key, &key)) {
		same = 0;
		for (__u32 i = 0; i < OBSERVE_PAGES_RECENT_FRAMES && i < length; i++)
			same |= recent->frames[i] ^ scratch->stack.frames[i];
		if (!same)
			return recent->row;
	}
	recent->key = key;
	for (__u32 i = 0; i < OBSERVE_PAGES_RECENT_FRAMES && i < length; i++)
		recent->frames[i] = scratch->stack.frames[i];
	id = find_row_of(&scratch->stack, &key);
	recent->row = id;
	if (id == OBSERVE_ROW_OVERFLOW || !key.stack) /* each such event is counted */
		recent->key.stack = ~0ULL;
	return id;
}

/*
 * What a walk over the frames of an event has counted. In a map, since the verifier would follow
 * each value that a counter on the stack may have. One of allocations and one of frees: a program
 * does not come in between itself on a CPU (the kernel counts it as missed), the other one may.
 */
struct walk_counts {
	__u64 row; /* of the frames that are not yet counted */
	__u64 frames;
	__u64 unknown; /* frames that had no row */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct walk_counts);
} page_walks SEC(".maps");

struct walk {
	struct walk_counts *counts;
	__u64 entry; /* what the frames get */
	__u32 first;
};

static __always_inline __u64 *entry_at(__u32 index)
{
	return bpf_map_lookup_elem(&page_frames, &index);
}

static __always_inline void count_freed(struct walk_counts *counts)
{
	struct observe_pages_row *row = counts->row ? row_at(counts->row) : NULL;

	if (row)
		__sync_fetch_and_add(&row->freed, counts->frames);
}

static long exchange_one(__u64 i, struct walk *walk)
{
	struct walk_counts *counts = walk->counts;
	__u32 index = walk->first + i;
	__u64 *entry = entry_at(index);
	__u32 id;

	if (!entry)
		return 1;
	id = *entry;
	*entry = walk->entry;
	if (!id) {
		counts->unknown++;
		return 0;
	}
	if (id != counts->row) {
		count_freed(counts);
		counts->row = id;
		counts->frames = 0;
	}
	counts->frames++;
	return 0;
}

/* The same for one frame. */
static __always_inline __u64 exchange_single(__u32 index, __u64 value)
{
	__u64 *entry = entry_at(index);
	struct observe_pages_row *row;
	__u32 id;

	if (!entry)
		return 0;
	id = *entry;
	*entry = value;
	if (!id)
		return 1;
	row = row_at(id);
	if (row)
		__sync_fetch_and_add(&row->freed, 1);
	return 0;
}

/* Puts `entry` into the frames and counts what was in them as freed. Returns the frames that had
 * none. */
static __always_inline __u64 exchange(__u32 which, __u32 first, __u32 order, __u64 entry)
{
	struct walk walk = {.first = first, .entry = entry};

	if (order == 0)
		return exchange_single(first, entry);
	walk.counts = bpf_map_lookup_elem(&page_walks, &which);
	if (!walk.counts)
		return 0;
	__builtin_memset(walk.counts, 0, sizeof(*walk.counts));
	bpf_loop(1U << (order & (OBSERVE_ORDERS - 1)), exchange_one, &walk, 0);
	count_freed(walk.counts);
	return walk.counts->unknown;
}

static __always_inline int on_alloc(void *ctx, __u64 frame_number, __u32 order, __u32 gfp,
				    __u32 migratetype)
{
	struct observe_pages_row *row;
	__u64 frames, unknown;
	__u32 first, id;

	if (order >= OBSERVE_ORDERS)
		return 0;
	frames = 1ULL << order;
	first = first_entry(frame_number);
	if (!observe_wanted()) {
		/* What they still have of a row was freed without an event that we saw. */
		if (first != OBSERVE_SECTION_ABSENT) {
			unknown = exchange(0, first, order, 0);
			if (unknown < frames)
				COUNT_TOTAL(reallocated, frames - unknown);
		}
		return 0;
	}
	if (first == OBSERVE_SECTION_ABSENT) {
		OBSERVE_COUNT(events);
		COUNT_TOTAL(outside, frames);
		return 0;
	}
	id = find_row(ctx, order, gfp, migratetype);
	row = row_at(id);
	if (!row)
		return 0;
	unknown = exchange(0, first, order,
			   ((bpf_ktime_get_ns() >> OBSERVE_PAGE_TIME_SHIFT) << 32) | id);
	if (unknown < frames)
		COUNT_TOTAL(reallocated, frames - unknown);
	__sync_fetch_and_add(&row->allocations, 1);
	if (id == OBSERVE_ROW_OVERFLOW)
		__sync_fetch_and_add(&row->allocated, frames);
	return 0;
}

static __always_inline int on_free(__u64 frame_number, __u32 order)
{
	__u64 unknown;
	__u32 first;

	if (order >= OBSERVE_ORDERS)
		return 0;
	first = first_entry(frame_number);
	if (first == OBSERVE_SECTION_ABSENT)
		return 0;
	unknown = exchange(1, first, order, 0);
	COUNT_TOTAL(frees, 1);
	if (unknown)
		COUNT_TOTAL(freed_unknown, unknown);
	return 0;
}

static __always_inline __u64 frame_number_of(__u64 page)
{
	return page_bytes ? (page - page_array_base) / page_bytes : 0;
}

SEC("raw_tp/mm_page_alloc")
int observe_pages_alloc(struct bpf_raw_tracepoint_args *ctx)
{
	if (!ctx->args[0]) /* it failed */
		return 0;
	return on_alloc(ctx, frame_number_of(ctx->args[0]), ctx->args[1], ctx->args[2],
			ctx->args[3]);
}

SEC("raw_tp/mm_page_free")
int observe_pages_free(struct bpf_raw_tracepoint_args *ctx)
{
	return on_free(frame_number_of(ctx->args[0]), ctx->args[1]);
}

SEC("tp/kmem/mm_page_alloc")
int observe_pages_alloc_tp(struct trace_event_raw_mm_page_alloc *ctx)
{
	if (ctx->pfn == ~0UL) /* it failed */
		return 0;
	return on_alloc(ctx, ctx->pfn, ctx->order, ctx->gfp_flags, ctx->migratetype);
}

SEC("tp/kmem/mm_page_free")
int observe_pages_free_tp(struct trace_event_raw_mm_page_free *ctx)
{
	return on_free(ctx->pfn, ctx->order);
}

/* Frames that compaction fills were taken from the free lists without an event. */
SEC("tp/migrate/mm_migrate_pages")
int observe_pages_moved(struct trace_event_raw_mm_migrate_pages *ctx)
{
	if (ctx->reason == MR_COMPACTION)
		COUNT_TOTAL(moved, ctx->succeeded);
	return 0;
}

/* One event, seen by both: the raw program comes first or second, so each writes its half down and
 * takes it back (0) when the other half is there already. */
static __always_inline int learn(__u64 page, __u64 frame_number)
{
	__u32 zero = 0, one = 1;
	struct observe_pages_pair *half, *whole;

	if ((__u32)bpf_get_current_pid_tgid() != learner)
		return 0;
	half = bpf_map_lookup_elem(&page_pairs, &zero);
	whole = bpf_map_lookup_elem(&page_pairs, &one);
	if (!half || !whole)
		return 0;
	if (page)
		half->page = page;
	else
		half->frame_number = frame_number;
	if (half->page && half->frame_number) {
		*whole = *half;
		half->page = 0;
		half->frame_number = 0;
	}
	return 0;
}

SEC("raw_tp/mm_page_alloc")
int observe_pages_learn(struct bpf_raw_tracepoint_args *ctx)
{
	return learn(ctx->args[0], 0);
}

SEC("tp/kmem/mm_page_alloc")
int observe_pages_learn_tp(struct trace_event_raw_mm_page_alloc *ctx)
{
	return learn(0, ctx->pfn);
}
