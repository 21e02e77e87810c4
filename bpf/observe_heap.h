/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * `observe leak`: blocks that a process has allocated and not freed. Shared by BPF and C++.
 *
 * A space is one life of an address space: a process between exec and exec or exit; processes that
 * share memory (vfork) share it; fork makes a new one with a copy of what is live. Rules:
 *  - A block is recorded at the return of the call that made it, never before: until then nobody
 * else can hold its address.
 *  - It is taken out at the entry of the call that frees it: after that somebody else may hold it.
 *    realloc puts it back when it fails.
 *  - A call inside a call of the same thread (realloc that calls malloc) counts once, as the outer.
 *  - Every block counts in the stat of its stack, space and sampling level, and leaves it by the
 *    same size.
 *  - While probes are off (a budget), frees go unseen: what was allocated before is unsure from
 *    then on, which user space tells by its time; calls that were in progress are forgotten.
 */
#pragma once

#define OBSERVE_STACK_FRAMES 128
#include "bpf/observe_sample.h"
#include "bpf/observe_stack.h"

/* As Role (observe/plan/roles.h), whose values these are. In a probe's cookie: role, and above 8
 * bits how many arguments stand before those of the C function. */
enum observe_heap_role {
	OBSERVE_HEAP_MALLOC = 0,
	OBSERVE_HEAP_CALLOC = 1,
	OBSERVE_HEAP_REALLOC = 2,
	OBSERVE_HEAP_REALLOCARRAY = 3,
	OBSERVE_HEAP_FREE = 4,
	OBSERVE_HEAP_POSIX_MEMALIGN = 5,
	OBSERVE_HEAP_ALIGNED_ALLOC = 6,
	OBSERVE_HEAP_MEMALIGN = 7,
	OBSERVE_HEAP_VALLOC = 8,
	OBSERVE_HEAP_PVALLOC = 9,
	OBSERVE_HEAP_OPERATOR_NEW = 10,
	OBSERVE_HEAP_OPERATOR_DELETE = 11,
	OBSERVE_HEAP_DLOPEN = 17,
};

struct observe_heap_key {
	__u64 address;
	__u32 space;
	__u32 unused; /* 0 */
};

struct observe_heap_block {
	__u64 bytes;   /* as asked for */
	__u64 stack;   /* in observe_stacks; 0: none */
	__u64 time_ns; /* monotonic */
	__u32 tid;
	__u8 role;
	__u8 level;   /* it was sampled at sample_bytes << level; all alike without sampling */
	__u16 unused; /* 0 */
};

struct observe_heap_space {
	__u32 id;
	__u16 from_start; /* all that it ever allocated was seen */
	__u16 stops; /* our own child: SIGSTOP when it has loaded code, until its probes stand */
};

struct observe_heap_stat_key {
	__u64 stack;
	__u32 space;
	__u16 size_class; /* bits of the size: blocks of [2^(n-1), 2^n) bytes, 0 of none */
	__u16 level;	  /* of sampling */
};

/* Of the blocks of one stack, space and size class. */
struct observe_heap_stat {
	__u64 calls; /* that gave a block */
	__u64 bytes; /* that they gave, in all */
	__u64 freed_blocks;
	__u64 freed_bytes;
	__u64 live_bytes;
	__u64 peak_bytes; /* the most that live_bytes was */
	__u64 temporary;  /* freed by the thread that made it before it made another */
};

/* What user space says while programs run. */
struct observe_heap_control {
	__u32 sample_level; /* the interval is sample_bytes << sample_level */
	__u32 epoch;	    /* goes up when probes come back: calls in progress are of before */
};

/* Of one probed place, by its index in the plan; one value a CPU. */
#define OBSERVE_HEAP_SITES_MAX 1024 /* those behind count in the last */
struct observe_heap_hits {
	__u64 entries;
	__u64 returns;
};

/* One value a CPU. */
struct observe_heap_totals {
	__u64 allocations;
	__u64 frees;
	__u64 failed;	     /* calls that gave no block */
	__u64 skipped;	     /* calls that sampling or a size left out */
	__u64 invalid_frees; /* of addresses that a space seen from its start did not have */
	__u64 replaced; /* blocks whose address was given out again without a free that was seen */
	__u64 copied;	/* blocks that fork copied */
	__u64 unseen_new; /* calls of an operator new whose blocks no probe shows */
};

enum observe_heap_event_kind {
	OBSERVE_HEAP_SPACE = 1,	    /* a process has a new space */
	OBSERVE_HEAP_ENDED = 2,	    /* a process has ended */
	OBSERVE_HEAP_ALLOCATED = 3, /* with tracing of each event alone */
	OBSERVE_HEAP_FREED = 4,
	OBSERVE_HEAP_LOADED = 5,    /* a process has new code; it may have been stopped */
	OBSERVE_HEAP_MAPPED = 6,    /* address, bytes, stack */
	OBSERVE_HEAP_UNMAPPING = 7, /* address, bytes: the thread is about to */
	OBSERVE_HEAP_UNMAPPED = 8,  /* and has; role 1: it failed */
	OBSERVE_HEAP_BRK = 9,	    /* address: where the heap begins; bytes: its length now */
};

enum observe_heap_space_reason {
	OBSERVE_HEAP_BY_FORK = 1,
	OBSERVE_HEAP_BY_EXEC = 2,
};

struct observe_heap_event {
	__u32 kind; /* observe_heap_event_kind */
	__u32 tgid;
	__u32 space;
	__u32 from; /* SPACE: the one before, or the parent's */
	__u64 time_ns;
	__u64 address;
	__u64 bytes;
	__u64 stack;
	__u32 tid;
	__u32 role; /* of the call; SPACE: observe_heap_space_reason */
	char comm[16];
};

/* What a call in progress keeps until its return; one for each thread. */
struct observe_heap_task {
	__u64 stack_pointer; /* at the entry of the call that is in progress; 0: none */
	__u64 bytes;
	__u64 result_at;		 /* posix_memalign: where the block's address will be */
	__u64 last_address;		 /* the block that this thread made last */
	__u64 last_freed;		 /* with wrappers: what one of them was given */
	struct observe_heap_key old_key; /* realloc: taken out */
	struct observe_heap_block old;
	struct observe_sampler sampler;
	__u32 role;
	__u32 has_old;
	__u32 level;
	__u32 skipped; /* sampling or a size leaves this call out */
	__u32 epoch;   /* that the call in progress began in */
	__u32 unused;
};

#ifdef __cplusplus
static_assert(sizeof(observe_heap_key) == 16);
static_assert(sizeof(observe_heap_block) == 32);
static_assert(sizeof(observe_heap_stat) == 56);
static_assert(sizeof(observe_heap_event) == 72);
#endif
