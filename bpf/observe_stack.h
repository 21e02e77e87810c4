/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A call stack as every tracer of observe/ keeps it: the whole stack, stored once in a hash map
 * under a 64-bit hash of it and compared on each lookup, so two stacks are never taken for one
 * another (BPF_MAP_TYPE_STACK_TRACE does that). Shared by BPF and C++.
 *
 * Rule: an id names one stack for as long as the map lives; a stack that finds no place
 * (collisions, map full) has the id 0 and is counted, its event is not lost.
 */
#pragma once

#ifdef __cplusplus
#include <linux/types.h>
#endif

/* Frames of one stack, kernel and user together; a tracer may define fewer before it includes this.
 */
#ifndef OBSERVE_STACK_FRAMES
#define OBSERVE_STACK_FRAMES 128
#endif

enum observe_stack_flag {
	OBSERVE_STACK_CUT_KERNEL = 1, /* there may be more kernel frames than were stored */
	OBSERVE_STACK_CUT_USER = 2,   /* the user stack ends before its end: room, or a row that is
					 not   known */
	OBSERVE_STACK_FRAME_POINTERS = 4, /* some user frames were found by frame pointers */
};

/* Of one stack; the frames follow: kernel first, then user, each leaf first. */
struct observe_stack_head {
	__u16 kernel_frames;
	__u16 user_frames;
	__u16 flags;   /* observe_stack_flag */
	__u16 unused;  /* 0 */
	__u32 tgid;    /* whose user frames these are; 0 when there are none */
	__u32 unused2; /* 0 */
};

struct observe_stack {
	struct observe_stack_head head;
	__u64 frames[OBSERVE_STACK_FRAMES];
};

/* What every tracer counts, one value per CPU: see observe/honesty.h. */
struct observe_losses {
	__u64 events;	    /* that the tracer was asked to account */
	__u64 ring_full;    /* events that found no room in the ring buffer */
	__u64 map_full;	    /* records that found no room in a map */
	__u64 stack_full;   /* stacks that found no room, or no place for a collision */
	__u64 stack_cut;    /* events whose stack was cut */
	__u64 scratch_busy; /* events without a stack: the scratch was in use (preemption,
			       recursion) */
	__u64 unknown_free; /* frees of what was never seen allocated */
	__u64 reused;	    /* addresses that came back without a free in between */
};

#ifdef __cplusplus
static_assert(sizeof(observe_stack_head) == 16);
static_assert(sizeof(observe_losses) == 64);
#endif
