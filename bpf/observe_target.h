/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which processes a tracer looks at: the constants that user space gives a program (rodata), the
 * same for all tracers. Shared by BPF and C++.
 */
#pragma once

#ifdef __cplusplus
#include <linux/types.h>
#endif

enum observe_target_kind {
	OBSERVE_TARGET_ALL = 0,	   /* the whole system */
	OBSERVE_TARGET_PIDS = 1,   /* thread groups that stand in the map observe_pids */
	OBSERVE_TARGET_COMM = 2,   /* whose group leader has this name */
	OBSERVE_TARGET_CGROUP = 3, /* in this cgroup or below */
};

struct observe_target {
	__u32 kind;	    /* observe_target_kind */
	__u32 cgroup_level; /* depth of the cgroup, the root is 0 */
	__u64 cgroup_id;
	char comm[16]; /* with zeros to its end */
};

#ifdef __cplusplus
static_assert(sizeof(observe_target) == 32);
#endif
