/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * `observe leak --tier pages`: page faults of the target by their stacks, and what moves pages from
 * one owner to another. Shared by BPF and C++.
 *
 * Nothing here counts what is resident: that is asked of the kernel when a report is made. Rules:
 *  - The fault comes before the page: its event is reserved before the page is resident. A change
 *    of a mapping may come before it is in force.
 *  - Events are in the ring in the order in which they were reserved.
 *  - A fault that finds no room is in resident_lost by its page, any other loss sets blind_ns; both
 *    before the loss is counted. So a page may lose its stack; it never has a wrong one.
 *  - A process is stopped (SIGSTOP) only when the event that tells of it is in the ring, and it is
 * in resident_stopped until it ends.
 */
#pragma once

#define OBSERVE_STACK_FRAMES 128
#include "bpf/observe_stack.h"

#define OBSERVE_RESIDENT_RING_BYTES (1 << 22)
#define OBSERVE_RESIDENT_LOST_MAX (1 << 16) /* pages */

enum observe_resident_kind {
	OBSERVE_RESIDENT_FAULT = 1,  /* observe_resident_fault; all others observe_resident_event */
	OBSERVE_RESIDENT_MAPPED = 2, /* address, bytes, stack, asked_bytes */
	OBSERVE_RESIDENT_MOVED = 3,  /* the same, of mremap; from_address, from_bytes */
	OBSERVE_RESIDENT_BREAK = 4,  /* address: where the heap begins; bytes: its length now */
	OBSERVE_RESIDENT_FORK = 5,   /* parent */
	OBSERVE_RESIDENT_EXEC = 6,
	OBSERVE_RESIDENT_EXIT = 7,
	OBSERVE_RESIDENT_GIVEN = 8, /* given back: address, bytes; flags say how */
};

enum observe_resident_flag {
	OBSERVE_RESIDENT_SHARES = 1,	/* FORK: the child runs in its parent's memory (vfork) */
	OBSERVE_RESIDENT_LOADED = 2,	/* there is new code */
	OBSERVE_RESIDENT_STOPPED = 4,	/* and it waits for SIGCONT */
	OBSERVE_RESIDENT_WANTED = 8,	/* EXEC: it is of the target from here on */
	OBSERVE_RESIDENT_UNMAPPED = 16, /* GIVEN: the mapping went as well (munmap) */
};

/* As the hardware has it (x86): bits of observe_resident_fault::error. */
enum observe_resident_error {
	OBSERVE_RESIDENT_PRESENT = 1, /* the page was there: a write to a page that is shared */
	OBSERVE_RESIDENT_WRITE = 2,
	OBSERVE_RESIDENT_USER = 4, /* else the kernel copied for a system call */
};

struct observe_resident_fault {
	__u32 kind; /* observe_resident_kind */
	__u32 tgid;
	__u64 time_ns; /* monotonic */
	__u64 address;
	__u64 stack;  /* in observe_stacks; 0: none */
	__u32 error;  /* observe_resident_error */
	__u32 unused; /* 0 */
};

struct observe_resident_event {
	__u32 kind; /* observe_resident_kind */
	__u32 tgid;
	__u64 time_ns; /* monotonic */
	__u64 address;
	__u64 bytes;
	__u64 stack;
	__u64 from_address;
	__u64 from_bytes;
	__u64 asked_bytes; /* 0: address and bytes are exact; else they are of a mapping that has as
			      many bytes that are new, and may have taken in its neighbours */
	__u32 parent;
	__u32 flags; /* observe_resident_flag */
	char comm[16];
};

struct observe_resident_page {
	__u64 address;
	__u32 tgid;
	__u32 unused; /* 0 */
};

struct observe_resident_state {
	__u64 blind_ns; /* when an event was lost last that resident_lost does not tell; 0: never */
};

#ifdef __cplusplus
static_assert(sizeof(observe_resident_fault) == 40);
static_assert(sizeof(observe_resident_event) == 88);
static_assert(sizeof(observe_resident_page) == 16);
#endif
