/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The stack store of the tracers, BPF side: take a stack into scratch, find or store it, give its
 * id. Scratch is claimed by an atomic flag, since a program can be preempted by another run of
 * itself on the same CPU (uprobes are; tracepoints in an interrupt come in between). Layout and
 * rules: observe_stack.h. Include after vmlinux.h, bpf_helpers.h and observe_stack.h.
 */
#pragma once

#define OBSERVE_SCRATCH_PER_CPU 4 /* task, softirq, hardirq, nmi; and tasks that preempt */
#define OBSERVE_STACK_PROBES 4	  /* places that stacks of one hash may take */

struct observe_scratch {
	__u64 claimed;
	__u64 index; /* its own */
	struct observe_stack stack;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OBSERVE_SCRATCH_PER_CPU);
	__type(key, __u32);
	__type(value, struct observe_scratch);
} observe_scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
#ifndef OBSERVE_STACK_PREALLOCATED
	__uint(map_flags, BPF_F_NO_PREALLOC);
#endif
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct observe_stack);
} observe_stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct observe_losses);
} observe_counts SEC(".maps");

/* Never NULL in fact; the verifier wants the check. */
static __always_inline struct observe_losses *observe_losses(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&observe_counts, &zero);
}

#define OBSERVE_COUNT(field)                                                                       \
	do {                                                                                       \
		struct observe_losses *losses_ = observe_losses();                                 \
		if (losses_)                                                                       \
			__sync_fetch_and_add(&losses_->field, 1);                                  \
	} while (0)

/* NULL: all are in use on this CPU; the event then has no stack. Give it back by observe_release().
 */
static __always_inline struct observe_scratch *observe_claim(void)
{
	for (__u32 i = 0; i < OBSERVE_SCRATCH_PER_CPU; i++) {
		__u32 index = i;
		struct observe_scratch *scratch = bpf_map_lookup_elem(&observe_scratches, &index);

		if (scratch && __sync_val_compare_and_swap(&scratch->claimed, 0, 1) == 0) {
			scratch->index = i;
			return scratch;
		}
	}
	OBSERVE_COUNT(scratch_busy);
	return NULL;
}

static __always_inline void observe_release(struct observe_scratch *scratch)
{
	__sync_lock_test_and_set(&scratch->claimed, 0);
}

/* Takes the kernel stack into an empty head; `skip` frames of the leaf are left out. */
static __always_inline void observe_take_kernel(void *ctx, struct observe_stack *stack, __u64 skip)
{
	long bytes = bpf_get_stack(ctx, stack->frames, sizeof(stack->frames), skip);

	if (bytes < 0)
		bytes = 0;
	stack->head.kernel_frames = bytes / sizeof(__u64);
	if (bytes == sizeof(stack->frames))
		stack->head.flags |= OBSERVE_STACK_CUT_KERNEL;
}

static __always_inline __u64 observe_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 29);
}

static __always_inline __u32 observe_stack_length(const struct observe_stack *stack)
{
	__u32 frames = stack->head.kernel_frames + stack->head.user_frames;

	return frames > OBSERVE_STACK_FRAMES ? OBSERVE_STACK_FRAMES : frames;
}

static __noinline __u64 observe_stack_hash(struct observe_stack *stack)
{
	if (!stack)
		return 0;
	__u32 length = observe_stack_length(stack);
	__u64 hash = observe_mix(((__u64)stack->head.tgid << 32) | stack->head.kernel_frames,
				 ((__u64)stack->head.flags << 32) | stack->head.user_frames);

	for (__u32 i = 0; i < OBSERVE_STACK_FRAMES; i++) {
		if (i >= length)
			break;
		hash = observe_mix(hash, stack->frames[i]);
	}
	return hash ? hash : 1;
}

static __noinline int observe_stack_same(struct observe_stack *a, struct observe_stack *b)
{
	if (!a || !b)
		return 0;
	if (a->head.kernel_frames != b->head.kernel_frames ||
	    a->head.user_frames != b->head.user_frames || a->head.flags != b->head.flags ||
	    a->head.tgid != b->head.tgid)
		return 0;
	__u32 length = observe_stack_length(a);

	for (__u32 i = 0; i < OBSERVE_STACK_FRAMES; i++) {
		if (i >= length)
			break;
		if (a->frames[i] != b->frames[i])
			return 0;
	}
	return 1;
}

/*
 * The id of the stack in `scratch`, which is stored if it is new; 0 when there is no room, counted.
 * The value in the map has whatever the scratch held beyond the frames.
 */
static __always_inline __u64 observe_store(struct observe_stack *stack)
{
	__u64 id = observe_stack_hash(stack);

	if (stack->head.flags & (OBSERVE_STACK_CUT_KERNEL | OBSERVE_STACK_CUT_USER))
		OBSERVE_COUNT(stack_cut);
	for (int probe = 0; probe < OBSERVE_STACK_PROBES; probe++) {
		struct observe_stack *stored = bpf_map_lookup_elem(&observe_stacks, &id);

		if (!stored) {
			long error = bpf_map_update_elem(&observe_stacks, &id, stack, BPF_NOEXIST);

			if (!error)
				return id;
			if (error != -17) /* EEXIST: another CPU stored one under this hash now */
				break;
			stored = bpf_map_lookup_elem(&observe_stacks, &id);
		}
		if (stored && observe_stack_same(stored, stack))
			return id;
		id++;
	}
	OBSERVE_COUNT(stack_full);
	return 0;
}
