/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The user-stack unwinder of the tracers: from the registers at an event to the return addresses of
 * all callers, by the .eh_frame tables that UnwindTables (observe/unwind/) put into the maps below,
 * by frame pointers where an object has none (so on all machines but x86-64), and blindly by frame
 * pointers in a process that was not learned yet. Include after vmlinux.h, bpf_helpers.h,
 * bpf_tracing.h, bpf_core_read.h, observe_stack.bpf.h and observe_unwind.h. Tracers call
 * observe_user_stack() or observe_user_stack_of_task().
 *
 * Rule: a frame is only stored when its address lies in a known executable mapping, so a stack may
 * be cut (and says so), but its frames are callers. A blind walk cannot hold this; it says so too.
 */
#pragma once

#include "bpf/observe_walked.bpf.h"

/* Process (tgid) -> its mappings. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OBSERVE_UNWIND_PROCESSES);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
			__uint(max_entries, 1);
			__type(key, __u32);
			__type(value, struct observe_unwind_mapping);
		});
} observe_unwind_processes SEC(".maps");

/* Object -> its table. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, OBSERVE_UNWIND_OBJECTS);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
			__uint(max_entries, 1);
			__type(key, __u32);
			__type(value,
			       struct observe_unwind_row[OBSERVE_UNWIND_CHUNK_ROWS]); /* a chunk */
		});
} observe_unwind_tables SEC(".maps");

/* Processes in which an address was met that no known mapping holds, for UnwindTables to learn. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OBSERVE_UNWIND_WANTED);
	__type(key, __u32);
	__type(value, __u64);
} observe_unwind_wanted SEC(".maps");

/* Rows that walks on this CPU have found (observe_unwind.h). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OBSERVE_UNWIND_KNOWN);
	__type(key, __u32);
	__type(value, struct observe_unwind_known);
} observe_unwind_known SEC(".maps");

/*
 * Process -> the process whose mappings are its own too, until it is learned: its parent, since it
 * forked; or OBSERVE_UNWIND_NOBODY, since it has executed another program.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OBSERVE_UNWIND_PROCESSES);
	__type(key, __u32);
	__type(value, __u32);
} observe_unwind_same SEC(".maps");

/* For tracers that follow processes; what is not told is found out by UnwindTables a little later.
 */
static __always_inline void observe_unwind_fork(__u32 parent, __u32 child)
{
	__u32 *same = bpf_map_lookup_elem(&observe_unwind_same, &parent);
	__u32 whose = same ? *same : parent;

	bpf_map_update_elem(&observe_unwind_same, &child, &whose, BPF_ANY);
}

static __always_inline void observe_unwind_exec(__u32 process)
{
	__u32 nobody = OBSERVE_UNWIND_NOBODY;

	bpf_map_update_elem(&observe_unwind_same, &process, &nobody, BPF_ANY);
}

static __always_inline void observe_unwind_exit(__u32 process)
{
	bpf_map_delete_elem(&observe_unwind_same, &process);
}

enum observe_walk_state {
	OBSERVE_WALK_ON = 0,
	OBSERVE_WALK_END = 1,
	OBSERVE_WALK_CUT = 2,
};

struct observe_walk {
	struct observe_stack *stack;
	struct observe_walked *noted; /* NULL: this walk is not to be remembered */
	__u64 fp_slot;		      /* where fp was read from; 0: it is the one of the start */
	__u64 ip;
	__u64 sp;
	__u64 fp;
	__u64 slot;			  /* where ip was read from */
	__u64 row;			  /* at ip, when it was known; else 0 */
	struct observe_unwind_mapping at; /* around ip, when row is 0 */
	__u32 list; /* of the process's mappings: the map's id; 0: it is going */
	__u32 fp_known;
	__u32 exact; /* ip is where the CPU was, not a return address */
	__u32 blind; /* the process is not known */
	__u32 state; /* observe_walk_state */
};

/* All ones when a <= b, else 0. Arithmetic, since each branch doubles what the verifier walks.
 * REQUIRES: both below 2^63. */
static __always_inline __u64 observe_up_to(__u64 a, __u64 b)
{
	__s64 difference = (__s64)(a - b - 1);

	barrier_var(difference);
	return (__u64)(difference >> 63);
}

/*
 * The mapping of a process around pc. 0: there is none. Global, as the next one, so that the
 * verifier looks at it once, not in each of the states it is called in.
 */
__weak int observe_find_mapping(__u32 tgid, __u64 pc, struct observe_unwind_mapping *found)
{
	void *mappings = bpf_map_lookup_elem(&observe_unwind_processes, &tgid);
	__u32 index = 0;

	if (!mappings || !found || pc >> 63)
		return 0;
	for (__u32 step = 1 << (OBSERVE_UNWIND_MAPPINGS_LOG2 - 1); step; step >>= 1) {
		__u32 probe = index + step;
		struct observe_unwind_mapping *mapping = bpf_map_lookup_elem(mappings, &probe);

		if (mapping)
			index += step & observe_up_to(mapping->start, pc);
	}
	struct observe_unwind_mapping *mapping = bpf_map_lookup_elem(mappings, &index);

	if (!mapping || pc < mapping->start || pc >= mapping->end)
		return 0;
	*found = *mapping;
	return 1;
}

/* The row that holds at pc, as a number; 0 (OBSERVE_UNWIND_NONE): none does. */
__weak __u64 observe_find_row(__u32 object, __u32 chunks, __u64 pc)
{
	void *table = bpf_map_lookup_elem(&observe_unwind_tables, &object);
	__u32 low = 0, high = chunks, index = 0;

	if (!table || pc >> 32)
		return 0;
	for (int i = 0; i < OBSERVE_UNWIND_CHUNKS_LOG2 && low + 1 < high; i++) {
		__u32 middle = (low + high) / 2;
		struct observe_unwind_chunk *chunk = bpf_map_lookup_elem(table, &middle);

		if (!chunk)
			return 0;
		__u32 up = observe_up_to(chunk->rows[0].pc, pc);

		low += (middle - low) & up;
		high -= (high - middle) & ~up;
	}
	struct observe_unwind_chunk *chunk = bpf_map_lookup_elem(table, &low);

	if (!chunk)
		return 0;
#pragma unroll
	for (__u32 step = OBSERVE_UNWIND_CHUNK_ROWS / 2; step; step >>= 1) {
		__u32 probe = (index + step) & (OBSERVE_UNWIND_CHUNK_ROWS - 1);

		index += step & observe_up_to(chunk->rows[probe].pc, pc);
		index &= OBSERVE_UNWIND_CHUNK_ROWS - 1;
	}
	return *(__u64 *)&chunk->rows[index];
}

static __always_inline __u64 observe_known_hash(__u32 list, __u64 pc)
{
	return observe_mix(observe_mix(0, list), pc);
}

static __always_inline struct observe_unwind_known *observe_known(__u32 list, __u64 pc)
{
	__u32 index = observe_known_hash(list, pc) >> (64 - OBSERVE_UNWIND_KNOWN_LOG2);

	return bpf_map_lookup_elem(&observe_unwind_known, &index);
}

static __always_inline __u64 observe_known_check(__u32 list, __u64 pc, __u64 row)
{
	return observe_mix(observe_known_hash(list, pc), row);
}

/* The row that an earlier walk found at pc; 0: none. */
static __always_inline __u64 observe_recall(__u32 list, __u64 pc)
{
	struct observe_unwind_known *known = observe_known(list, pc);
	__u64 row;

	if (!list || !known || known->pc != pc || known->list != list)
		return 0;
	row = *(volatile __u64 *)&known->row;
	return known->check == observe_known_check(list, pc, row) ? row : 0;
}

static __always_inline void observe_remember(__u32 list, __u64 pc, __u64 row)
{
	struct observe_unwind_known *known = observe_known(list, pc);

	if (!list || !known || !row)
		return;
	known->pc = pc;
	known->list = list;
	known->row = row;
	known->check = observe_known_check(list, pc, row);
}

/* What holds in code that keeps frame pointers; at the leaf the frame may not be set up yet. */
static __always_inline struct observe_unwind_row
observe_row_of_frame_pointer(const struct observe_walk *walk)
{
	struct observe_unwind_row row = {.cfa = 2, .kind = OBSERVE_UNWIND_RBP, .rbp = -2};

#ifdef __TARGET_ARCH_x86
	__u8 code[4] = {};

	/* A uprobe's int3 may stand on the first byte, so the others decide. */
	if (walk->exact && !bpf_probe_read_user(code, sizeof(code), (void *)walk->ip)) {
		if (code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa) { /* endbr64 */
			row = (struct observe_unwind_row){.cfa = 1, .kind = OBSERVE_UNWIND_RSP};
		} else if (code[1] == 0x48 && code[2] == 0x89 && code[3] == 0xe5) { /* push rbp */
			row = (struct observe_unwind_row){.cfa = 1, .kind = OBSERVE_UNWIND_RSP};
		} else if (code[1] == 0x89 && code[2] == 0xe5) { /* mov rsp, rbp */
			row.kind = OBSERVE_UNWIND_RSP;
		}
	}
#endif
	if (row.kind == OBSERVE_UNWIND_RBP && walk->fp_known && !walk->fp)
		row.kind = OBSERVE_UNWIND_END;
	return row;
}

/* A signal handler's caller: the kernel's x86-64 sigcontext, 40 bytes into the ucontext at rsp. */
static __always_inline void observe_step_signal(struct observe_walk *walk)
{
	__u64 rsp_rip[2] = {}, rbp = 0;

	if (bpf_probe_read_user(&rbp, sizeof(rbp), (void *)(walk->sp + 120)) ||
	    bpf_probe_read_user(rsp_rip, sizeof(rsp_rip), (void *)(walk->sp + 160))) {
		walk->state = OBSERVE_WALK_CUT;
		return;
	}
	walk->noted = NULL;
	walk->slot = walk->sp + 168;
	walk->sp = rsp_rip[0];
	walk->ip = rsp_rip[1];
	walk->fp = rbp;
	walk->fp_known = 1;
	walk->exact = 1;
}

/* The walk goes by this word. */
static __always_inline void observe_note(struct observe_walk *walk, __u64 slot, __u64 value)
{
	if (walk->noted && !observe_walked_add(walk->noted, slot, value))
		walk->noted = NULL;
}

static __always_inline void observe_note_fp(struct observe_walk *walk)
{
	if (walk->fp_slot)
		observe_note(walk, walk->fp_slot, walk->fp);
	else if (walk->noted)
		walk->noted->needs_fp = 1;
}

/* Makes the registers the caller's, by a row with a CFA. */
static __always_inline void observe_step_frame(struct observe_walk *walk,
					       struct observe_unwind_row row)
{
	__u64 saved[2] = {}, rbp = walk->fp;
	__u64 cfa = walk->sp + row.cfa * 8LL;

	walk->state = OBSERVE_WALK_CUT;
	if (row.kind == OBSERVE_UNWIND_RBP) {
		if (!walk->fp_known)
			return;
		observe_note_fp(walk);
		cfa = walk->fp + row.cfa * 8LL;
	} else if (row.kind == OBSERVE_UNWIND_PLT) {
		cfa = walk->sp + ((walk->ip & 15) >= (__u64)row.cfa ? 16 : 8);
	}
	if (cfa <= walk->sp) /* stacks grow down; this ends every circle */
		return;
	/* Below rsp there may be a page that was never touched. */
	if (bpf_probe_read_user(saved, sizeof(saved), (void *)(cfa - 16)) &&
	    bpf_probe_read_user(&saved[1], sizeof(saved[1]), (void *)(cfa - 8)))
		return;
	observe_note(walk, cfa - 8, saved[1]);
	if (row.rbp == OBSERVE_UNWIND_RBP_UNKNOWN)
		walk->fp_known = 0;
	else if (row.rbp == -2)
		rbp = saved[0];
	else if (row.rbp && bpf_probe_read_user(&rbp, sizeof(rbp), (void *)(cfa + row.rbp * 8LL)))
		return;
	if (row.rbp)
		walk->fp_slot = cfa + row.rbp * 8LL;
	walk->state = OBSERVE_WALK_ON;
	walk->slot = cfa - 8;
	walk->sp = cfa;
	walk->ip = saved[1];
	walk->fp = rbp;
	walk->exact = 0;
}

struct observe_hijacked {
	struct return_instance *instance;
	__u64 slot;
	__u64 address; /* result; 0: not found */
};

static long observe_hijacked_step(__u32 index, struct observe_hijacked *search)
{
	struct return_instance *instance = search->instance;

	if (!instance)
		return 1;
	if (BPF_CORE_READ(instance, stack) == search->slot) {
		search->address = BPF_CORE_READ(instance, orig_ret_vaddr);
		return 1;
	}
	search->instance = BPF_CORE_READ(instance, next);
	return 0;
}

/* The return address that a uretprobe replaced in this stack slot; 0: none did. */
static __always_inline __u64 observe_hijacked_return(__u64 slot)
{
	struct observe_hijacked search = {.slot = slot};
	struct task_struct *task = bpf_get_current_task_btf();

	if (!bpf_core_field_exists(struct return_instance, orig_ret_vaddr))
		return 0;
	search.instance = BPF_CORE_READ(task, utask, return_instances);
	if (search.instance) /* the kernel nests 64 of them */
		bpf_loop(64, observe_hijacked_step, &search, 0);
	return search.address;
}

static __always_inline void observe_want(__u32 tgid)
{
	__u64 since = 0;

	if (!bpf_map_lookup_elem(&observe_unwind_wanted, &tgid))
		bpf_map_update_elem(&observe_unwind_wanted, &tgid, &since, BPF_NOEXIST);
}

static __always_inline int observe_enter_mapping(struct observe_walk *walk)
{
	__u64 pc = walk->ip - !walk->exact;

	if (pc >= walk->at.start && pc < walk->at.end)
		return 1;
	return observe_find_mapping(walk->stack->head.tgid, pc, &walk->at);
}

/* Whether ip, just found, is code; an address of the uretprobe trampoline is made the one it hides.
 */
static __always_inline int observe_accept(struct observe_walk *walk)
{
	if (walk->blind)
		return walk->ip >= 4096 && walk->ip < 1ULL << 47;
	walk->row = observe_recall(walk->list, walk->ip - !walk->exact);
	if (walk->row || observe_enter_mapping(walk))
		return 1;
	if (!walk->exact) {
		__u64 hidden = observe_hijacked_return(walk->slot);

		if (hidden) {
			walk->noted = NULL;
			walk->ip = hidden;
			if (observe_enter_mapping(walk))
				return 1;
		}
	}
	observe_want(bpf_get_current_pid_tgid() >> 32);
	return 0;
}

static __always_inline int observe_append(struct observe_stack *stack, __u64 address)
{
	__u32 index = stack->head.kernel_frames + stack->head.user_frames;

	if (index >= OBSERVE_STACK_FRAMES)
		return 0;
	stack->frames[index] = address;
	stack->head.user_frames++;
	return 1;
}

/* From one frame to its caller. For bpf_loop: 1 ends it. */
static long observe_walk_step(__u32 index, struct observe_walk *walk)
{
	struct observe_unwind_row row;
	__u64 found = walk->row;

	if (!found && walk->at.chunks) {
		__u64 pc = walk->ip - !walk->exact;

		found = observe_find_row(walk->at.object, walk->at.chunks, pc - walk->at.bias);
		observe_remember(walk->list, pc, found);
	}
	if (found || walk->at.chunks) {
		row = *(struct observe_unwind_row *)&found;
	} else {
		walk->noted = NULL;
		row = observe_row_of_frame_pointer(walk);
		walk->stack->head.flags |= OBSERVE_STACK_FRAME_POINTERS;
	}
	if (row.kind == OBSERVE_UNWIND_END)
		walk->state = OBSERVE_WALK_END;
	else if (row.kind == OBSERVE_UNWIND_NONE)
		walk->state = OBSERVE_WALK_CUT;
	else if (row.kind == OBSERVE_UNWIND_SIGNAL)
		observe_step_signal(walk);
	else
		observe_step_frame(walk, row);
	if (walk->state != OBSERVE_WALK_ON)
		return 1;
	if (!walk->ip) {
		walk->state = OBSERVE_WALK_END;
		return 1;
	}
	if (observe_accept(walk) && observe_append(walk->stack, walk->ip))
		return 0;
	walk->state = OBSERVE_WALK_CUT;
	return 1;
}

/* What the mappings of the current process are found by. */
static __always_inline __u32 observe_unwind_process(void)
{
	__u32 own = bpf_get_current_pid_tgid() >> 32;
	__u32 *same = bpf_map_lookup_elem(&observe_unwind_same, &own);

	return same ? *same : own;
}

/* The id of its list; 0: there is none. */
static __always_inline __u32 observe_unwind_list(__u32 tgid)
{
	struct bpf_map *mappings = bpf_map_lookup_elem(&observe_unwind_processes, &tgid);

	return mappings ? mappings->id : 0;
}

/* Fills the user half of the stack's head. 1: what was noted is all that the walk went by. */
static __noinline int observe_walk_user(struct observe_stack *stack, struct observe_start *start,
					struct observe_walked *noted)
{
	if (!stack || !start)
		return 0;
	struct observe_walk walk = {
		.stack = stack,
		.noted = noted,
		.ip = start->ip,
		.sp = start->sp,
		.fp = start->fp,
		.list = start->list,
		.fp_known = 1,
		.exact = 1,
	};

	stack->head.user_frames = 0;
	stack->head.tgid = start->tgid;
	if (!walk.list) {
		observe_want(bpf_get_current_pid_tgid() >> 32);
		walk.blind = 1;
		stack->head.tgid = bpf_get_current_pid_tgid() >> 32;
	}
	if (!observe_append(stack, walk.ip) || !observe_accept(&walk))
		walk.state = OBSERVE_WALK_CUT;
	else
		bpf_loop(OBSERVE_STACK_FRAMES, observe_walk_step, &walk, 0);
	if (walk.blind || walk.state != OBSERVE_WALK_END) {
		stack->head.flags |= OBSERVE_STACK_CUT_USER;
		return 0;
	}
	return walk.noted != NULL;
}

/* A process of 32 bits gets its leaf alone. */
#ifdef __TARGET_ARCH_x86
#define OBSERVE_IS_64_BIT(regs) (((regs)->cs & 0xff) == 0x33)
#else
#define OBSERVE_IS_64_BIT(regs) 1
#endif

/* Global, so that the verifier looks at it once. */
__weak __u64 observe_walk_and_store(struct observe_scratch *scratch, struct observe_start *start,
				    __u32 back)
{
	struct observe_walked *noted;
	__u64 id;
	int whole;

	if (!scratch || !start)
		return 0;
	noted = start->list && start->sp ? observe_walked_begin(start, back) : NULL;
	whole = observe_walk_user(&scratch->stack, start, noted);
	scratch->stack.frames[0] -= back;
	id = observe_store(&scratch->stack);
	if (noted)
		observe_walked_end(noted, whole ? id : 0);
	return id;
}

/*
 * The id of the current user stack (leaf first: the address itself less `back`, then return
 * addresses): for uprobes, from their own registers. 0: there was no room, which is counted.
 */
static __always_inline __u64 observe_user_stack(struct pt_regs *regs, __u32 back)
{
	struct observe_scratch *scratch = observe_claim();
	struct observe_start start = {.ip = PT_REGS_IP(regs), .tgid = observe_unwind_process()};
	__u64 id = 0;

	if (!scratch)
		return 0;
	start.list = observe_unwind_list(start.tgid);
	__builtin_memset(&scratch->stack.head, 0, sizeof(scratch->stack.head));
	if (OBSERVE_IS_64_BIT(regs)) {
		start.sp = PT_REGS_SP(regs);
		start.fp = PT_REGS_FP(regs);
		id = observe_walked_recall(scratch, &start, back);
	} else {
		scratch->stack.head.flags |= OBSERVE_STACK_CUT_USER;
	}
	if (!id)
		id = observe_walk_and_store(scratch, &start, back);
	observe_release(scratch);
	return id;
}

/*
 * The same for programs that run in the kernel on behalf of a task (tracepoints, perf events):
 * from the registers with which the current task entered the kernel. 0 for kernel threads.
 */
static __always_inline __u64 observe_user_stack_of_task(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs;

	if (!task->mm || task->flags & 0x00200000 /* PF_KTHREAD */)
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (!PT_REGS_IP(regs)) /* workers of io_uring have never been in user space */
		return 0;
	return observe_user_stack(regs, 0);
}
