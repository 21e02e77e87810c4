/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the XDP program knows of a packet, and how a packet leaves it: passed, dropped, handed to
 * the worker of its queue.
 */
#ifndef XDP_PACKET_BPF_H
#define XDP_PACKET_BPF_H

#include "bpf/xdp_maps.bpf.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88A8
#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET 0x1FFF
#define IPPROTO_ICMPV6 58 /* a macro in the UAPI, so not in vmlinux.h */

#define TCP_BYTES 20
#define UDP_BYTES 8
#define SCTP_BYTES 12

/* No verdict yet. */
#define GO_ON (-1)

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define L3_OFFSET_MAX (sizeof(struct ethhdr) + LB_VLAN_TAGS_MAX * sizeof(struct vlan_hdr))

/* A flow: a question to the flow memory, and its answer. */
struct flow {
	__u64 client[2]; /* IPv4: the lower half of the first word */
	__u64 vip[2];
	__u32 ports_raw; /* client port, then VIP port, as they lie in the packet */
	__u32 proto;
	__u64 hash;
	__u32 family; /* 4 or 6 */
	__u32 queue;
	/* The answer: */
	__u32 rs_id;
	__u32 service_id;
	__u32 last_seen;
	__u32 state;
	__u32 bucket;
	__u32 at; /* in the bucket */
};

/* A service's table; offsets follow from the class. */
struct table {
	const void *at;
	__u64 class;
};

struct packet {
	struct flow flow;
	struct table table;
	__u32 l4_bytes;	     /* of the IP packet, from the transport header on */
	__be16 offset_flags; /* TCP: bytes 12 and 13 */
	__be16 udp_length;
	__u32 slot;
	__u32 word; /* hot word of the slot */
	const struct lb_index_head *index;
	__u32 frame_bytes;
	__u32 l3_bytes; /* of the IP packet, by its header */
	__u32 l4_offset;
	__u32 end;    /* of the IP packet, from the frame's first byte */
	__u32 reason; /* why the worker has to decide: enum lb_hand_reason; LB_HAND_COUNT: it has
			 not */
	__u16 l3_offset;
	__u8 tcp_flags;
	__u8 ttl;
	__u8 fragment; /* of any kind */
	__u8 later_fragment;
};

/* VRRP's virtual MACs count as ours. */
static __always_inline bool is_virtual_mac(const __u8 *mac)
{
	return mac[0] == 0 && mac[1] == 0 && mac[2] == 0x5e && mac[3] == 0 &&
	       (mac[4] == 1 || mac[4] == 2);
}

static __always_inline int pass(const struct packet *p)
{
	return count(LB_XDP_PASSED, XDP_PASS);
}

static __always_inline int drop(const struct packet *p, enum lb_drop_reason reason)
{
	return count(reason, XDP_DROP);
}

static __always_inline int drop_of(const struct packet *p, enum lb_drop_reason reason,
				   const struct lb_index_slot *service)
{
	struct lb_service_count *counts = service_count(service->service_id);

	if (counts)
		counts->drops++;
	return drop(p, reason);
}

/* A SYN that opens a connection: SYN+ACK does not. */
static __always_inline bool opens(const struct packet *p)
{
	return p->flow.proto == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The worker of this queue has stepped lately. */
static __always_inline bool worker_lives(struct xdp_md *ctx, const struct packet *p)
{
	__u32 queue = ctx->rx_queue_index;
	const volatile struct lb_beat *beat = bpf_map_lookup_elem(&beats, &queue);

	return beat && beat->tick && (__s32)(tick_now() - beat->tick) < (__s32)settings.stale_ms;
}

static __always_inline void add_meta(struct xdp_md *ctx, const struct packet *p, __u32 reason,
				     __u32 service_id)
{
	struct lb_meta *meta;
	void *data;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return;
	meta = (void *)(long)ctx->data_meta;
	data = (void *)(long)ctx->data;
	if ((void *)(meta + 1) > data)
		return;
	meta->magic = LB_META_MAGIC;
	meta->generation = p->index->generation;
	meta->reason = reason;
	meta->service_id = service_id;
}

/* To the worker of this queue. False: there is none that lives; the frame is as it was. */
static __always_inline bool hand_over(struct xdp_md *ctx, const struct packet *p, __u32 reason,
				      __u32 service_id)
{
	if (!worker_lives(ctx, p) ||
	    bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_ABORTED) != XDP_REDIRECT)
		return false;
	count(LB_XDP_HANDED + reason, XDP_REDIRECT);
	add_meta(ctx, p, reason, service_id);
	return true;
}

/* To the worker, for what nobody else can decide. */
static __always_inline int hand_or_drop(struct xdp_md *ctx, const struct packet *p, __u32 reason,
					enum lb_drop_reason otherwise)
{
	return hand_over(ctx, p, reason, 0) ? XDP_REDIRECT : drop(p, otherwise);
}

#endif
