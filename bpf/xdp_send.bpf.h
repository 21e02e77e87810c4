/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A packet on its way to a real server: what dataplane/packet/rewrite.h does, in the kernel, then
 * XDP_TX or a redirect to the port where the real server is.
 */
#ifndef XDP_SEND_BPF_H
#define XDP_SEND_BPF_H

#include "bpf/xdp_explain.bpf.h"

/* The link layer with the tag `vlan` or none. 0, or why not. */
static __always_inline int replace_vlan(struct xdp_md *ctx, struct packet *p, __u16 vlan)
{
	__u32 after = sizeof(struct ethhdr) + (vlan ? sizeof(struct vlan_hdr) : 0);
	__be16 *at;

	if (bpf_xdp_adjust_head(ctx, (int)p->l3_offset - (int)after))
		return -1;
	p->frame_bytes += after - p->l3_offset;
	p->l3_offset = after;
	at = (void *)(long)ctx->data + 12;
	if ((void *)(at + 3) > (void *)(long)ctx->data_end)
		return -1;
	if (vlan) {
		at[0] = bpf_htons(ETH_P_8021Q);
		at[1] = bpf_htons(vlan);
		at += 2;
	}
	*at = p->flow.family == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	return 0;
}

static __always_inline void lower_ttl(struct iphdr *ip)
{
	__u32 *word = (__u32 *)&ip->ttl;

	*word = lb_ttl_less(*word);
}

/* Writes MAC addresses, tag and TTL. False: the frame has no room for a tag. */
static __always_inline bool rewrite(struct xdp_md *ctx, struct packet *p,
				    const struct lb_rs_entry *rs)
{
	const __u32 *macs = (const __u32 *)rs->macs;
	__u32 offset, *data;
	void *end;

	if (p->l3_offset != sizeof(struct ethhdr) || rs->vlan) {
		if (replace_vlan(ctx, p, rs->vlan))
			return false;
	}
	barrier_var(ctx); /* else clang makes one load of both, at an offset that the verifier
			     refuses */
	data = (void *)(long)ctx->data;
	barrier_var(ctx);
	end = (void *)(long)ctx->data_end;
	offset = p->l3_offset;
	if (offset > L3_OFFSET_MAX || (void *)data + sizeof(struct ethhdr) > end ||
	    (void *)data + offset + sizeof(struct iphdr) > end)
		return false;
	data[0] = macs[0];
	data[1] = macs[1];
	data[2] = macs[2];
	if (!(p->index->flags & LB_INDEX_DECREMENT_TTL))
		return true;
	if (p->flow.family == 4)
		lower_ttl((void *)data + offset);
	else
		((struct ipv6hdr *)((void *)data + offset))->hop_limit--;
	return true;
}

static __always_inline void count_sent(__u32 rs_id, __u32 frame_bytes, bool is_new)
{
	struct lb_rs_count *of_rs = rs_count(rs_id);

	if (of_rs) {
		of_rs->packets++;
		of_rs->bytes += frame_bytes;
		if (is_new)
			of_rs->new_flows++;
	}
}

/*
 * Sends the packet to `rs` (NULL: there is nobody). `is_new`: a connection that nobody else counts
 * begins with it.
 */
static __noinline int send_to(struct xdp_md *ctx, struct packet *p,
			      const struct lb_index_slot *service, const struct lb_rs_entry *rs,
			      bool is_new)
{
	__u32 port;

	note_rs(p, service, rs);
	if (!rs || !rs->place)
		return drop_of(p, LB_DROP_NoBackend, service);
	if (!(rs->flags & LB_RS_HAS_MAC))
		return hand_over(ctx, p, LB_HAND_NoMac, service->service_id)
			       ? XDP_REDIRECT
			       : drop_of(p, LB_DROP_NoNeighbour, service);
	if (!(rs->flags & LB_RS_EGRESS_UP))
		return drop_of(p, LB_DROP_TxLinkDown, service);
	if (p->l3_bytes > rs->mtu)
		return drop_of(p, LB_DROP_TooLarge, service);
	port = rs->egress;
	if (!(settings.sends >> (port & 31) & 1))
		return hand_over(ctx, p, LB_HAND_Egress, service->service_id)
			       ? XDP_REDIRECT
			       : drop_of(p, LB_DROP_NoSocket, service);
	if (port != settings.port && bpf_redirect_map(&devs, port, XDP_ABORTED) != XDP_REDIRECT)
		return drop_of(p, LB_DROP_TxLinkDown, service);
	if (!rewrite(ctx, p, rs))
		return drop_of(p, LB_DROP_NoHeadroom, service);
	count_sent(rs_id_of(p->index, service, rs), p->frame_bytes, is_new);
	if (port == settings.port)
		return count(LB_XDP_SENT, XDP_TX);
	return count(LB_XDP_REDIRECTED, XDP_REDIRECT);
}

#endif
