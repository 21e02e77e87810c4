/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * The whole contract between the XDP program and user space: map keys and values, limits, settings,
 * drop reasons, and the flow hash. Compiled by clang for BPF and by g++; nothing here is typed a
 * second time. Multi-byte fields named *_be are in network order, all others in host order. No key
 * has a hole.
 */
#ifndef LB_ABI_H
#define LB_ABI_H

#ifdef __cplusplus
#include <linux/types.h>
#define LB_STATIC_ASSERT(condition, text) static_assert(condition, text)
#define LB_INLINE inline __attribute__((always_inline))
#else
#define LB_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#define LB_INLINE static inline __attribute__((always_inline))
#endif

#define LB_ABI_VERSION 1
#define LB_VLAN_TAGS_MAX 2	 /* tags on a frame that is balanced */
#define LB_EXT_HEADERS_MAX 8	 /* IPv6 extension headers walked */
#define LB_PORT_RANGES_MAX 16	 /* ranges of one VIP and protocol */
#define LB_VIP_ENTRIES_MAX 65536 /* entries of the VIP map */
#define LB_QUEUES_MAX 64	 /* RX queues of one port */

/*
 * Why a packet was dropped: X(enumerator, name in metrics and JSON, help).
 * The same list counts in the XDP program (per CPU) and in each worker; the last three (Rx...) are
 * what the kernel's AF_XDP sockets count.
 */
#define LB_DROP_REASONS(X)                                                                         \
	X(Truncated, "truncated", "the packet ends before its headers do")                         \
	X(BadIpHeader, "bad_ip_header", "IP version, header length or total length is wrong")      \
	X(BadL4Header, "bad_l4_header", "TCP, UDP or SCTP header length or port is wrong")         \
	X(BadFlags, "bad_flags", "TCP flags that no stack sends: none, SYN+FIN, SYN+RST")          \
	X(BadSource, "bad_source", "source is a VIP, multicast, broadcast, loopback or zero")      \
	X(VlanDepth, "vlan_depth", "a third VLAN tag")                                             \
	X(ExtHeaders, "ext_headers", "more IPv6 extension headers than are walked")                \
	X(TtlExpired, "ttl_expired", "TTL or hop limit is 1 or less")                              \
	X(VipUnmatched, "vip_unmatched", "for a VIP, but no service takes it")                     \
	X(NoBackend, "no_backend", "no real server of the service is up")                          \
	X(NoNeighbour, "no_neighbour", "the MAC address of the real server is not known yet")      \
	X(FragmentBad, "fragment_bad", "first fragment without a whole L4 header, or overlapping") \
	X(FragmentFull, "fragment_full", "the buffer of early fragments is full")                  \
	X(FragmentTimeout, "fragment_timeout", "the first fragment did not come in time")          \
	X(IcmpUnknown, "icmp_unknown", "an ICMP error that quotes no balanced packet")             \
	X(TooLarge, "too_large", "larger than the egress port's MTU")                              \
	X(NoSocket, "no_socket", "no AF_XDP socket is bound to the queue")                         \
	X(NoHeadroom, "no_headroom", "no room in the frame for a VLAN tag")                        \
	X(TxRingFull, "tx_ring_full", "the TX ring of the egress port is full")                    \
	X(TxLinkDown, "tx_link_down", "the egress port is down or gone")                           \
	X(RxTooLarge, "rx_too_large",                                                              \
	  "larger than a UMEM chunk: lower the port's MTU or set frame_bytes = 4096")              \
	X(RxRingFull, "rx_ring_full", "the RX ring was full: the worker does not keep up")         \
	X(RxNoFrame, "rx_no_frame", "the FILL ring was empty: the worker does not keep up")

enum lb_drop_reason {
#define LB_ENUMERATOR(name, text, help) LB_DROP_##name,
	LB_DROP_REASONS(LB_ENUMERATOR)
#undef LB_ENUMERATOR
		LB_DROP_COUNT
};

/* Indices of the per-CPU map `xdp_counters`: drops first, then what was not dropped. */
enum lb_xdp_counter {
	LB_XDP_PASSED = LB_DROP_COUNT, /* not ours, to the kernel's stack */
	LB_XDP_REDIRECTED,	       /* to an AF_XDP socket */
	LB_XDP_PANIC_PASSED,	       /* passed because panic is on */
	LB_XDP_COUNTER_COUNT
};

struct lb_xdp_counter_value {
	__u64 packets;
	__u64 bytes;
};

/*
 * Map `vips` (hash). Three kinds of entry:
 *   proto 0, port 0        the VIP itself: what becomes of packets that no service takes
 *   proto P, port N        a service on exactly that port
 *   proto P, port 0        any-port and port-range services of that VIP and protocol
 */
struct lb_vip_key {
	__u8 addr[16]; /* IPv4 in the first four bytes, the rest zero */
	__u16 port_be;
	__u8 proto;  /* IPPROTO_TCP, _UDP, _SCTP, or 0 */
	__u8 family; /* 4 or 6 */
};
LB_STATIC_ASSERT(sizeof(struct lb_vip_key) == 20, "no hole in lb_vip_key");

#define LB_VIP_PASS_UNMATCHED (1u << 0) /* on the VIP entry: pass instead of drop */
#define LB_VIP_ECHO_REPLY (1u << 1)	/* on the VIP entry: AF_XDP answers ICMP echo; else pass */

/*
 * On the VIP entry: unmatched packets pass and no service takes this protocol, so a later fragment,
 * which has no ports, passes too: the first one has.
 */
#define LB_VIP_PASS_LATER_TCP (1u << 2)
#define LB_VIP_PASS_LATER_UDP (1u << 3)
#define LB_VIP_PASS_LATER_SCTP (1u << 4)

struct lb_port_range {
	__u16 first; /* host order, inclusive */
	__u16 last;
};

struct lb_vip_value {
	__u32 flags;
	__u32 range_count;				 /* 0 .. LB_PORT_RANGES_MAX */
	struct lb_port_range ranges[LB_PORT_RANGES_MAX]; /* any-port is 1-65535 */
};
LB_STATIC_ASSERT(sizeof(struct lb_vip_value) == 8 + 4 * LB_PORT_RANGES_MAX, "lb_vip_value");

/* Map `settings` (array of one, of each port): what user space may change while the program runs.
 */
struct lb_settings {
	__u32 panic; /* not 0: every packet passes to the kernel */
	__u8 mac[6]; /* of the port: frames for another machine (a flooding switch) are not ours */
	__u8 mac_valid; /* 0: take any destination MAC */
	__u8 reserved;
};
LB_STATIC_ASSERT(sizeof(struct lb_settings) == 12, "lb_settings");

/*
 * The flow hash: NH (Black et al., UMAC, CRYPTO 1999) over the words of the key, one multiplication
 * each, then a mixer, 64 bits out. Not a MAC: it keeps somebody who does not know the secret from
 * aiming at one bucket or one real server, at a few ns a packet. The halves of a word are added to
 * those of a secret before they are multiplied, so that no difference of two inputs has a known
 * effect.
 */
struct lb_hash_key {
	__u64 k0;
	__u64 k1;
};

LB_INLINE __u64 lb_mix64(__u64 x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	return x;
}

LB_INLINE __u64 lb_rotl64(__u64 x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

LB_INLINE __u64 lb_hash_word(__u64 word, __u64 secret)
{
	__u64 low = (word + secret) & 0xffffffff;
	__u64 high = ((word >> 32) + (secret >> 32)) & 0xffffffff;

	return low * high;
}

/*
 * IPv4 flow: addresses and ports as they lie in the packet (network order), proto.
 * `ports_raw` is client port | vip port << 16, both in network order.
 */
LB_INLINE __u64 lb_hash_flow4(__u32 client_be, __u32 vip_be, __u32 ports_raw, __u8 proto,
			      const struct lb_hash_key *key)
{
	__u64 vip = vip_be, upper = proto;
	__u64 h = lb_hash_word((vip << 32) | client_be, key->k0);

	h += lb_hash_word((upper << 32) | ports_raw, key->k1);
	return lb_mix64(h ^ key->k1);
}

/* IPv6 flow: the addresses as two words each, in packet byte order. */
LB_INLINE __u64 lb_hash_flow6(const __u64 *client, const __u64 *vip, __u32 ports_raw, __u8 proto,
			      const struct lb_hash_key *key)
{
	__u64 upper = proto;
	__u64 h = lb_hash_word(client[0], key->k0);

	h += lb_hash_word(client[1], key->k1);
	h += lb_hash_word(vip[0], lb_rotl64(key->k0, 21));
	h += lb_hash_word(vip[1], lb_rotl64(key->k1, 21));
	h += lb_hash_word((upper << 32) | ports_raw, lb_rotl64(key->k0, 42));
	return lb_mix64(h ^ key->k1);
}

/* Slot of a hashed scheduler: flow hash (or address hash) under the service's own key. */
LB_INLINE __u32 lb_hash_slot(__u64 flow_hash, __u64 service_key, __u32 slots)
{
	__u64 h = lb_mix64(flow_hash ^ service_key) >> 32;

	h = (h * slots) >> 32;
	return h;
}

#endif /* LB_ABI_H */
