/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Notes of what the program decides, for `lbctl explain`: lb_explain.bpf.c makes them, in
 * lb_xdp.bpf.c they are nothing.
 */
#ifndef XDP_EXPLAIN_BPF_H
#define XDP_EXPLAIN_BPF_H

#include "bpf/xdp_lookup.bpf.h"

static __always_inline struct lb_trace *noting(__u32 step)
{
#ifdef LB_EXPLAIN
	__u32 zero = 0;
	struct lb_trace *t = bpf_map_lookup_elem(&trace, &zero);

	if (t)
		t->steps |= step;
	return t;
#else
	return NULL;
#endif
}

static __always_inline void note_service(const struct packet *p,
					 const struct lb_index_slot *service)
{
	struct lb_trace *t = noting(LB_TRACE_SERVICE);

	if (!t)
		return;
	t->generation = p->index->generation;
	t->service_id = service->service_id;
	t->table = service->table;
}

static __always_inline void note_slot(const struct packet *p)
{
	struct lb_trace *t = noting(LB_TRACE_SLOT);

	if (!t)
		return;
	t->slot = p->slot;
	t->word = p->word;
	t->state = p->word & LB_SLOT_ASK ? slot_state(&p->table, p->slot) : 0;
}

static __always_inline void note_flow(const struct packet *p, bool found, bool follows, __u32 now)
{
	struct lb_trace *t = noting(LB_TRACE_MEMORY | (found ? LB_TRACE_FLOW : 0) |
				    (follows ? LB_TRACE_FOLLOWS : 0));

	if (!t)
		return;
	t->flow_rs_id = p->flow.rs_id;
	t->flow_service_id = p->flow.service_id;
	t->flow_seen = p->flow.last_seen;
	t->flow_state = p->flow.state;
	t->now = now;
}

static __always_inline void note_rs(const struct packet *p, const struct lb_index_slot *service,
				    const struct lb_rs_entry *rs)
{
	struct lb_trace *t = noting(LB_TRACE_RS);

	if (t)
		t->rs_id = rs && rs->place ? rs_id_of(p->index, service, rs) : 0;
}

#endif
