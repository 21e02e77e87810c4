/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the user-stack unwinder of the tracers reads in the kernel: the .eh_frame table of an object
 * as sorted rows of 8 bytes, and a process's executable mappings. Shared by BPF
 * (observe_unwind.bpf.h) and C++ (observe/unwind/unwind_tables.h, which fills the maps).
 *
 * Rule: the row with the greatest pc that is not above the address is the one that holds. The
 * first row of a table has the pc 0.
 */
#pragma once

#ifdef __cplusplus
#include <linux/types.h>
#endif

#define OBSERVE_UNWIND_CHUNK_ROWS 512	/* a page; a power of two */
#define OBSERVE_UNWIND_CHUNKS_LOG2 14	/* chunks of one object: 8 million rows, 64 MiB */
#define OBSERVE_UNWIND_MAPPINGS_LOG2 10 /* executable mappings of one process */
#define OBSERVE_UNWIND_OBJECTS 4096	/* with a table, at one time */
#define OBSERVE_UNWIND_PROCESSES 4096	/* at one time */
#define OBSERVE_UNWIND_WANTED 1024	/* processes that wait to be learned */
#define OBSERVE_UNWIND_KNOWN_LOG2 10
#define OBSERVE_UNWIND_KNOWN (1 << OBSERVE_UNWIND_KNOWN_LOG2) /* rows remembered on a CPU */
#define OBSERVE_WALKED_LOG2 6
#define OBSERVE_WALKED (1 << OBSERVE_WALKED_LOG2) /* whole walks remembered on a CPU */
#define OBSERVE_WALKED_WORDS 32	  /* read by one of them; longer ones are walked each time */
#define OBSERVE_WALKED_BYTES 4096 /* how far above rsp they lie at most */
#define OBSERVE_WALKED_AT_ONCE 2  /* programs of a CPU that look for one, one preempting another */
#define OBSERVE_UNWIND_RBP_UNKNOWN (-128)
#define OBSERVE_UNWIND_CFA_MAX ((1 << 19) - 1)
#define OBSERVE_UNWIND_NOBODY (~0U)
#define OBSERVE_UNWIND_NO_TABLE (~0U) /* an object that is known, but not its table: a cut */

/* How the caller's registers follow from those of a frame; N is cfa * 8. */
enum observe_unwind_kind {
	OBSERVE_UNWIND_NONE = 0,   /* not known: no table entry, or a DWARF expression */
	OBSERVE_UNWIND_RSP = 1,	   /* CFA = rsp + N; return address at CFA - 8 */
	OBSERVE_UNWIND_RBP = 2,	   /* CFA = rbp + N; return address at CFA - 8 */
	OBSERVE_UNWIND_PLT = 3,	   /* CFA = rsp + 8, and 8 more if (rip & 15) >= cfa */
	OBSERVE_UNWIND_SIGNAL = 4, /* all registers are in the ucontext at rsp */
	OBSERVE_UNWIND_END = 5,	   /* the outermost function of a thread */
};

struct observe_unwind_row {
	__u32 pc;	/* bytes from the object's lowest address */
	__s32 cfa : 20; /* see kind; N is up to 4 MiB */
	__u32 kind : 4; /* observe_unwind_kind */
	__s32 rbp : 8;	/* the caller's: 0 as it is; N at CFA + 8 N; OBSERVE_UNWIND_RBP_UNKNOWN */
};

/* Element of an object's table. Rows behind its last have the pc ~0. */
struct observe_unwind_chunk {
	struct observe_unwind_row rows[OBSERVE_UNWIND_CHUNK_ROWS];
};

/* Element of a process's list, sorted by start. */
struct observe_unwind_mapping {
	__u64 start;
	__u64 end;    /* exclusive */
	__u64 bias;   /* an address less this is what a row's pc is compared with */
	__u32 object; /* index in observe_unwind_tables, or OBSERVE_UNWIND_NO_TABLE */
	__u32 chunks; /* of that table; 0: the object has none, frame pointers */
};

/*
 * A row by the address as it is in memory, so that a walk need not search for it. A list of
 * mappings is never changed but replaced by another map, and its objects keep their tables as long
 * as it is there: with the id of that map in it, an entry cannot be of what was mapped before.
 * Programs that preempt one another may leave parts of two entries: then `check` does not fit.
 */
struct observe_unwind_known {
	__u64 pc;
	__u64 list; /* the id of the map */
	__u64 row;  /* observe_unwind_row */
	__u64 check;
};

/*
 * A whole walk: where it began, every word of the stack that it went by, and the id of the stack
 * that it found. Rule: where all of these are the same, a walk would find the same, so it need not
 * be made. That is so since the rows come from the list of mappings (its id is compared, see above)
 * and all else is here. Not remembered: what was cut, met a signal or a uretprobe, or had no row.
 * Programs that preempt one another: `turns` is odd while somebody writes, and moves on by two.
 */
struct observe_walked {
	__u64 turns;
	__u64 ip;
	__u64 sp;
	__u64 fp;    /* 0 unless needs_fp */
	__u64 stack; /* id; 0: nothing is remembered */
	__u32 list;  /* the id of the map */
	__u32 tgid;
	__u32 back; /* what was taken off the leaf */
	__u32 needs_fp;
	__u32 words;
	__u32 bytes; /* from sp to the end of the last of them */
	__u64 value[OBSERVE_WALKED_WORDS];
	__u16 at[OBSERVE_WALKED_WORDS]; /* in words from sp */
};

#ifdef __cplusplus
static_assert(sizeof(observe_walked) == 64 + OBSERVE_WALKED_WORDS * 10);
static_assert(sizeof(observe_unwind_known) == 32);
static_assert(sizeof(observe_unwind_row) == 8);
static_assert(sizeof(observe_unwind_chunk) == 4096);
static_assert(sizeof(observe_unwind_mapping) == 32);
#endif
