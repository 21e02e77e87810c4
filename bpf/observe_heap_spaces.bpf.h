/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Spaces as processes come and go (observe_heap.h): fork copies what is live, exec begins anew,
 * exit ends. For observe_heap.bpf.c.
 */
#pragma once

#define SIGSTOP 19

static __always_inline void send_space(__u32 kind, __u32 tgid, __u32 space, __u32 from,
				       __u32 reason, struct task_struct *task)
{
	struct observe_heap_event *event = bpf_ringbuf_reserve(&heap_events, sizeof(*event), 0);

	if (!event) {
		OBSERVE_COUNT(ring_full);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->tgid = tgid;
	event->space = space;
	event->from = from;
	event->role = reason;
	event->time_ns = bpf_ktime_get_ns();
	bpf_probe_read_kernel_str(event->comm, sizeof(event->comm), task->comm);
	bpf_ringbuf_submit(event, 0);
}

/* New code is mapped; a process of ours waits until we have looked at it. */
static __always_inline void send_loaded(const struct observe_heap_space *space)
{
	struct observe_heap_event *event = bpf_ringbuf_reserve(&heap_events, sizeof(*event), 0);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u8 one = 1;

	if (!event) {
		OBSERVE_COUNT(ring_full);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = OBSERVE_HEAP_LOADED;
	event->tgid = tgid;
	event->space = space->id;
	if (space->stops && !bpf_map_update_elem(&heap_stopped, &tgid, &one, BPF_ANY)) {
		event->role = 1;
		bpf_send_signal(SIGSTOP);
	}
	bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
}

struct fork_copy {
	__u32 from;
	__u32 to;
};

static long copy_block(struct bpf_map *map, struct observe_heap_key *key,
		       struct observe_heap_block *block, struct fork_copy *copy)
{
	struct observe_heap_key to;
	struct observe_heap_stat *stat;
	struct observe_heap_block same;

	if (key->space != copy->from)
		return 0;
	to = *key;
	to.space = copy->to;
	same = *block;
	if (bpf_map_update_elem(&heap_blocks, &to, &same, BPF_ANY)) {
		OBSERVE_COUNT(map_full);
		return 0;
	}
	COUNT_HEAP(copied);
	stat = find_stat(copy->to, &same);
	if (stat)
		add_live(stat, same.bytes);
	return 0;
}

/* The child does not run yet. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(observe_heap_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid, to = child->tgid;
	struct observe_heap_space *space = bpf_map_lookup_elem(&heap_spaces, &from);
	struct fork_copy copy = {};
	struct observe_heap_space own;

	if (from == to || !space || !follow_children)
		return 0;
	own = *space;
	observe_unwind_fork(from, to);
	if (parent->mm == child->mm) { /* vfork */
		if (bpf_map_update_elem(&heap_spaces, &to, &own, BPF_ANY))
			OBSERVE_COUNT(map_full);
		return 0;
	}
	copy.from = own.id;
	copy.to = own.id = __sync_fetch_and_add(&last_space, 1) + 1;
	if (bpf_map_update_elem(&heap_spaces, &to, &own, BPF_ANY)) {
		OBSERVE_COUNT(map_full);
		return 0;
	}
	bpf_for_each_map_elem(&heap_blocks, copy_block, &copy, 0);
	send_space(OBSERVE_HEAP_SPACE, to, copy.to, copy.from, OBSERVE_HEAP_BY_FORK, child);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(observe_heap_exec, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	__u32 tgid = task->tgid;
	struct observe_heap_space *space = bpf_map_lookup_elem(&heap_spaces, &tgid);
	struct observe_heap_space own = {};
	__u32 from;

	if (!space)
		return 0;
	from = space->id;
	observe_unwind_exec(tgid);
	/* One that does not wait runs before its probes stand. */
	own.stops = own.from_start = space->stops;
	own.id = __sync_fetch_and_add(&last_space, 1) + 1;
	bpf_map_update_elem(&heap_spaces, &tgid, &own, BPF_ANY);
	send_space(OBSERVE_HEAP_SPACE, tgid, own.id, from, OBSERVE_HEAP_BY_EXEC, task);
	send_loaded(&own);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(observe_heap_exit, struct task_struct *task)
{
	__u32 tgid = task->tgid;
	struct observe_heap_space *space;

	if (task->signal->live.counter != 0)
		return 0;
	space = bpf_map_lookup_elem(&heap_spaces, &tgid);
	if (!space)
		return 0;
	send_space(OBSERVE_HEAP_ENDED, tgid, space->id, 0, 0, task);
	bpf_map_delete_elem(&heap_spaces, &tgid);
	bpf_map_delete_elem(&heap_stopped, &tgid);
	observe_unwind_exit(tgid);
	return 0;
}
