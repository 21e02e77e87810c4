/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What `observe leak --kernel` keeps in the kernel: a record of each outstanding block, sums of
 * blocks that are alike (a group), and what each slab cache did as a whole. Shared by BPF and C++.
 *
 * Rule: all blocks of a group have one size and one sampling level, so user space can weigh and
 * scale them without a loss.
 */
#pragma once

#include "bpf/observe_stack.h"

#define KMEM_STACK_FRAMES 64
#define KMEM_NAME_BYTES 32 /* of a cache, with the zero at its end */
#define KMEM_COMM_BYTES 16
#define KMEM_SLOTS 8 /* counters of a cache: CPUs share them modulo this */
#define KMEM_CACHES_MAX 1024

/* struct observe_stack with this tracer's number of frames. */
struct kmem_stack {
	struct observe_stack_head head;
	__u64 frames[KMEM_STACK_FRAMES];
};

enum kmem_kind {
	KMEM_SLAB,
	KMEM_PERCPU,
	KMEM_VMALLOC,
	KMEM_KINDS,
};

/* Caches that are none, where the kernel has a pointer to its struct kmem_cache. */
enum kmem_no_cache {
	KMEM_CACHE_NONE,    /* not known */
	KMEM_CACHE_PERCPU,  /* the per-CPU allocator */
	KMEM_CACHE_VMALLOC, /* areas of the vmalloc space */
	KMEM_CACHE_LARGE,   /* kmalloc that went to the page allocator */
};

/* A kmalloc cache whose pointer is not known: its type and object size, as one number. */
enum kmem_bucket {
	KMEM_BUCKET_NORMAL = 1,
	KMEM_BUCKET_DMA,
	KMEM_BUCKET_RECLAIMABLE,
	KMEM_BUCKET_ACCOUNTED,
};
#define KMEM_BUCKET_SHIFT 32

struct kmem_group_key {
	__u64 stack; /* observe_stacks; 0: none */
	__u64 cache; /* struct kmem_cache *, kmem_no_cache or a bucket */
	__u64 bytes; /* of each block, as the allocator took them */
	__u32 tgid;  /* process that asked, or that was interrupted by who asked */
	__u8 kind;   /* kmem_kind */
	__u8 level;  /* of sampling */
	__u16 unused;
};

struct kmem_group {
	__s64 blocks; /* outstanding */
	__s64 peak_blocks;
	__u64 calls;
	__u64 temporary; /* freed before their CPU made its next allocation */
	char comm[KMEM_COMM_BYTES];
};

struct kmem_block {
	struct kmem_group_key group;
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 cgroup;
	__u32 tid;
	__u32 gfp;
};

/* All processes, sampled or not, wanted or not. */
struct kmem_cache_counts {
	__u64 allocs;
	__u64 frees;
	__u64 reused; /* records whose address came back without a free */
	__u64 unused[5];
};

struct kmem_cache_state {
	char name[KMEM_NAME_BYTES];
	__u32 wanted; /* by the filter of names */
	__u32 unused[7];
	struct kmem_cache_counts slots[KMEM_SLOTS];
};

/*
 * What is left out of all figures, one value per CPU. The BPF allocator often works for a program
 * of ours in an interrupt of that same program, which the kernel then does not run again: `allocs`
 * less `met` of the runs that it left out were these.
 */
struct kmem_own {
	__u64 allocs; /* by the BPF allocator, for us and for others */
	__u64 met;    /* of these, that our programs on kmalloc were run for */
	__u64 bytes;  /* of these, and of what this process allocated */
};

enum kmem_event_type {
	KMEM_EVENT_ALLOC,
	KMEM_EVENT_FREE,
	KMEM_EVENT_REUSED, /* the free was not seen */
};

struct kmem_event {
	__u64 address;
	__u64 now_ns;
	struct kmem_block block;
	__u32 type; /* kmem_event_type */
	__u32 tid;  /* that caused the event */
	char comm[KMEM_COMM_BYTES];
};

#ifdef __cplusplus
static_assert(sizeof(kmem_stack) == 16 + 8 * KMEM_STACK_FRAMES);
static_assert(sizeof(kmem_group_key) == 32);
static_assert(sizeof(kmem_group) == 48);
static_assert(sizeof(kmem_block) == 56);
static_assert(sizeof(kmem_cache_counts) == 64);
static_assert(sizeof(kmem_cache_state) == 64 + 64 * KMEM_SLOTS);
static_assert(sizeof(kmem_event) == 96);
#endif
