/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whole walks that this CPU has made, so that the same one need not be made again: see struct
 * observe_walked in observe_unwind.h for the rule. Part of observe_unwind.bpf.h.
 */
#pragma once

/* Where a walk begins: ip is where the CPU was. */
struct observe_start {
	__u64 ip;
	__u64 sp;
	__u64 fp;
	__u32 list; /* the id of the mappings' map; 0: there is none */
	__u32 tgid; /* whose mappings they are */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OBSERVE_WALKED);
	__type(key, __u32);
	__type(value, struct observe_walked);
} observe_walks SEC(".maps");

/* The stack as it is now, for the first scratches, and claimed with them. */
struct observe_memory {
	__u64 words[OBSERVE_WALKED_BYTES / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OBSERVE_WALKED_AT_ONCE);
	__type(key, __u32);
	__type(value, struct observe_memory);
} observe_memories SEC(".maps");

static __always_inline struct observe_walked *observe_walked_at(const struct observe_start *start)
{
	__u64 hash = observe_mix(observe_mix(start->list, start->ip), start->sp);
	__u32 index = hash >> (64 - OBSERVE_WALKED_LOG2);

	return bpf_map_lookup_elem(&observe_walks, &index);
}

/* The id that a walk from here would find; 0: it has to be made. Global, so that the verifier looks
 * at it once. */
__weak __u64 observe_walked_recall(struct observe_scratch *scratch, struct observe_start *start,
				   __u32 back)
{
	struct observe_walked *walked;
	struct observe_memory *memory;
	__u64 turns, stack, different = 0;
	__u32 index, words, bytes;

	if (!scratch || !start)
		return 0;
	index = scratch->index;
	memory = bpf_map_lookup_elem(&observe_memories, &index);
	walked = observe_walked_at(start);
	if (!memory || !walked || !start->list)
		return 0;
	turns = *(volatile __u64 *)&walked->turns;
	if (turns & 1 || walked->ip != start->ip || walked->sp != start->sp ||
	    walked->list != start->list || walked->tgid != start->tgid || walked->back != back)
		return 0;
	if (walked->needs_fp && walked->fp != start->fp)
		return 0;
	stack = walked->stack;
	words = walked->words;
	bytes = walked->bytes;
	if (!stack || bytes > sizeof(*memory) ||
	    bpf_probe_read_user(memory, bytes, (void *)start->sp))
		return 0;
	for (__u32 i = 0; i < OBSERVE_WALKED_WORDS; i++) {
		if (i >= words)
			break;
		__u32 at = walked->at[i] % (OBSERVE_WALKED_BYTES / 8);

		different |= memory->words[at] ^ walked->value[i];
	}
	return different || *(volatile __u64 *)&walked->turns != turns ? 0 : stack;
}

/* For the walk that is to be made: it notes what it goes by. NULL: another one is noting there. */
static __always_inline struct observe_walked *
observe_walked_begin(const struct observe_start *start, __u32 back)
{
	struct observe_walked *walked = observe_walked_at(start);
	__u64 turns;

	if (!walked)
		return NULL;
	turns = *(volatile __u64 *)&walked->turns;
	if (turns & 1 || __sync_val_compare_and_swap(&walked->turns, turns, turns + 1) != turns)
		return NULL;
	walked->ip = start->ip;
	walked->sp = start->sp;
	walked->fp = start->fp;
	walked->stack = 0;
	walked->list = start->list;
	walked->tgid = start->tgid;
	walked->back = back;
	walked->needs_fp = 0;
	walked->words = 0;
	walked->bytes = 0;
	return walked;
}

/* 0: it does not fit. */
static __always_inline int observe_walked_add(struct observe_walked *walked, __u64 slot,
					      __u64 value)
{
	__u64 at = slot - walked->sp;
	__u32 word = walked->words;

	if (word >= OBSERVE_WALKED_WORDS || at > OBSERVE_WALKED_BYTES - 8 || at % 8)
		return 0;
	walked->value[word] = value;
	walked->at[word] = at / 8;
	walked->words = word + 1;
	if (walked->bytes < at + 8)
		walked->bytes = at + 8;
	return 1;
}

/* `stack`: 0 when it is not to be remembered. */
static __always_inline void observe_walked_end(struct observe_walked *walked, __u64 stack)
{
	walked->stack = stack;
	__sync_fetch_and_add(&walked->turns, 1);
}
