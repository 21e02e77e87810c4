// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What the tests of the attach planner load: programs that write down the arguments and results of
 * allocator functions. Cookies are those of the planner: the role in bits 0-7. Test only. */
#include "bpf/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "Dual BSD/GPL";

/* Roles of observe/plan/roles.h that are treated apart. */
enum {
	ROLE_MALLOC = 0,
	ROLE_REALLOC = 2,
	ROLE_FREE = 4,
	ROLE_POSIX_MEMALIGN = 5,
	ROLE_LAST = 7, /* memalign */
};

struct call_key {
	__u64 role;
	__u64 first; /* what was asked for; 0 for free and for returns */
	__u64 second;
};

struct call_count {
	__u64 entries;
	__u64 returns;
	__u64 pointers; /* xor of what free was given, or of what was returned */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct call_key);
	__type(value, struct call_count);
} calls SEC(".maps");

extern bool bpf_session_is_return(void) __ksym;

#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif

static __always_inline struct call_count *count_of(struct call_key *key)
{
	struct call_count zero = {};
	struct call_count *count = bpf_map_lookup_elem(&calls, key);

	if (count)
		return count;
	bpf_map_update_elem(&calls, key, &zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(&calls, key);
}

static __always_inline int entered(struct pt_regs *ctx)
{
	struct call_key key = {.role = bpf_get_attach_cookie(ctx) & 0xff};
	__u64 first = PT_REGS_PARM1(ctx);
	__u64 second = PT_REGS_PARM2(ctx);
	__u64 third = PT_REGS_PARM3(ctx);
	struct call_count *count;

	/* Read here: the verifier refuses one load with a computed offset. */
	barrier_var(first);
	barrier_var(second);
	barrier_var(third);
	if (key.role == ROLE_REALLOC) {
		key.first = second;
	} else if (key.role == ROLE_POSIX_MEMALIGN) {
		key.first = second;
		key.second = third;
	} else if (key.role <= ROLE_LAST && key.role != ROLE_FREE) {
		key.first = first;
		key.second = key.role == ROLE_MALLOC ? 0 : second;
	}
	count = count_of(&key);
	if (!count)
		return 0;
	__sync_fetch_and_add(&count->entries, 1);
	if (key.role == ROLE_FREE)
		__sync_fetch_and_xor(&count->pointers, first);
	return 0;
}

static __always_inline int returned(struct pt_regs *ctx)
{
	struct call_key key = {.role = bpf_get_attach_cookie(ctx) & 0xff};
	struct call_count *count = count_of(&key);

	if (!count)
		return 0;
	__sync_fetch_and_add(&count->returns, 1);
	__sync_fetch_and_xor(&count->pointers, PT_REGS_RC(ctx));
	return 0;
}

SEC("uprobe")
int on_entry(struct pt_regs *ctx)
{
	return entered(ctx);
}

SEC("uprobe")
int on_return(struct pt_regs *ctx)
{
	return returned(ctx);
}

SEC("uprobe")
int on_session(struct pt_regs *ctx)
{
	return bpf_session_is_return() ? returned(ctx) : entered(ctx);
}
