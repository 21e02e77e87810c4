// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What the tests of the user-stack unwinder load: one program for each way to an event, which
 * stores the stack of the process under test, and how long taking it took. */
#include "bpf/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "bpf/observe_stack.h"
#include "bpf/observe_stack.bpf.h"
#include "bpf/observe_unwind.h"
#include "bpf/observe_unwind.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 traced_tgid;

__u64 taken_ns;	    /* sum */
__u64 taken;	    /* stacks */
__u64 taken_frames; /* of them */
__u64 taken_cut;    /* of them, by the walk */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} test_stacks SEC(".maps");

static __always_inline int emit(struct pt_regs *regs)
{
	struct observe_stack *stack;
	__u64 began, id;

	if (bpf_get_current_pid_tgid() >> 32 != traced_tgid)
		return 0;
	began = bpf_ktime_get_ns();
	id = regs ? observe_user_stack(regs, 0) : observe_user_stack_of_task();
	__sync_fetch_and_add(&taken_ns, bpf_ktime_get_ns() - began);
	stack = bpf_map_lookup_elem(&observe_stacks, &id);
	if (!stack)
		return 0;
	__sync_fetch_and_add(&taken, 1);
	__sync_fetch_and_add(&taken_frames, stack->head.user_frames);
	if (stack->head.flags & OBSERVE_STACK_CUT_USER)
		__sync_fetch_and_add(&taken_cut, 1);
	bpf_ringbuf_output(&test_stacks, stack, sizeof(*stack), 0);
	return 0;
}

SEC("uprobe")
int by_uprobe(struct pt_regs *regs)
{
	return emit(regs);
}

SEC("uretprobe")
int by_uretprobe(struct pt_regs *regs)
{
	return 0;
}

SEC("raw_tp/sys_enter")
int by_raw_tp(struct bpf_raw_tracepoint_args *args)
{
	if (args->args[1] != 110) /* getppid: no one else's test calls it */
		return 0;
	return emit(NULL);
}

SEC("perf_event")
int by_perf_event(struct bpf_perf_event_data *ctx)
{
	return emit(NULL);
}
