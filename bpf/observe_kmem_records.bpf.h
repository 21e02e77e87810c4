/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The records of `observe leak --kernel`, BPF side: what one allocation and one free do to the
 * maps, whatever tracepoint they came by. Included by observe_kmem.bpf.c only, after vmlinux.h, the
 * helpers, the stack store, the target and the sampler. Layout: observe_kmem.h.
 */
#pragma once

/* Frames of a raw_tp program's stack that are never the kernel's own: the program, its caller. */
#define KMEM_STACK_SKIP 2
#define KMEM_PEAK_TRIES 8

const volatile __u64 kmem_own_from; /* the BPF allocator's text */
const volatile __u64 kmem_own_to;
const volatile __u32 kmem_own_tgid;
const volatile __u64 kmem_min_bytes;
const volatile __u64 kmem_max_bytes = ~0ULL;
const volatile __u8 kmem_has_get_cache; /* the kernel has bpf_get_kmem_cache */
const volatile __u8 kmem_cache_filter;
const volatile __u8 kmem_trace;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 524288);
	__type(key, __u64);
	__type(value, struct kmem_block);
} kmem_blocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, struct kmem_group_key);
	__type(value, struct kmem_group);
} kmem_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, KMEM_CACHES_MAX);
	__type(key, __u64);
	__type(value, struct kmem_cache_state);
} kmem_caches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KMEM_CACHES_MAX);
	__type(key, char[KMEM_NAME_BYTES]);
	__type(value, __u8);
} kmem_wanted_caches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kmem_own);
} kmem_own SEC(".maps");

/* Of this CPU; 0: none, or something came after it. */
struct kmem_cpu_last {
	__u64 recorded; /* what it allocated last, if that is recorded */
	__u64 allocated;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kmem_cpu_last);
} kmem_last SEC(".maps");

/* A struct kmem_cache_state is larger than a BPF stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kmem_cache_state);
} kmem_empty_cache SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} kmem_events SEC(".maps");

extern struct kmem_cache *bpf_get_kmem_cache(__u64 addr) __ksym __weak;

/* One allocation, whatever the tracepoint. */
struct kmem_request {
	__u64 site;
	__u64 address; /* key of kmem_blocks */
	__u64 cache;
	__u64 bytes;
	__u32 gfp;
	__u32 kind;
	__u32 stream;
};

static __always_inline int kmem_is_own(__u64 site)
{
	return site >= kmem_own_from && site < kmem_own_to;
}

static __always_inline struct kmem_own *kmem_own_counts(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&kmem_own, &zero);
}

/* The slab cache that owns an object; KMEM_CACHE_NONE where the kernel does not tell. */
static __always_inline __u64 kmem_cache_of(__u64 address)
{
	if (!kmem_has_get_cache)
		return KMEM_CACHE_NONE;
	struct kmem_cache *cache = bpf_get_kmem_cache(address);

	return cache ? (__u64)cache : KMEM_CACHE_LARGE;
}

static __noinline struct kmem_cache_state *kmem_new_cache(__u64 key)
{
	__u32 zero = 0;
	struct kmem_cache_state *state = bpf_map_lookup_elem(&kmem_empty_cache, &zero);

	if (!state)
		return NULL;
	long error = bpf_map_update_elem(&kmem_caches, &key, state, BPF_NOEXIST);

	state = bpf_map_lookup_elem(&kmem_caches, &key);
	if (!state) {
		OBSERVE_COUNT(map_full);
		return NULL;
	}
	if (error)
		return state;
	if (key >> 63) {
		struct kmem_cache *cache = (void *)key;
		const char *name = BPF_CORE_READ(cache, name);

		bpf_probe_read_kernel_str(state->name, sizeof(state->name), name);
	}
	if (!kmem_cache_filter || bpf_map_lookup_elem(&kmem_wanted_caches, state->name))
		state->wanted = 1;
	return state;
}

static __always_inline struct kmem_cache_state *kmem_cache_state(__u64 key)
{
	struct kmem_cache_state *state = bpf_map_lookup_elem(&kmem_caches, &key);

	return state ? state : kmem_new_cache(key);
}

#define KMEM_CACHE_COUNT(state, field)                                                             \
	__sync_fetch_and_add(&(state)->slots[bpf_get_smp_processor_id() & (KMEM_SLOTS - 1)].field, \
			     1)

static __always_inline void kmem_leader_comm(char *comm)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	bpf_probe_read_kernel(comm, KMEM_COMM_BYTES, &leader->comm);
}

/*
 * Whether the running process is looked at; gives its id. In an interrupt it is the one that was
 * interrupted: user space tells by the stack.
 */
static __always_inline int kmem_is_target(__u32 *tgid)
{
	*tgid = bpf_get_current_pid_tgid() >> 32;
	return (!kmem_own_tgid || *tgid != kmem_own_tgid) && observe_wanted();
}

static __always_inline __u64 kmem_take_stack(void *ctx)
{
	struct observe_scratch *scratch = observe_claim();

	if (!scratch)
		return 0;
	__builtin_memset(&scratch->stack.head, 0, sizeof(scratch->stack.head));
	observe_take_kernel(ctx, &scratch->stack, KMEM_STACK_SKIP);
	__u64 id = observe_store(&scratch->stack);

	observe_release(scratch);
	return id;
}

static __always_inline void kmem_tell(__u64 address, const struct kmem_block *block, __u32 type)
{
	if (!kmem_trace)
		return;
	struct kmem_event *event = bpf_ringbuf_reserve(&kmem_events, sizeof(*event), 0);

	if (!event) {
		OBSERVE_COUNT(ring_full);
		return;
	}
	event->address = address;
	event->now_ns = bpf_ktime_get_ns();
	event->block = *block;
	event->type = type;
	event->tid = bpf_get_current_pid_tgid();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
}

static __always_inline struct kmem_group *kmem_group_of(const struct kmem_group_key *key)
{
	struct kmem_group *group = bpf_map_lookup_elem(&kmem_groups, key);

	if (group)
		return group;
	struct kmem_group fresh = {};

	kmem_leader_comm(fresh.comm);
	bpf_map_update_elem(&kmem_groups, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&kmem_groups, key);
}

static __always_inline void kmem_add_block(struct kmem_group *group)
{
	__s64 blocks = __sync_fetch_and_add(&group->blocks, 1) + 1;

	for (int i = 0; i < KMEM_PEAK_TRIES; i++) {
		__s64 peak = group->peak_blocks;

		if (blocks <= peak ||
		    __sync_val_compare_and_swap(&group->peak_blocks, peak, blocks) == peak)
			break;
	}
}

/* Takes a record out. Nobody else can: its address is of the one who frees or was given it. */
static __always_inline void kmem_remove(__u64 address, const struct kmem_block *stored, __u32 type,
					const struct kmem_cpu_last *last)
{
	struct kmem_block block = *stored;

	if (bpf_map_delete_elem(&kmem_blocks, &address))
		return;
	struct kmem_group *group = bpf_map_lookup_elem(&kmem_groups, &block.group);

	if (group) {
		__sync_fetch_and_add(&group->blocks, -1);
		if (type == KMEM_EVENT_FREE && last && last->recorded == address)
			__sync_fetch_and_add(&group->temporary, 1);
	}
	kmem_tell(address, &block, type);
}

static __always_inline struct kmem_cpu_last *kmem_last_of_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&kmem_last, &zero);
}

static __always_inline void kmem_record(void *ctx, const struct kmem_request *request,
					struct kmem_block *block, struct kmem_cpu_last *last)
{
	__u64 address = request->address;

	block->group.stack = kmem_take_stack(ctx);
	struct kmem_group *group = kmem_group_of(&block->group);

	if (!group) {
		OBSERVE_COUNT(map_full);
		return;
	}
	__sync_fetch_and_add(&group->calls, 1);
	block->time_ns = bpf_ktime_get_ns();
	block->cgroup = bpf_get_current_cgroup_id();
	block->tid = bpf_get_current_pid_tgid();
	block->gfp = request->gfp;
	if (bpf_map_update_elem(&kmem_blocks, &address, block, BPF_ANY)) {
		OBSERVE_COUNT(map_full);
		return;
	}
	kmem_add_block(group);
	if (last)
		last->recorded = address;
	kmem_tell(address, block, KMEM_EVENT_ALLOC);
}

static __always_inline int kmem_alloc(void *ctx, const struct kmem_request *request)
{
	__u64 address = request->address;

	if (kmem_is_own(request->site)) {
		struct kmem_own *own = kmem_own_counts();

		if (own)
			__sync_fetch_and_add(&own->met, 1);
		return 0;
	}
	struct kmem_cpu_last *last = kmem_last_of_cpu();

	/* Some kernels tell of a kmalloc that went to the page allocator twice. */
	if (last && request->cache == KMEM_CACHE_LARGE && last->allocated == address)
		return 0;
	OBSERVE_COUNT(events);
	struct kmem_cache_state *state = kmem_cache_state(request->cache);
	struct kmem_block *stored = bpf_map_lookup_elem(&kmem_blocks, &address);

	if (last) {
		last->recorded = 0;
		last->allocated = address;
	}
	if (state)
		KMEM_CACHE_COUNT(state, allocs);
	if (stored) {
		struct kmem_cache_state *old = kmem_cache_state(stored->group.cache);

		if (old)
			KMEM_CACHE_COUNT(old, reused);
		OBSERVE_COUNT(reused);
		kmem_remove(address, stored, KMEM_EVENT_REUSED, NULL);
	}
	if (request->bytes < kmem_min_bytes || request->bytes > kmem_max_bytes)
		return 0;
	if (kmem_cache_filter && (!state || !state->wanted))
		return 0;
	struct kmem_block block = {
		.group =
			{
				.cache = request->cache,
				.bytes = request->bytes,
				.kind = request->kind,
			},
	};

	if (!kmem_is_target(&block.group.tgid)) {
		struct kmem_own *own = kmem_own_counts();

		if (own && block.group.tgid == kmem_own_tgid)
			__sync_fetch_and_add(&own->bytes, request->bytes);
		return 0;
	}
	if (observe_sample(request->stream, request->bytes, &block.group.level))
		kmem_record(ctx, request, &block, last);
	return 0;
}

/* `cache`: of the object, where the event tells; the record's own otherwise. */
static __always_inline int kmem_free(__u64 address, __u64 cache, int slab)
{
	struct kmem_block *stored = bpf_map_lookup_elem(&kmem_blocks, &address);

	OBSERVE_COUNT(events);
	if (stored)
		cache = stored->group.cache;
	else if (slab && cache == KMEM_CACHE_NONE)
		cache = kmem_cache_of(address);
	struct kmem_cache_state *state = kmem_cache_state(cache);

	if (state)
		KMEM_CACHE_COUNT(state, frees);
	struct kmem_cpu_last *last = kmem_last_of_cpu();

	if (stored)
		kmem_remove(address, stored, KMEM_EVENT_FREE, last);
	else
		OBSERVE_COUNT(unknown_free);
	if (last && last->allocated == address)
		last->allocated = 0;
	return 0;
}
