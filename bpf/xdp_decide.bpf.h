/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which real server gets a packet, and who decides that: this program or the worker of its queue.
 * The rules are those of dataplane/pipeline_lookup.h. State is looked at only where it can matter:
 * in steady state a hashed service is key -> slot -> owner.
 */
#ifndef XDP_DECIDE_BPF_H
#define XDP_DECIDE_BPF_H

#include "bpf/xdp_flows.bpf.h"
#include "bpf/xdp_send.bpf.h"

/* The owner of a slot, or NULL: nobody. */
static __always_inline const struct lb_rs_entry *owner_of(const struct packet *p)
{
	return member(&p->table, p->word & LB_SLOT_OWNER);
}

static __always_inline bool is_active(__u32 state)
{
	return state == LB_FLOW_ESTABLISHED || state == LB_FLOW_UDP || state == LB_FLOW_SCTP;
}

/* States in which a SYN begins another connection: FlowState::TimeWait and Close. */
static __always_inline bool is_over(__u32 state)
{
	return state == LB_FLOW_TIME_WAIT || state == LB_FLOW_CLOSE;
}

static __always_inline __u32 timeout_of(const struct lb_index_slot *service, __u32 state)
{
	return service->timeout_ms[state == LB_FLOW_UDP	   ? LB_TIMEOUT_UDP
				   : state == LB_FLOW_SCTP ? LB_TIMEOUT_SCTP
							   : LB_TIMEOUT_ESTABLISHED];
}

/*
 * The real server that the flow memory names, or NULL when it knows none for this packet. How long
 * a state that is not active may last is the worker's to know: the entry is handed to it anyway.
 */
static __always_inline const struct lb_rs_entry *
remembered(const struct packet *p, const struct lb_index_slot *service, __u32 now)
{
	const struct flow *flow = &p->flow;
	const struct lb_rs_entry *rs;

	if (flow->service_id != service->service_id)
		return NULL;
	rs = member_of(p, service, flow->rs_id);
	if (!rs || !(rs->flags & LB_RS_UP))
		return NULL;
	if ((__s32)(now - flow->last_seen) > (__s32)timeout_of(service, flow->state))
		return NULL;
	if (opens(p) && (is_over(flow->state) ||
			 (!(service->flags & LB_SVC_STATEFUL) && rs->flags & LB_RS_DRAINS)))
		return NULL;
	return rs;
}

/* Whether one more flow may be handed over to be remembered. */
static __always_inline bool within_rate(const struct lb_index_slot *service, bool begins, __u32 now)
{
	struct lb_service_count *c = service_count(service->service_id);
	__u32 window = now / LB_RATE_WINDOW_MS;

	if (!c || !service->flow_rate)
		return true;
	if (c->window != window) {
		c->window = window;
		c->window_new = 0;
		c->window_unknown = 0;
	}
	if ((begins ? c->window_new : c->window_unknown) >= service->flow_rate) {
		c->unremembered++;
		return false;
	}
	if (begins)
		c->window_new++;
	else
		c->window_unknown++;
	return true;
}

/* A flow that is not remembered, decided by the slot alone. */
static __always_inline const struct lb_rs_entry *
decide_alone(const struct packet *p, const struct lb_index_slot *service, __u32 state)
{
	struct lb_service_count *counts = service_count(service->service_id);
	const struct lb_rs_entry *old = NULL;
	bool tcp = p->flow.proto == IPPROTO_TCP, syn = opens(p), stays;

	if (counts && tcp && !syn)
		counts->unknown_flows++;
	if (!(state & LB_STATE_OPEN) || (!tcp && service->flags & (LB_SVC_ALWAYS | LB_SVC_NEVER)))
		return owner_of(p);
	old = member(&p->table, state & LB_STATE_OLD);
	stays = old && old->flags & LB_RS_UP && ((tcp && !syn) || !(old->flags & LB_RS_DRAINS));
	if (syn && counts && !stays)
		counts->unprotected++;
	return stays ? old : owner_of(p);
}

/* Whether a flow that is not remembered has to be. */
static __always_inline bool is_to_be_remembered(const struct packet *p,
						const struct lb_index_slot *service, __u32 state)
{
	if (service->flags & LB_SVC_STATEFUL)
		return true;
	if (p->flow.proto != IPPROTO_TCP && service->flags & (LB_SVC_ALWAYS | LB_SVC_NEVER))
		return service->flags & LB_SVC_ALWAYS;
	return state & LB_STATE_OPEN;
}

static __always_inline int alone(struct xdp_md *ctx, struct packet *p,
				 const struct lb_index_slot *service, const struct lb_rs_entry *rs)
{
	count(LB_XDP_ALONE, 0);
	return send_to(ctx, p, service, rs, opens(p));
}

/* Whether the owner of the slot is all there is to know. */
static __always_inline bool is_steady(const struct packet *p, const struct lb_index_slot *service)
{
	if (service->flags & LB_SVC_STATEFUL)
		return false;
	if (p->flow.proto != IPPROTO_TCP && service->flags & (LB_SVC_ALWAYS | LB_SVC_NEVER))
		return service->flags & LB_SVC_NEVER;
	return !(p->word & LB_SLOT_ASK);
}

/* The flow memory has a word in it, or the worker. */
static __noinline int ask(struct xdp_md *ctx, struct packet *p, const struct lb_index_slot *service)
{
	__u32 state = p->word & LB_SLOT_ASK ? slot_state(&p->table, p->slot) : 0;
	__u32 reason = p->reason, now = tick_now();
	const struct lb_rs_entry *rs = NULL;
	bool begins = opens(p) || p->flow.proto != IPPROTO_TCP, found = false;

	p->flow.queue = ctx->rx_queue_index;
	p->flow.rs_id = p->flow.service_id = p->flow.last_seen = p->flow.state = 0;
	p->flow.bucket = p->flow.at = 0;
	if (!is_steady(p, service)) {
		found = find_flow(&p->flow);
		if (found)
			rs = remembered(p, service, now);
		note_flow(p, found, rs != NULL, now);
	}
	/* Of a service on other ports than this one: its tables are the worker's to look at. */
	if (found && p->flow.service_id != service->service_id && reason == LB_HAND_COUNT)
		reason = LB_HAND_State;
	if (rs) {
		bool plain = p->flow.proto != IPPROTO_TCP ||
			     !(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST));

		if (reason == LB_HAND_COUNT && plain && is_active(p->flow.state)) {
			touch(&p->flow, now);
			return send_to(ctx, p, service, rs, false);
		}
		if (hand_over(ctx, p, reason == LB_HAND_COUNT ? LB_HAND_State : reason,
			      service->service_id))
			return XDP_REDIRECT;
		count(LB_XDP_ALONE, 0);
		return send_to(ctx, p, service, rs, false);
	}
	if (reason != LB_HAND_COUNT) {
		if (hand_over(ctx, p, reason, service->service_id))
			return XDP_REDIRECT;
	} else if (!is_to_be_remembered(p, service, state)) {
		return send_to(ctx, p, service, owner_of(p), opens(p));
	} else if (!within_rate(service, begins, now)) {
		return send_to(ctx, p, service, decide_alone(p, service, state), opens(p));
	} else if (hand_over(ctx, p, begins ? LB_HAND_New : LB_HAND_Unknown, service->service_id)) {
		return XDP_REDIRECT;
	}
	return alone(ctx, p, service, decide_alone(p, service, state));
}

/* Finds the slot of a packet. */
static __always_inline void find_slot(struct packet *p, const struct lb_index_slot *service)
{
	const struct lb_table_head *head = p->table.at;
	__u64 hash = flow_hash(p);

	p->flow.hash = hash;
	if (service->slot_hash != LB_SLOT_BY_FLOW)
		hash = address_hash(p, service->slot_hash == LB_SLOT_BY_CLIENT);
	p->slot = lb_hash_slot(hash, service->slot_key, head->slots);
	p->word = hot_word(&p->table, p->slot);
	note_slot(p);
}

/* A packet of a service, its headers checked. */
static __always_inline int balance(struct xdp_md *ctx, struct packet *p,
				   const struct lb_index_slot *service)
{
	if (is_vip(p, p->flow.client))
		return drop_of(p, LB_DROP_BadSource, service);
	if (p->ttl <= 1 && p->index->flags & LB_INDEX_DECREMENT_TTL) {
		if (hand_over(ctx, p, LB_HAND_Ttl, service->service_id))
			return XDP_REDIRECT;
		return drop_of(p, LB_DROP_TtlExpired, service);
	}
	if (!find_table(service->table, &p->table)) {
		if (hand_over(ctx, p, LB_HAND_Engine, service->service_id))
			return XDP_REDIRECT;
		return drop_of(p, LB_DROP_NoSocket, service);
	}
	find_slot(p, service);
	if (p->reason == LB_HAND_COUNT && is_steady(p, service))
		return send_to(ctx, p, service, owner_of(p), opens(p));
	return ask(ctx, p, service);
}

#endif
