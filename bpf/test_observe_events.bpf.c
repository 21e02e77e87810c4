// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What observe_bench compares `observe pages` with: programs at the same events that do nothing, or
 * that take the kernel's stack and no more. Bench only. */
#include "bpf/vmlinux.h"
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "Dual BSD/GPL";

#define FRAMES_MAX 64 /* as OBSERVE_STACK_FRAMES of observe_pages.h */

struct frames {
	__u64 frames[FRAMES_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frames);
} test_frames SEC(".maps");

SEC("raw_tp/mm_page_alloc")
int test_alloc_nothing(void *ctx)
{
	return 0;
}

SEC("raw_tp/mm_page_free")
int test_free_nothing(void *ctx)
{
	return 0;
}

SEC("raw_tp/mm_page_alloc")
int test_alloc_stack(void *ctx)
{
	__u32 zero = 0;
	struct frames *taken = bpf_map_lookup_elem(&test_frames, &zero);

	if (taken)
		bpf_get_stack(ctx, taken->frames, sizeof(taken->frames), 0);
	return 0;
}
