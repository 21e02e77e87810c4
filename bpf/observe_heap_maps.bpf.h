/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of `observe leak` and how its programs find what is theirs; for observe_heap.bpf.c. */
#pragma once

const volatile __u64 bytes_min;
const volatile __u64 bytes_max = ~0ULL;
const volatile __u64 sample_bytes; /* mean distance of samples; 0: every call */
const volatile __u64 sample_seed;
const volatile __u8 trace_events;
const volatile __u8 follow_children;
const volatile __u8 has_wrappers; /* probed functions call probed functions of other names */
const volatile __u8 counts_hits;

__u32 last_space;
__u32 samplers; /* that have begun: each has its own seed */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct observe_heap_control);
} heap_control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 19);
	__type(key, struct observe_heap_key);
	__type(value, struct observe_heap_block);
} heap_blocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 15);
	__type(key, struct observe_heap_stat_key);
	__type(value, struct observe_heap_stat);
} heap_stats SEC(".maps");

/* Process -> its space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 14);
	__type(key, __u32);
	__type(value, struct observe_heap_space);
} heap_spaces SEC(".maps");

/* Processes that have waited for us, stopped: StopKeeper lets them go on when we are killed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 14);
	__type(key, __u32);
	__type(value, __u8);
} heap_stopped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct observe_heap_task);
} heap_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OBSERVE_HEAP_SITES_MAX);
	__type(key, __u32);
	__type(value, struct observe_heap_hits);
} heap_hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct observe_heap_totals);
} heap_totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} heap_events SEC(".maps");

#define COUNT_HEAP(field)                                                                          \
	do {                                                                                       \
		__u32 zero_ = 0;                                                                   \
		struct observe_heap_totals *totals_ = bpf_map_lookup_elem(&heap_totals, &zero_);   \
		if (totals_)                                                                       \
			__sync_fetch_and_add(&totals_->field, 1);                                  \
	} while (0)

/* NULL: this process is not looked at. */
static __always_inline struct observe_heap_space *current_space(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&heap_spaces, &tgid);
}

static __always_inline struct observe_heap_control *control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&heap_control, &zero);
}

/* Without the call that was in progress when probes went. */
static __always_inline struct observe_heap_task *current_task(void)
{
	struct observe_heap_task *task = bpf_task_storage_get(
		&heap_tasks, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct observe_heap_control *now = control();

	if (task && now && task->epoch != now->epoch) {
		task->epoch = now->epoch;
		task->stack_pointer = 0;
		task->has_old = 0;
	}
	return task;
}

/* Of a call that a probe has seen, for the budget: also one of a process that is not looked at. */
static __always_inline void count_hit(__u64 cookie, int is_return)
{
	__u32 site = cookie >> 32;
	struct observe_heap_hits *hits;

	if (!counts_hits)
		return;
	if (site >= OBSERVE_HEAP_SITES_MAX)
		site = OBSERVE_HEAP_SITES_MAX - 1;
	hits = bpf_map_lookup_elem(&heap_hits, &site);
	if (!hits)
		return;
	if (is_return)
		__sync_fetch_and_add(&hits->returns, 1);
	else
		__sync_fetch_and_add(&hits->entries, 1);
}

/* Bits of the number. */
static __always_inline __u32 size_class_of(__u64 bytes)
{
	__u32 bits = 0;

	for (__u32 shift = 32; shift; shift >>= 1) {
		__u64 above = bytes >> shift;
		__u32 all = above ? ~0U : 0;

		bits += shift & all;
		bytes = above ? above : bytes;
	}
	return bits + (bytes ? 1 : 0);
}

/* Made when it is new; NULL: no room. */
static __always_inline struct observe_heap_stat *find_stat(__u32 space,
							   const struct observe_heap_block *block)
{
	struct observe_heap_stat_key key = {
		.stack = block->stack,
		.space = space,
		.size_class = size_class_of(block->bytes),
		.level = block->level,
	};
	struct observe_heap_stat none = {};
	struct observe_heap_stat *stat = bpf_map_lookup_elem(&heap_stats, &key);

	if (stat)
		return stat;
	bpf_map_update_elem(&heap_stats, &key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&heap_stats, &key);
}

/* Also the peak, which two CPUs may raise at once. */
static __always_inline void add_live(struct observe_heap_stat *stat, __u64 bytes)
{
	__u64 live = __sync_fetch_and_add(&stat->live_bytes, bytes) + bytes;

	for (int i = 0; i < 8; i++) {
		__u64 peak = stat->peak_bytes;

		if (live <= peak ||
		    __sync_val_compare_and_swap(&stat->peak_bytes, peak, live) == peak)
			return;
	}
}
