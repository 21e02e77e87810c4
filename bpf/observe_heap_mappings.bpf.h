/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a process maps and unmaps, by system calls, as events in the order in which the kernel did
 * it: a range goes at the entry of the call that unmaps it, since another thread may have it before
 * the call returns; it comes back when the call fails. User space keeps the intervals
 * (mapping_ledger.h), which may be unmapped in parts. For observe_heap.bpf.c.
 */
#pragma once

const volatile __u32 nr_mmap = ~0U, nr_munmap = ~0U, nr_mremap = ~0U, nr_brk = ~0U;

#define MREMAP_DONTUNMAP 4

static __always_inline struct observe_heap_event *
reserve_mapping(__u32 kind, const struct observe_heap_space *space)
{
	struct observe_heap_event *event = bpf_ringbuf_reserve(&heap_events, sizeof(*event), 0);

	if (!event) {
		OBSERVE_COUNT(ring_full);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->tgid = bpf_get_current_pid_tgid() >> 32;
	event->tid = bpf_get_current_pid_tgid();
	event->space = space->id;
	event->time_ns = bpf_ktime_get_ns();
	return event;
}

static __noinline int send_mapped(__u32 kind, struct observe_heap_space *space, __u64 address,
				  __u64 bytes)
{
	__u64 stack = observe_user_stack_of_task();
	struct observe_heap_event *event;

	if (!space)
		return 0;
	event = reserve_mapping(kind, space);
	if (!event)
		return 0;
	event->address = address;
	event->bytes = bytes;
	event->stack = stack;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* A process of 32 bits numbers its calls in another way. */
static __always_inline int is_native(struct pt_regs *regs)
{
#ifdef __TARGET_ARCH_x86
	return (BPF_CORE_READ(regs, cs) & 0xff) == 0x33;
#else
	return 1;
#endif
}

SEC("raw_tp/sys_enter")
int observe_heap_sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
	__u32 nr = ctx->args[1];
	struct observe_heap_space *space;
	struct observe_heap_event *event;
	__u64 bytes;

	if (nr != nr_munmap && nr != nr_mremap)
		return 0;
	space = current_space();
	if (!space || !is_native(regs))
		return 0;
	bytes = PT_REGS_PARM2_CORE_SYSCALL(regs);
	if (nr == nr_mremap && PT_REGS_PARM4_CORE_SYSCALL(regs) & MREMAP_DONTUNMAP)
		bytes = 0;
	event = reserve_mapping(OBSERVE_HEAP_UNMAPPING, space);
	if (!event)
		return 0;
	event->address = PT_REGS_PARM1_CORE_SYSCALL(regs);
	event->bytes = bytes;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __always_inline void send_unmapped(const struct observe_heap_space *space, int failed)
{
	struct observe_heap_event *event = reserve_mapping(OBSERVE_HEAP_UNMAPPED, space);

	if (!event)
		return;
	event->role = failed;
	bpf_ringbuf_submit(event, 0);
}

SEC("raw_tp/sys_exit")
int observe_heap_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
	__u64 result = ctx->args[1];
	__u32 nr = BPF_CORE_READ(regs, orig_ax);
	int failed = result >= (__u64)-4095;
	struct observe_heap_space *space;
	struct task_struct *task;
	__u64 start;

	if (nr != nr_mmap && nr != nr_munmap && nr != nr_mremap && nr != nr_brk)
		return 0;
	space = current_space();
	if (!space || !is_native(regs))
		return 0;
	if (nr == nr_munmap || nr == nr_mremap)
		send_unmapped(space, failed);
	if (failed || nr == nr_munmap)
		return 0;
	if (nr == nr_brk) {
		task = bpf_get_current_task_btf();
		start = BPF_CORE_READ(task, mm, start_brk);
		return send_mapped(OBSERVE_HEAP_BRK, space, start,
				   result > start ? result - start : 0);
	}
	return send_mapped(OBSERVE_HEAP_MAPPED, space, result,
			   nr == nr_mmap ? PT_REGS_PARM2_CORE_SYSCALL(regs)
					 : PT_REGS_PARM3_CORE_SYSCALL(regs));
}
