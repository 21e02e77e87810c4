// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * `observe leak --tier pages`, in the kernel: an event for each page fault of the target, for each
 * mmap, mremap, brk, munmap and madvise, and for the lives of its address spaces
 * (observe_resident.h). Calls are seen where they change something, so that all others cost
 * nothing; by raw_syscalls:sys_exit only where the kernel has not the tracepoints for that. They
 * are hit by all processes; those that are not of the target leave at once.
 */
#include "bpf/vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "bpf/observe_resident.h"
#include "bpf/observe_stack.bpf.h"
#include "bpf/observe_unwind.h"
#include "bpf/observe_unwind.bpf.h"
#include "bpf/observe_target.h"
#include "bpf/observe_target.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define SIGSTOP 19
#define PROT_EXEC 4
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MREMAP_FIXED 2
#define MREMAP_DONTUNMAP 4
#define VM_EXEC 4
#define TASK_BYTES ((1ULL << 47) - PAGE_BYTES) /* with page tables of four levels */
#define MADV_DONTNEED 4
#define MADV_REMOVE 9
#define MADV_DONTNEED_LOCKED 24
#define MADV_GUARD_INSTALL 102
#define ENOMEM 12
#define PAGE_BYTES 4096
#define TASK_ADDRESS_MAX (1ULL << 56)
#define NATIVE_CODE_SEGMENT 0x33 /* of x86-64; a process of 32 bits numbers its calls otherwise */

const volatile __u8 stops; /* a command of ours: it waits when it has loaded code */
const volatile __u32 nr_mmap = ~0U, nr_mremap = ~0U, nr_brk = ~0U;
const volatile __u32 nr_munmap = ~0U, nr_madvise = ~0U;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, OBSERVE_RESIDENT_RING_BYTES);
} resident_events SEC(".maps");

/* Pages whose fault found no room in the ring -> when. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OBSERVE_RESIDENT_LOST_MAX);
	__type(key, struct observe_resident_page);
	__type(value, __u64);
} resident_lost SEC(".maps");

/* Processes that we have ever stopped. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 14);
	__type(key, __u32);
	__type(value, __u8);
} resident_stopped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct observe_resident_state);
} resident_states SEC(".maps");

static __always_inline void count_blind(void)
{
	__u32 zero = 0;
	struct observe_resident_state *state = bpf_map_lookup_elem(&resident_states, &zero);

	if (state)
		*(volatile __u64 *)&state->blind_ns = bpf_ktime_get_ns();
	OBSERVE_COUNT(ring_full);
}

/* Nobody needs to look at once; the reader comes each second, or when there is much. */
static __always_inline __u64 lazily(void)
{
	return bpf_ringbuf_query(&resident_events, BPF_RB_AVAIL_DATA) >
			       OBSERVE_RESIDENT_RING_BYTES / 4
		       ? BPF_RB_FORCE_WAKEUP
		       : BPF_RB_NO_WAKEUP;
}

static __noinline int send_fault(__u64 address, __u64 stack, __u32 error)
{
	struct observe_resident_fault *event;
	struct observe_resident_page page = {.address = address & ~(PAGE_BYTES - 1ULL)};
	__u64 now = bpf_ktime_get_ns();

	OBSERVE_COUNT(events);
	event = bpf_ringbuf_reserve(&resident_events, sizeof(*event), 0);
	if (!event) {
		page.tgid = bpf_get_current_pid_tgid() >> 32;
		if (bpf_map_update_elem(&resident_lost, &page, &now, BPF_ANY))
			count_blind();
		else
			OBSERVE_COUNT(ring_full);
		return 0;
	}
	event->kind = OBSERVE_RESIDENT_FAULT;
	event->tgid = bpf_get_current_pid_tgid() >> 32;
	event->time_ns = now;
	event->address = address;
	event->stack = stack;
	event->error = error;
	event->unused = 0;
	bpf_ringbuf_submit(event, lazily());
	return 0;
}

static __noinline __u64 stack_of_task(void)
{
	return observe_user_stack_of_task();
}

SEC("tp_btf/page_fault_user")
int BPF_PROG(observe_resident_user_fault, unsigned long address, struct pt_regs *regs,
	     unsigned long error)
{
	if (!observe_wanted() || address >= TASK_ADDRESS_MAX)
		return 0;
	return send_fault(address, stack_of_task(), error);
}

/* Of copies to and from user space. Those that may not sleep (ours among them) bring no page in. */
SEC("tp_btf/page_fault_kernel")
int BPF_PROG(observe_resident_kernel_fault, unsigned long address, struct pt_regs *regs,
	     unsigned long error)
{
	if (address >= TASK_ADDRESS_MAX || !observe_wanted())
		return 0;
	if (bpf_get_current_task_btf()->pagefault_disabled)
		return 0;
	return send_fault(address, stack_of_task(), error);
}

static __always_inline struct observe_resident_event *reserve(__u32 kind, __u32 tgid)
{
	struct observe_resident_event *event =
		bpf_ringbuf_reserve(&resident_events, sizeof(*event), 0);

	OBSERVE_COUNT(events);
	if (!event) {
		count_blind();
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->tgid = tgid;
	event->time_ns = bpf_ktime_get_ns();
	return event;
}

/* New code is mapped; a process of ours waits until its unwind tables stand. */
static __always_inline void tell_loaded(struct observe_resident_event *event)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u8 one = 1;

	event->flags |= OBSERVE_RESIDENT_LOADED;
	if (!stops || bpf_map_update_elem(&resident_stopped, &tgid, &one, BPF_ANY))
		return;
	if (!bpf_send_signal(SIGSTOP))
		event->flags |= OBSERVE_RESIDENT_STOPPED;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(observe_resident_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid, to = child->tgid;
	struct observe_resident_event *event;

	if (from == to || !observe_wanted())
		return 0;
	observe_unwind_fork(from, to);
	event = reserve(OBSERVE_RESIDENT_FORK, to);
	if (!event)
		return 0;
	event->parent = from;
	if (parent->mm == child->mm)
		event->flags = OBSERVE_RESIDENT_SHARES;
	bpf_probe_read_kernel_str(event->comm, sizeof(event->comm), child->comm);
	bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* Where targets have a name, exec may make one, and end one. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(observe_resident_exec, struct task_struct *task, pid_t old_pid,
	     struct linux_binprm *bprm)
{
	struct observe_resident_event *event;
	int wanted = observe_wanted();

	if (!wanted && target.kind != OBSERVE_TARGET_COMM)
		return 0;
	if (wanted)
		observe_unwind_exec(task->tgid);
	event = reserve(OBSERVE_RESIDENT_EXEC, task->tgid);
	if (!event)
		return 0;
	bpf_probe_read_kernel_str(event->comm, sizeof(event->comm), task->comm);
	if (wanted) {
		event->flags = OBSERVE_RESIDENT_WANTED;
		tell_loaded(event);
	}
	bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(observe_resident_exit, struct task_struct *task)
{
	struct observe_resident_event *event;
	__u32 tgid = task->tgid;

	if (task->signal->live.counter != 0)
		return 0;
	if (!observe_wanted() && target.kind != OBSERVE_TARGET_COMM)
		return 0;
	observe_unwind_exit(tgid);
	bpf_map_delete_elem(&resident_stopped, &tgid);
	event = reserve(OBSERVE_RESIDENT_EXIT, tgid);
	if (event)
		bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
	return 0;
}

static __always_inline int gives_back(__u32 advice)
{
	return advice == MADV_DONTNEED || advice == MADV_REMOVE || advice == MADV_DONTNEED_LOCKED ||
	       advice == MADV_GUARD_INSTALL;
}

static __always_inline int is_error(__u64 result)
{
	return result >= (__u64)-4095;
}

static __always_inline struct observe_resident_event *reserve_mapped(__u32 kind)
{
	__u64 stack = stack_of_task();
	struct observe_resident_event *event = reserve(kind, bpf_get_current_pid_tgid() >> 32);

	if (event)
		event->stack = stack;
	return event;
}

/* `asked`: bytes of the call when address and bytes are of the whole mapping, which may have taken
 * in its neighbours; else 0. `code`: it is executable. */
static __always_inline int send_mapped(struct pt_regs *regs, __u64 address, __u64 bytes,
				       __u64 asked, int code)
{
	struct observe_resident_event *event = reserve_mapped(OBSERVE_RESIDENT_MAPPED);
	__u64 wake;

	if (!event)
		return 0;
	event->address = address;
	event->bytes = bytes;
	event->asked_bytes = asked;
	wake = lazily();
	if (code && !(regs->r10 & MAP_ANONYMOUS)) {
		tell_loaded(event);
		wake = BPF_RB_FORCE_WAKEUP;
	}
	bpf_ringbuf_submit(event, wake);
	return 0;
}

static __always_inline int send_moved(struct pt_regs *regs, __u64 address, __u64 bytes, __u64 asked)
{
	struct observe_resident_event *event = reserve_mapped(OBSERVE_RESIDENT_MOVED);

	if (!event)
		return 0;
	event->address = address;
	event->bytes = bytes;
	event->asked_bytes = asked;
	event->from_address = regs->di;
	event->from_bytes = regs->si;
	bpf_ringbuf_submit(event, lazily());
	return 0;
}

static __always_inline int send_break(__u64 end)
{
	__u64 start = BPF_CORE_READ(bpf_get_current_task_btf(), mm, start_brk);
	struct observe_resident_event *event = reserve_mapped(OBSERVE_RESIDENT_BREAK);

	if (!event)
		return 0;
	event->address = start;
	event->bytes = end > start ? end - start : 0;
	bpf_ringbuf_submit(event, lazily());
	return 0;
}

static __always_inline int send_given(__u64 address, __u64 bytes, __u32 flags)
{
	struct observe_resident_event *event =
		reserve(OBSERVE_RESIDENT_GIVEN, bpf_get_current_pid_tgid() >> 32);

	if (!event)
		return 0;
	event->address = address;
	event->bytes = bytes;
	event->flags = flags;
	bpf_ringbuf_submit(event, lazily());
	return 0;
}

static __always_inline struct pt_regs *native_call(__u32 *nr)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());

	*nr = regs->orig_ax;
	return (regs->cs & 0xff) == NATIVE_CODE_SEGMENT ? regs : NULL;
}

static __always_inline __u64 whole_pages(__u64 bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ULL);
}

/* A store before the one that counts is of what is left of a mapping that is cut. Some kernels do
 * that before they find out that the call fails: such a piece does not hold all that is asked for,
 * or is of the old mapping. */
static __always_inline int on_mmap_store(struct pt_regs *regs, __u64 start, __u64 bytes,
					 struct vm_area_struct *area)
{
	__u64 address = regs->di, asked = whole_pages(regs->si);
	int code = (BPF_CORE_READ(area, vm_flags) & VM_EXEC) != 0;

	if (!(regs->r10 & MAP_FIXED))
		return send_mapped(regs, start, bytes, regs->si, code);
	if (address < start || asked > bytes || address - start > bytes - asked)
		return 0;
	return send_mapped(regs, address, asked, 0, code);
}

/* One that makes a mapping smaller where it is stores what is left of it. */
static __always_inline int may_move(struct pt_regs *regs)
{
	return regs->r10 & (MREMAP_FIXED | MREMAP_DONTUNMAP) ||
	       whole_pages(regs->dx) > whole_pages(regs->si);
}

/*
 * What a task maps is told before its maple tree gets it, by mas_store_prealloc() with the range as
 * it will be; functions within repeat that, and are alone when brk begins a heap. The call it is
 * for and its arguments stand in the registers that user space came with; where the mapping will be
 * does not, unless it is fixed.
 */
SEC("tp_btf/ma_write")
int BPF_PROG(observe_resident_store, const char *function, struct ma_state *mas,
	     unsigned long pivot, void *entry)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 start = mas->index, bytes = mas->last - start + 1;
	struct pt_regs *regs;
	char name[8];
	__u32 nr;

	if (!entry || !task->mm || mas->tree != &task->mm->mm_mt || !observe_wanted())
		return 0;
	regs = native_call(&nr);
	if (!regs)
		return 0;
	if (nr == nr_brk)
		return send_break(regs->di);
	if (bpf_probe_read_kernel(name, sizeof(name), function) ||
	    __builtin_memcmp(name, "mas_stor", sizeof(name)))
		return 0;
	if (nr == nr_mmap)
		return on_mmap_store(regs, start, bytes, entry);
	return nr == nr_mremap && may_move(regs) ? send_moved(regs, start, bytes, regs->dx) : 0;
}

/* What is cut off, or was where the mapping is to be. */
static __always_inline int on_mremap_lock(struct pt_regs *regs)
{
	__u64 from = regs->di, from_bytes = whole_pages(regs->si), bytes = whole_pages(regs->dx);
	__u64 to = regs->r8;

	if (!bytes)
		return 0;
	if (!(regs->r10 & MREMAP_FIXED)) {
		if (bytes >= from_bytes)
			return 0;
		return send_given(from + bytes, from_bytes - bytes, OBSERVE_RESIDENT_UNMAPPED);
	}
	if (to & (PAGE_BYTES - 1) || (to < from + from_bytes && from < to + bytes))
		return 0;
	return send_given(to, bytes, OBSERVE_RESIDENT_UNMAPPED);
}

/* What a task unmaps is told when it holds the lock for that. */
static __always_inline int on_lock(struct mm_struct *mm, bool write, bool success)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs;
	__u32 nr;

	if (!write || !success || !task->mm || mm != task->mm)
		return 0;
	regs = native_call(&nr);
	if (!regs || !observe_wanted())
		return 0;
	if (nr == nr_brk)
		return regs->di < mm->brk && regs->di >= mm->start_brk ? send_break(regs->di) : 0;
	if (regs->di & (PAGE_BYTES - 1))
		return 0;
	if (nr == nr_munmap && regs->di < TASK_BYTES && regs->si <= TASK_BYTES - regs->di)
		return send_given(regs->di, regs->si, OBSERVE_RESIDENT_UNMAPPED);
	return nr == nr_mremap ? on_mremap_lock(regs) : 0;
}

SEC("tp_btf/mmap_lock_acquire_returned")
int BPF_PROG(observe_resident_lock, struct mm_struct *mm, bool write, bool success)
{
	return on_lock(mm, write, success);
}

/* Older kernels tell the path of a cgroup, too. */
SEC("tp_btf/mmap_lock_acquire_returned")
int BPF_PROG(observe_resident_lock_path, struct mm_struct *mm, const char *path, bool write,
	     bool success)
{
	return on_lock(mm, write, success);
}

/* The count of resident pages changes while a task gives pages back. */
SEC("tp_btf/rss_stat")
int BPF_PROG(observe_resident_given, struct mm_struct *mm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs;
	__u32 nr;

	if (!task->mm || mm != task->mm)
		return 0;
	regs = native_call(&nr);
	if (!regs || nr != nr_madvise || !gives_back(regs->dx) || !observe_wanted())
		return 0;
	return send_given(regs->di, regs->si, 0);
}

/* Where the kernel has not all of these. It costs every system call of the machine. */
SEC("tp_btf/sys_exit")
int BPF_PROG(observe_resident_sys_exit, struct pt_regs *regs, long result)
{
	__u32 nr = regs->orig_ax;

	if (nr != nr_mmap && nr != nr_mremap && nr != nr_brk && nr != nr_munmap && nr != nr_madvise)
		return 0;
	if ((regs->cs & 0xff) != NATIVE_CODE_SEGMENT || !observe_wanted())
		return 0;
	if (nr == nr_brk)
		return send_break(result);
	if (nr == nr_mmap)
		return is_error(result)
			       ? 0
			       : send_mapped(regs, result, regs->si, 0, regs->dx & PROT_EXEC);
	if (nr == nr_mremap)
		return is_error(result) ? 0 : send_moved(regs, result, regs->dx, 0);
	if (nr == nr_munmap)
		return result ? 0 : send_given(regs->di, regs->si, OBSERVE_RESIDENT_UNMAPPED);
	/* With ENOMEM what is mapped in the range has gone; the rest was never there. */
	if ((result && result != -ENOMEM) || !gives_back(regs->dx))
		return 0;
	return send_given(regs->di, regs->si, 0);
}
