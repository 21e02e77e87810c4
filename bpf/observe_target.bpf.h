/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whether the current task is of the target, and how forks of a target become one. A tracer that
 * includes this has the constant `target`, the map `observe_pids` and the programs observe_fork and
 * observe_exit, which user space leaves out unless the target is pids. Layout: observe_target.h.
 */
#pragma once

const volatile struct observe_target target = {};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u32);  /* thread group */
	__type(value, __u8); /* 1 */
} observe_pids SEC(".maps");

static __always_inline int observe_comm_is_wanted(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	__u64 comm[2] = {};
	__u64 wanted[2];

	bpf_core_read_str(comm, sizeof(comm), &leader->comm);
	__builtin_memcpy(wanted, (const void *)target.comm, sizeof(wanted));
	for (int i = 0; i < 16; i++) {
		char c = ((char *)comm)[i];

		if (c != ((char *)wanted)[i])
			return 0;
		if (!c)
			return 1;
	}
	return 1;
}

static __always_inline int observe_wanted(void)
{
	__u32 tgid;

	switch (target.kind) {
	case OBSERVE_TARGET_ALL:
		return 1;
	case OBSERVE_TARGET_PIDS:
		tgid = bpf_get_current_pid_tgid() >> 32;
		return bpf_map_lookup_elem(&observe_pids, &tgid) != NULL;
	case OBSERVE_TARGET_COMM:
		return observe_comm_is_wanted();
	default:
		return bpf_get_current_ancestor_cgroup_id(target.cgroup_level) == target.cgroup_id;
	}
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(observe_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid;
	__u32 to = child->tgid;
	__u8 one = 1;

	if (from != to && bpf_map_lookup_elem(&observe_pids, &from))
		bpf_map_update_elem(&observe_pids, &to, &one, BPF_ANY);
	return 0;
}

/* The number of a process that is gone may soon be another's. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(observe_exit, struct task_struct *task)
{
	__u32 tgid = task->tgid;

	if (task->signal->live.counter == 0)
		bpf_map_delete_elem(&observe_pids, &tgid);
	return 0;
}
