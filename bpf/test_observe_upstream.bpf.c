// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The usual way to trace a heap, which observe_bench compares `observe leak` with: the size goes
 * from the entry of malloc to its return by a hash map keyed by thread, stacks are walked by frame
 * pointers into a stack map, blocks and sums lie in hash maps. Bench only.
 */
#include "bpf/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "Dual BSD/GPL";

#define FRAMES_MAX 127

struct block {
	__u64 bytes;
	__u64 time_ns;
	__s32 stack;
	__u32 unused; /* 0 */
};

struct sum {
	__u64 bytes;
	__u64 blocks;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} sizes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100000);
	__type(key, __u64);
	__type(value, struct block);
} blocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __s32);
	__type(value, struct sum);
} sums SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 10240);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, FRAMES_MAX * sizeof(__u64));
} stacks SEC(".maps");

static __always_inline void add_to_sum(__s32 stack, __u64 bytes, __u64 blocks_more)
{
	struct sum none = {};
	struct sum *sum = bpf_map_lookup_elem(&sums, &stack);

	if (!sum) {
		bpf_map_update_elem(&sums, &stack, &none, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&sums, &stack);
	}
	if (!sum)
		return;
	__sync_fetch_and_add(&sum->bytes, bytes);
	__sync_fetch_and_add(&sum->blocks, blocks_more);
}

SEC("uprobe")
int test_malloc_entry(struct pt_regs *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 bytes = PT_REGS_PARM1(ctx);

	bpf_map_update_elem(&sizes, &tid, &bytes, BPF_ANY);
	return 0;
}

SEC("uretprobe")
int test_malloc_return(struct pt_regs *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 address = PT_REGS_RC(ctx);
	__u64 *bytes = bpf_map_lookup_elem(&sizes, &tid);
	struct block block = {.time_ns = bpf_ktime_get_ns()};

	if (!bytes)
		return 0;
	block.bytes = *bytes;
	bpf_map_delete_elem(&sizes, &tid);
	if (!address)
		return 0;
	block.stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	bpf_map_update_elem(&blocks, &address, &block, BPF_ANY);
	add_to_sum(block.stack, block.bytes, 1);
	return 0;
}

SEC("uprobe")
int test_free_entry(struct pt_regs *ctx)
{
	__u64 address = PT_REGS_PARM1(ctx);
	struct block *known = bpf_map_lookup_elem(&blocks, &address);
	struct block block;

	if (!known)
		return 0;
	block = *known;
	bpf_map_delete_elem(&blocks, &address);
	add_to_sum(block.stack, -block.bytes, -1);
	return 0;
}
