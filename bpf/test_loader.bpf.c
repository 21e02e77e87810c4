// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What the tests of BpfObject load: a constant, a map, three ways to one event, and one bad
 * program. */
#include "bpf/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "Dual BSD/GPL";

const volatile __u64 answer;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

static __always_inline int record(__u32 index)
{
	__u64 value = answer;

	bpf_map_update_elem(&results, &index, &value, BPF_ANY);
	return 0;
}

SEC("fentry/__x64_sys_getpid")
int by_fentry(void *ctx)
{
	return record(0);
}

SEC("raw_tp/sys_enter")
int by_raw_tp(void *ctx)
{
	return record(0);
}

SEC("xdp")
int good_xdp(struct xdp_md *ctx)
{
	record(1);
	return XDP_PASS;
}

SEC("xdp")
int bad_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;

	return *(__u8 *)data; /* reads the packet without a length check */
}
