/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * `observe pages`: who holds memory from alloc_pages. Shared by BPF and C++.
 *
 * Every page frame has an entry of 8 bytes, which says of which row it is while it is allocated. A
 * row is one combination of stack, process, cgroup, order, gfp flags and migrate type; it counts
 * what is outstanding. Rules:
 *  - Between the event of an allocation and that of the free its frames have its row, each frame
 * alone: split, bulk and partial frees need nothing more.
 *  - pages of a row == frames whose entry names it, but for events in flight.
 *  - Entry 0: not allocated, or allocated before the tracer was there.
 */
#pragma once

#define OBSERVE_STACK_FRAMES 64
#include "bpf/observe_stack.h"

#define OBSERVE_SECTION_SHIFT 15 /* frames of a section of memory: 128 MiB of 4 KiB */
#define OBSERVE_SECTION_FRAMES (1 << OBSERVE_SECTION_SHIFT)
#define OBSERVE_SECTION_ABSENT 0xffffffffU
#define OBSERVE_ORDERS 16      /* more than MAX_PAGE_ORDER of any x86 kernel */
#define OBSERVE_ROW_OVERFLOW 1 /* the row of what found no row of its own */

/* An entry: row in the low 32 bits, above them the time of the event, in units of 2^27 ns (134 ms).
 */
#define OBSERVE_PAGE_TIME_SHIFT 27

struct observe_pages_key {
	__u64 stack;  /* in observe_stacks; 0: none */
	__u64 cgroup; /* id; 0 when cgroups are not asked for */
	__u32 tgid;
	__u32 gfp;
	__u16 order;
	__u16 migratetype;
	__u32 unused; /* 0 */
};

struct observe_pages_row {
	struct observe_pages_key key;
	char comm[16];	   /* of the thread that came first */
	__u64 allocations; /* events */
	__u64 allocated; /* frames, in all; only of OBSERVE_ROW_OVERFLOW: the others have one order
			  */
	__u64 freed;	 /* frames, in all */
};

/* A row of a CPU's last ones, with all that it was found by. Rows stay for as long as the maps do,
 * so this never grows old. */
#define OBSERVE_PAGES_RECENT_LOG2 7
#define OBSERVE_PAGES_RECENT (1 << OBSERVE_PAGES_RECENT_LOG2)
#define OBSERVE_PAGES_RECENT_FRAMES 32 /* deeper stacks are searched for each time */

struct observe_pages_recent {
	struct observe_pages_key key; /* with the number of frames for the stack */
	__u64 row;
	__u64 frames[OBSERVE_PAGES_RECENT_FRAMES];
};

/* How pairs of one event find the base of the page array: page - frame number x page_bytes. */
struct observe_pages_pair {
	__u64 page;
	__u64 frame_number;
};

/* Of one CPU. */
struct observe_pages_totals {
	__u64 frees;	     /* events */
	__u64 freed_unknown; /* frames freed that were not known */
	__u64 outside;	     /* frames of memory that was not there at the start (hot-plugged) */
	__u64 moved;	     /* pages that compaction moved */
	__u64 reallocated; /* frames allocated although we took them for allocated: a missed free */
};

#ifdef __cplusplus
static_assert(sizeof(observe_pages_key) == 32);
static_assert(sizeof(observe_pages_row) == 72);
static_assert(sizeof(observe_pages_recent) == 296);
static_assert(sizeof(observe_pages_totals) == 40);
#endif
