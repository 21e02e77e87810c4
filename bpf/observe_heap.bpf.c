// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * `observe leak`, in the kernel: blocks by address space and address, stats by stack
 * (observe_heap.h). One program for the entry and the return of a call where the kernel has
 * uprobe.session, two elsewhere; a program at the entry alone for frees. A process is looked at
 * when it has a space.
 */
#include "bpf/vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "bpf/observe_heap.h"
#include "bpf/observe_stack.bpf.h"
#include "bpf/observe_unwind.h"
#include "bpf/observe_unwind.bpf.h"
#include "bpf/observe_sample.h"
#include "bpf/observe_heap_maps.bpf.h"
#include "bpf/observe_heap_spaces.bpf.h"
#include "bpf/observe_heap_mappings.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* A call of this depth below another one is inside it; a longer way down is another stack, or one
 * that was left by longjmp. */
#define NESTED_BYTES_MAX (1 << 20)

/* What a wrapper puts before the block that it gives out. */
#define HEADER_BYTES_MAX 64

static __always_inline __u64 argument(struct pt_regs *regs, __u32 index)
{
	__u64 first = PT_REGS_PARM1(regs), second = PT_REGS_PARM2(regs);
	__u64 third = PT_REGS_PARM3(regs), fourth = PT_REGS_PARM4(regs);

	/* Each at its own offset: the verifier takes no computed one into the context. */
	barrier_var(first);
	barrier_var(second);
	barrier_var(third);
	barrier_var(fourth);
	switch (index) {
	case 0:
		return first;
	case 1:
		return second;
	case 2:
		return third;
	default:
		return fourth;
	}
}

static __always_inline __u64 product(__u64 count, __u64 bytes)
{
	__u64 most = count ? ~0ULL / count : ~0ULL;

	barrier_var(most); /* or clang makes a 128-bit product of it */
	return bytes > most ? ~0ULL /* the call will fail */ : count * bytes;
}

static __always_inline __u64 bytes_asked(struct pt_regs *regs, __u32 role, __u32 first)
{
	switch (role) {
	case OBSERVE_HEAP_CALLOC:
		return product(argument(regs, first), argument(regs, first + 1));
	case OBSERVE_HEAP_REALLOC:
	case OBSERVE_HEAP_ALIGNED_ALLOC:
	case OBSERVE_HEAP_MEMALIGN:
		return argument(regs, first + 1);
	case OBSERVE_HEAP_REALLOCARRAY:
		return product(argument(regs, first + 1), argument(regs, first + 2));
	case OBSERVE_HEAP_POSIX_MEMALIGN:
		return argument(regs, first + 2);
	default:
		return argument(regs, first);
	}
}

static __always_inline int is_nested(const struct observe_heap_task *task, struct pt_regs *regs)
{
	__u64 sp = PT_REGS_SP(regs);

	return task->stack_pointer && sp < task->stack_pointer &&
	       task->stack_pointer - sp < NESTED_BYTES_MAX;
}

static __always_inline void send_block(__u32 kind, __u32 space, __u64 address,
				       const struct observe_heap_block *block)
{
	struct observe_heap_event *event;

	if (!trace_events)
		return;
	event = bpf_ringbuf_reserve(&heap_events, sizeof(*event), 0);
	if (!event) {
		OBSERVE_COUNT(ring_full);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->tgid = bpf_get_current_pid_tgid() >> 32;
	event->tid = bpf_get_current_pid_tgid();
	event->space = space;
	event->time_ns = bpf_ktime_get_ns();
	event->address = address;
	event->bytes = block->bytes;
	event->stack = block->stack;
	event->role = block->role;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
}

/* A block has gone: by free, or by a realloc that went well. */
static __always_inline void count_free(const struct observe_heap_key *key,
				       const struct observe_heap_block *block,
				       struct observe_heap_task *task)
{
	struct observe_heap_stat *stat = find_stat(key->space, block);

	if (!stat)
		return;
	__sync_fetch_and_add(&stat->freed_blocks, 1);
	__sync_fetch_and_add(&stat->freed_bytes, block->bytes);
	__sync_fetch_and_add(&stat->live_bytes, -block->bytes);
	if (task && task->last_address == key->address) {
		__sync_fetch_and_add(&stat->temporary, 1);
		task->last_address = 0;
	}
	COUNT_HEAP(frees);
	send_block(OBSERVE_HEAP_FREED, key->space, key->address, block);
}

/* Takes the block at `address` out of the map into *block. 0: there is none. */
static __always_inline int take_out(struct observe_heap_key *key, struct observe_heap_block *block)
{
	struct observe_heap_block *known = bpf_map_lookup_elem(&heap_blocks, key);

	if (!known)
		return 0;
	*block = *known;
	/* Two threads that free one block: the kernel lets one of them take it. */
	return bpf_map_delete_elem(&heap_blocks, key) == 0;
}

static __always_inline void put_block(struct observe_heap_key *key,
				      struct observe_heap_block *block)
{
	struct observe_heap_block old;

	if (take_out(key, &old)) {
		COUNT_HEAP(replaced);
		count_free(key, &old, NULL);
	}
	if (bpf_map_update_elem(&heap_blocks, key, block, BPF_ANY))
		OBSERVE_COUNT(map_full);
}

static __noinline int record(struct pt_regs *regs, struct observe_heap_task *task, __u32 space,
			     __u64 address)
{
	struct observe_heap_key key = {.address = address, .space = space};
	struct observe_heap_block block = {
		.time_ns = bpf_ktime_get_ns(),
		.tid = bpf_get_current_pid_tgid(),
	};
	struct observe_heap_stat *stat;

	if (!regs || !task)
		return 0;
	block.bytes = task->bytes;
	block.role = task->role;
	block.level = task->level;
	block.stack = observe_user_stack(regs, 1); /* from the return address into the call */
	put_block(&key, &block);
	stat = find_stat(space, &block);
	if (!stat) {
		OBSERVE_COUNT(map_full);
		return 0;
	}
	__sync_fetch_and_add(&stat->calls, 1);
	__sync_fetch_and_add(&stat->bytes, block.bytes);
	add_live(stat, block.bytes);
	task->last_address = address;
	COUNT_HEAP(allocations);
	send_block(OBSERVE_HEAP_ALLOCATED, space, address, &block);
	return 0;
}

/* Whether a call of this size is looked at; the level it was sampled at goes into the task. A
 * thread has its own sampler: no other call can come between. */
static __always_inline int is_chosen(struct observe_heap_task *task, __u64 bytes)
{
	struct observe_heap_control *now;
	__u64 seed = 0;

	if (bytes < bytes_min || bytes > bytes_max)
		return 0;
	if (!sample_bytes)
		return 1;
	now = control();
	if (!now)
		return 0;
	task->level = *(volatile __u32 *)&now->sample_level & (OBSERVE_SAMPLE_LEVELS - 1);
	if (!task->sampler.random)
		seed = sample_seed + __sync_fetch_and_add(&samplers, 1);
	return observe_sampler_take(&task->sampler, bytes, sample_bytes << task->level, seed);
}

/* The entry of a call that gives a block. 1: its return is of no interest. */
static __noinline int on_entry(struct pt_regs *regs, __u64 cookie)
{
	__u32 role = cookie & 0xff, first = (cookie >> 8) & 3;
	struct observe_heap_space *space = current_space();
	struct observe_heap_task *task;
	int chosen, jumped;

	if (!space || !regs)
		return 1;
	task = current_task();
	if (!task) {
		OBSERVE_COUNT(map_full);
		return 1;
	}
	if (is_nested(task, regs))
		return 1;
	OBSERVE_COUNT(events);
	/* reallocarray that jumps to realloc has taken the block out already. */
	jumped = task->has_old && task->stack_pointer == PT_REGS_SP(regs);
	task->bytes = bytes_asked(regs, role, first);
	task->role = role;
	chosen = is_chosen(task, task->bytes);
	if (!jumped) {
		task->has_old = 0;
		if (role == OBSERVE_HEAP_REALLOC || role == OBSERVE_HEAP_REALLOCARRAY) {
			task->old_key.address = argument(regs, first);
			task->old_key.space = space->id;
			if (task->old_key.address)
				task->has_old = take_out(&task->old_key, &task->old);
		}
	}
	if (role == OBSERVE_HEAP_POSIX_MEMALIGN)
		task->result_at = argument(regs, first);
	task->skipped = !chosen;
	if (!chosen) {
		COUNT_HEAP(skipped);
		/* What may call malloc inside is followed to its return, or that would be counted.
		 */
		if (role == OBSERVE_HEAP_MALLOC && !has_wrappers) {
			task->stack_pointer = 0;
			return 1;
		}
	}
	task->stack_pointer = PT_REGS_SP(regs);
	return 0;
}

static __always_inline void put_back(struct observe_heap_task *task)
{
	if (bpf_map_update_elem(&heap_blocks, &task->old_key, &task->old, BPF_ANY))
		OBSERVE_COUNT(map_full);
}

static __noinline int on_return(struct pt_regs *regs)
{
	struct observe_heap_space *space = current_space();
	struct observe_heap_task *task = space ? current_task() : NULL;
	__u64 address;

	if (!space || !task || !task->stack_pointer || !regs)
		return 0;
	if (PT_REGS_SP(regs) <= task->stack_pointer) /* the return of a call inside */
		return 0;
	task->stack_pointer = 0;
	address = PT_REGS_RC(regs);
	if (task->role == OBSERVE_HEAP_POSIX_MEMALIGN) {
		__u64 at = task->result_at, failed = (__u32)address;

		address = 0;
		if (!failed)
			bpf_probe_read_user(&address, sizeof(address), (void *)at);
	}
	if (task->has_old) {
		task->has_old = 0;
		/* A realloc to no bytes that gives nothing has freed the block. */
		if (!address && task->bytes)
			put_back(task);
		else
			count_free(&task->old_key, &task->old, task);
	}
	if (task->skipped)
		return 0;
	if (!address) {
		COUNT_HEAP(failed);
		return 0;
	}
	return record(regs, task, space->id, address);
}

/* The free that a wrapper calls, of the block with the wrapper's header before it. */
static __always_inline int is_inside_free(const struct observe_heap_task *task, __u64 address)
{
	return task->last_freed && task->last_freed - address <= HEADER_BYTES_MAX;
}

static __noinline int on_free(struct pt_regs *regs, __u64 cookie)
{
	struct observe_heap_space *space = current_space();
	struct observe_heap_task *task;
	struct observe_heap_block block;
	struct observe_heap_key key = {};

	if (!space || !regs)
		return 0;
	key.address = argument(regs, (cookie >> 8) & 3);
	key.space = space->id;
	if (!key.address)
		return 0;
	task = current_task();
	if (task && is_nested(task, regs))
		return 0;
	OBSERVE_COUNT(events);
	if (take_out(&key, &block)) {
		count_free(&key, &block, task);
		if (has_wrappers && task)
			task->last_freed = key.address;
	} else if (has_wrappers && task && is_inside_free(task, key.address)) {
		task->last_freed = 0;
	} else {
		OBSERVE_COUNT(unknown_free);
		if (space->from_start && !sample_bytes && !bytes_min && bytes_max == ~0ULL)
			COUNT_HEAP(invalid_frees);
	}
	return 0;
}

/* Where the dynamic linker tells that libraries have come. Our own child waits there until its
 * probes and tables stand; it is a stop
 * by SIGSTOP, which its parent may see. */
static __noinline int on_loaded(struct pt_regs *regs)
{
	struct observe_heap_space *space = current_space();

	if (space)
		send_loaded(space);
	return 0;
}

/* 1: the return of this call is of no interest. */
static __always_inline int on_call(struct pt_regs *regs)
{
	__u64 cookie = bpf_get_attach_cookie(regs);

	count_hit(cookie, 0);
	switch (cookie & 0xff) {
	case OBSERVE_HEAP_FREE:
	case OBSERVE_HEAP_OPERATOR_DELETE:
		on_free(regs, cookie);
		return 1;
	case OBSERVE_HEAP_OPERATOR_NEW:
		/* One that does not come by malloc and may throw: its calls are counted, no more.
		 */
		if (current_space())
			COUNT_HEAP(unseen_new);
		return 1;
	case OBSERVE_HEAP_DLOPEN:
		on_loaded(regs);
		return 1;
	default:
		return on_entry(regs, cookie);
	}
}

extern bool bpf_session_is_return(void) __ksym __weak;

/* uprobe.session: entry and return. */
SEC("uprobe")
int observe_heap_session(struct pt_regs *ctx)
{
	if (bpf_session_is_return()) {
		count_hit(bpf_get_attach_cookie(ctx), 1);
		return on_return(ctx);
	}
	return on_call(ctx);
}

SEC("uprobe")
int observe_heap_call(struct pt_regs *ctx)
{
	on_call(ctx);
	return 0;
}

SEC("uretprobe")
int observe_heap_return(struct pt_regs *ctx)
{
	count_hit(bpf_get_attach_cookie(ctx), 1);
	return on_return(ctx);
}
