/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * The whole contract between the XDP program and user space: map keys and values, limits, settings,
 * drop reasons, and (lb_hash.h) the hashes. Compiled by clang for BPF and by g++; nothing here is
 * typed a second time. Multi-byte fields named *_be are in network order, all others in host order.
 * No key has a hole.
 */
#ifndef LB_ABI_H
#define LB_ABI_H

#include "bpf/lb_hash.h"

/* Layout of everything that can be pinned: what was pinned by another version is not adopted. */
#define LB_ABI_VERSION 5
#define LB_VLAN_TAGS_MAX 2    /* tags on a frame that is balanced */
#define LB_EXT_HEADERS_MAX 8  /* IPv6 extension headers walked */
#define LB_PORT_RANGES_MAX 16 /* ranges of one VIP and protocol, beside any-port */
#define LB_QUEUES_MAX 64      /* RX queues of one port */
#define LB_PORTS_MAX 16	      /* ports of one lbd */

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
	X(AclDenied, "acl_denied", "the service's access list denies the client")                  \
	X(RateLimited, "rate_limited", "over the packets a second that the access list allows")    \
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

/*
 * Why the XDP program hands a packet to the worker instead of deciding by itself: X(enumerator,
 * name, help).
 */
#define LB_HAND_REASONS(X)                                                                         \
	X(Engine, "engine", "the engine is afxdp: workers decide all")                             \
	X(Options, "options", "IPv4 options or IPv6 extension headers")                            \
	X(Fragment, "fragment", "a fragment: later ones follow their first")                       \
	X(Icmp, "icmp", "an ICMP error or an echo request")                                        \
	X(Ttl, "ttl", "TTL or hop limit is over: it is answered")                                  \
	X(New, "new", "a flow that is to be remembered begins")                                    \
	X(Unknown, "unknown", "a packet of a flow that is not remembered but has to be")           \
	X(State, "state", "SYN, FIN, RST or the first ACK of a remembered flow")                   \
	X(NoMac, "no_mac", "the MAC address of the real server is to be resolved")                 \
	X(Egress, "egress", "the egress port cannot send what XDP sends")

enum lb_hand_reason {
#define LB_ENUMERATOR(name, text, help) LB_HAND_##name,
	LB_HAND_REASONS(LB_ENUMERATOR)
#undef LB_ENUMERATOR
		LB_HAND_COUNT
};
#define LB_HAND_REASON_COUNT 10
LB_STATIC_ASSERT(LB_HAND_COUNT == LB_HAND_REASON_COUNT, "one of the other kind of number");

/*
 * Before a frame that is handed over, where the driver can add it. The descriptor of an AF_XDP
 * socket does not tell that it is there, so the magic does; who reads it erases it, and trusts
 * nothing of it.
 */
#define LB_META_MAGIC 0x6c62786du
struct lb_meta {
	__u32 magic;
	__u32 generation; /* lower half of the index's */
	__u32 reason;	  /* enum lb_hand_reason */
	__u32 service_id; /* 0: not known */
};
LB_STATIC_ASSERT(sizeof(struct lb_meta) == 16, "lb_meta");

/*
 * Per-CPU map `xdp_counters`, of each port: packets. Drops first, then hand-overs by reason, then
 * the rest.
 */
enum lb_xdp_counter {
	LB_XDP_HANDED = LB_DROP_COUNT,			      /* + enum lb_hand_reason */
	LB_XDP_PASSED = LB_XDP_HANDED + LB_HAND_REASON_COUNT, /* not ours, to the stack */
	LB_XDP_PANIC_PASSED,				      /* passed because panic is on */
	LB_XDP_SENT,					      /* XDP_TX */
	LB_XDP_REDIRECTED,				      /* to another port */
	LB_XDP_ALONE, /* of these: decided without the worker that should have */
	LB_XDP_COUNTER_COUNT
};

/*
 * Counters of a service or real server in the fast path: memory-mapped arrays `service_counts` and
 * `rs_counts`, element cpu * services_max + slot (rs_max). Each CPU writes its own. What a service
 * forwarded is what its real servers got: a packet writes one line. All of `rs_counts` is one
 * value, so that the way to a counter is short.
 */
struct lb_service_count {
	__u64 unknown_flows; /* segments but SYN of unknown flows, decided without the worker */
	__u64 drops;
	__u64 unprotected; /* SYNs in an open slot that could not be remembered and went to owner */
	__u64 unremembered; /* over the rate: decided by the hash alone */
	/* The budget of `flow_rate`: */
	__u32 window;	      /* tick / LB_RATE_WINDOW_MS */
	__u16 window_new;     /* handed over in this window because they begin ... */
	__u16 window_unknown; /* ... or are not remembered yet */
	__u64 reserved[3];
};
LB_STATIC_ASSERT(sizeof(struct lb_service_count) == 64, "one cache line");
#define LB_RATE_WINDOW_MS 64

struct lb_rs_count {
	__u64 packets;	 /* forwarded */
	__u64 bytes;	 /* of those, from the Ethernet header on */
	__u64 new_flows; /* SYNs that were decided without memory */
	__u64 reserved;
};
LB_STATIC_ASSERT(sizeof(struct lb_rs_count) == 32, "lb_rs_count");

/* Map `.data.settings`, of each port: what user space may change while the program runs. */
struct lb_settings {
	__u32 panic; /* not 0: every packet passes to the kernel */
	__u8 mac[6]; /* of the port: frames for another machine (a flooding switch) are not ours */
	__u8 mac_valid; /* 0: take any destination MAC */
	__u8 port;	/* its PortIndex */
	__u32 engine;	/* enum lb_engine */
	__u32 sends;	/* bit n: what is for port n may be sent from here by XDP */
	__u32 stale_ms; /* a worker that has not stepped for so long is left out */
	/* What the short way compares; it follows from the rest (xdp_program.cc). */
	__u32 short_port; /* `port` where packets may go back by XDP_TX, else LB_NO_SHORT_PORT */
	__u32 reserved;
	__u64 short_mac; /* `mac` as a frame begins with it, in the upper six bytes; else
			    LB_NO_SHORT_MAC: every packet goes the long way */
};
LB_STATIC_ASSERT(sizeof(struct lb_settings) == 40, "no hole in lb_settings");
#define LB_NO_SHORT_PORT 0xffffffffu
#define LB_NO_SHORT_MAC 1ull

enum lb_engine { LB_ENGINE_HYBRID, LB_ENGINE_AFXDP };

/* Map `beats` (memory-mapped array by queue): the tick of a worker's last step, 0 before the first.
 * Ticks are milliseconds of CLOCK_MONOTONIC in 32 bits.
 */
struct lb_beat {
	__u32 tick;
	__u32 reserved[15];
};
LB_STATIC_ASSERT(sizeof(struct lb_beat) == 64, "one cache line");

/*
 * The index: which service takes a packet. One value of the inner map of `vip_index` (array of
 * maps), replaced as a whole: struct lb_index_head, then `index_mask` + 1 slots, `range_mask` + 1
 * ranges, `ids_mask` + 1 ids of real servers. Open addressing: a key is at most LB_INDEX_PROBES
 * slots behind its place. Keys:
 *   proto 0, port 0  the VIP itself: what becomes of packets that no service takes
 *   proto P, port N  a service on exactly that port
 *   proto P, port 0  the ranges of that VIP and protocol, any-port last
 * A service of a range has a slot outside of the probed ones: ranges point to it.
 * Services may share a table, so it names its members by their place; who that is for a service,
 * its list of ids tells. Where the list changes, the index names the new table under another key,
 * so that a packet finds both or neither.
 */
#define LB_INDEX_PROBES 16
#define LB_BLOOM_WORDS 64

struct lb_vip_key {
	__u8 addr[16]; /* IPv4 in the first four bytes, the rest zero */
	__u16 port_be;
	__u8 proto;  /* IPPROTO_TCP, _UDP, _SCTP, or 0 */
	__u8 family; /* 4 or 6; 0: a free slot */
};
LB_STATIC_ASSERT(sizeof(struct lb_vip_key) == 20, "no hole in lb_vip_key");

#define LB_VIP_PASS_UNMATCHED (1u << 0) /* on the VIP: pass instead of drop */
#define LB_VIP_ECHO_REPLY (1u << 1)	/* on the VIP: AF_XDP answers ICMP echo; else pass */
/*
 * On the VIP: unmatched packets pass and no service takes this protocol, so a later fragment, which
 * has no ports, passes too: the first one has.
 */
#define LB_VIP_PASS_LATER_TCP (1u << 2)
#define LB_VIP_PASS_LATER_UDP (1u << 3)
#define LB_VIP_PASS_LATER_SCTP (1u << 4)

#define LB_SVC_STATEFUL (1u << 0) /* every flow is remembered: the scheduler is not a hash */
#define LB_SVC_ALWAYS (1u << 1)	  /* every flow without a SYN (UDP, SCTP) is remembered */
#define LB_SVC_NEVER (1u << 2)	  /* no flow without a SYN is */
#define LB_SVC_ACL (1u << 3)	  /* its access list has entries */

/* What a slot is chosen by. */
enum lb_slot_hash { LB_SLOT_BY_FLOW, LB_SLOT_BY_CLIENT, LB_SLOT_BY_VIP };

/* Timeouts that the fast path needs. */
enum lb_timeout { LB_TIMEOUT_ESTABLISHED, LB_TIMEOUT_UDP, LB_TIMEOUT_SCTP, LB_TIMEOUT_COUNT };

struct lb_index_slot {
	struct lb_vip_key key;
	__u32 service_id; /* slot | incarnation << 16 */
	__u64 slot_key;	  /* of lb_hash_slot() */
	__u32 table;	 /* class << 24 | key in its outer map; LB_TABLE_NONE: AF_XDP decides all */
	__u16 flags;	 /* LB_SVC_*, or LB_VIP_* */
	__u16 slot_hash; /* enum lb_slot_hash */
	__u32 list_first; /* of a service: in the ids, by member index; of port 0: in the ranges */
	__u32 timeout_ms[LB_TIMEOUT_COUNT];
	__u16 flow_rate; /* flows a window that are handed over to be remembered; 0: no limit */
	__u16 list_count;
	__u32 table_key; /* of `table`: looked up from here, without a copy */
};
LB_STATIC_ASSERT(sizeof(struct lb_index_slot) == 64, "one cache line");

struct lb_index_range {
	__u16 first; /* host order, inclusive */
	__u16 last;
	__u32 slot; /* of the service */
};
LB_STATIC_ASSERT(sizeof(struct lb_index_range) == 8, "lb_index_range");

struct lb_index_head {
	__u64 generation;
	struct lb_hash_key index_key; /* of this index's slots */
	struct lb_hash_key flow_key;  /* of the flow hash; the same for the life of an instance */
	__u32 flags;		      /* LB_INDEX_* */
	__u32 version;		      /* LB_ABI_VERSION */
	/* Bit lb_bloom_bit(address) is set for every VIP: is a source one? */
	__u64 vip_bloom[LB_BLOOM_WORDS];
};
LB_STATIC_ASSERT(sizeof(struct lb_index_head) == 64 + 8 * LB_BLOOM_WORDS, "lb_index_head");
#define LB_INDEX_DECREMENT_TTL (1u << 0)

/*
 * TTL, protocol and checksum of an IPv4 header as one little-endian word, with a TTL of one less
 * (over 0 before). RFC 1624 (3), where ~m + m' is 0xfffe: the sum rises by one, by two from 0xfffe
 * on.
 */
LB_INLINE __u32 lb_ttl_less(__u32 word)
{
	return word + 0xffff + (word >= 0xfffe0000 ? 0x10000 : 0);
}

/* Of the ids, in an index with so many slots and ranges. */
#define LB_IDS_OFFSET(slots, ranges)                                                               \
	(sizeof(struct lb_index_head) + (slots) * sizeof(struct lb_index_slot) +                   \
	 (ranges) * sizeof(struct lb_index_range))

LB_INLINE __u32 lb_bloom_bit(__u64 addr0, __u64 addr1)
{
	__u64 h = (addr0 ^ lb_rotl64(addr1, 32)) * 0x9e3779b97f4a7c15ull;

	return h >> 52;
}
LB_STATIC_ASSERT(LB_BLOOM_WORDS * 64 == 1 << 12, "12 bits");

/*
 * The table of a service: who owns which slot. One value of an inner map of `tables0` .. `tables2`
 * (arrays of maps, one for each class of size; a service has two keys, twice its slot and the one
 * after it), built in place and replaced as a whole. Services with the same real servers have the
 * same one:
 *   struct lb_table_head
 *   struct lb_rs_entry    rs[rs_max]       hot: what is written into a packet
 *   struct lb_rs_name     names[rs_max]    cold: who that is, for an lbd that adopts
 *   __u16                 hot[slots_max]   owner, and whether that is all there is to know
 *   __u32                 states[slots_max] cold: old, open, exceptions, deadline
 * Members are the real servers (and the sorry server) of a service; a member keeps its index while
 * a slot is open or has exceptions.
 */
#define LB_TABLE_CLASSES 3
#define LB_TABLE_SLOTS0 1024
#define LB_TABLE_MEMBERS0 64
#define LB_TABLE_SLOTS1 65544
#define LB_TABLE_MEMBERS1 512
#define LB_TABLE_SLOTS2 1048576
#define LB_TABLE_MEMBERS2 4096
#define LB_TABLE_NONE 0xffffffffu
#define LB_TABLE_KEY_MASK 0xffffffu
#define LB_TABLE_MAGIC 0x6c627462u
#define LB_DEADLINES 64

/* hot[]: the owner's member index, and whether the flow memory is to be asked first: the slot is
 * open or has exceptions. */
#define LB_SLOT_OWNER 0x7fffu
#define LB_SLOT_ASK 0x8000u
#define LB_SLOT_NOBODY 0x7fffu /* as owner: there is none */

/* states[]; meaningful where LB_SLOT_ASK is set. */
#define LB_STATE_OLD 0xffffu	   /* member index; LB_SLOT_NOBODY: none */
#define LB_STATE_DEADLINE_SHIFT 16 /* index into lb_table_head::deadline_s */
#define LB_STATE_DEADLINE 0x3fu
#define LB_STATE_OPEN (1u << 31)
#define LB_STATE_EXCEPTIONS (1u << 30)

struct lb_table_head {
	__u32 magic;   /* LB_TABLE_MAGIC */
	__u32 version; /* LB_ABI_VERSION */
	__u32 slots;
	__u32 members; /* highest member index + 1 */
	__u32 open_slots;
	__u32 exception_slots;
	__u32 reserved0;
	__u32 window_s; /* how long a slot stays open */
	__u64 reserved[4];
	__u32 deadline_s[LB_DEADLINES]; /* CLOCK_BOOTTIME */
};
LB_STATIC_ASSERT(sizeof(struct lb_table_head) == 64 + 4 * LB_DEADLINES, "lb_table_head");

/*
 * Array `rs_members` by RS slot: the index of the member in the tables of its service, in the one
 * in force and in the one that comes. Who reads it compares ids.
 */
struct lb_rs_member {
	__u32 now;
	__u32 next;
};

#define LB_RS_UP (1u << 0)	  /* its flows are forwarded */
#define LB_RS_DRAINS (1u << 1)	  /* up, but takes no new flows */
#define LB_RS_HAS_MAC (1u << 2)	  /* `macs` is right */
#define LB_RS_EGRESS_UP (1u << 3) /* the link of its port is up */

struct lb_rs_entry {
	__u32 place;   /* its index + 1; 0: no member, and all else is 0 */
	__u8 macs[12]; /* of the real server, then of the egress port: as they stand in a frame */
	__u16 vlan;    /* 0: untagged */
	__u16 flags;   /* LB_RS_* */
	__u16 egress;  /* PortIndex */
	__u16 mtu;     /* of the egress port: bytes of an IP packet */
	__u32 reserved[2];
};
LB_STATIC_ASSERT(sizeof(struct lb_rs_entry) == 32, "lb_rs_entry");

struct lb_rs_name {
	__u8 addr[16];
	__u8 family; /* 4 or 6 */
	__u8 sorry;  /* the sorry server */
	__u16 reserved;
	__u32 weight;
	__u64 reserved2;
};
LB_STATIC_ASSERT(sizeof(struct lb_rs_name) == 32, "lb_rs_name");

#define LB_TABLE_BYTES(slots, members)                                                             \
	(sizeof(struct lb_table_head) +                                                            \
	 (members) * (sizeof(struct lb_rs_entry) + sizeof(struct lb_rs_name)) +                    \
	 (slots) * (sizeof(__u16) + sizeof(__u32)))

/*
 * The flow memory: memory-mapped arrays `flows4` and `flows6`, element queue * buckets + bucket.
 * Only the worker of the queue writes tags and flows (sequence lock in the stamp,
 * table/flow_table.h); the XDP program reads them and writes `seen`.
 */
#define LB_FLOW_SLOTS 8

struct lb_flow4 {
	__u64 key[2];
	__u64 ids; /* RS id | service id << 32 */
	__u64 stamp;
};
struct lb_flow6 {
	__u64 key[5];
	__u64 ids;
	__u64 stamp;
	__u64 reserved;
};
#define LB_FLOW_BUCKET_HEAD                                                                        \
	__u64 tags[2]; /* eight 16-bit tags, 0: free */                                            \
	__u64 reserved[2];                                                                         \
	__u32 seen[LB_FLOW_SLOTS] /* tick of the last packet that the kernel forwarded */
struct lb_flow_bucket4 {
	LB_FLOW_BUCKET_HEAD;
	struct lb_flow4 flows[LB_FLOW_SLOTS];
};
struct lb_flow_bucket6 {
	LB_FLOW_BUCKET_HEAD;
	struct lb_flow6 flows[LB_FLOW_SLOTS];
};
LB_STATIC_ASSERT(sizeof(struct lb_flow_bucket4) == 320, "five cache lines");
LB_STATIC_ASSERT(sizeof(struct lb_flow_bucket6) == 576, "nine cache lines");

/*
 * Map `about`, pinned beside the others: what they were made for. An lbd takes over the maps of
 * another one only when all of this is what it would write itself.
 */
#define LB_ABOUT_MAGIC 0x6c626162u
struct lb_about {
	__u32 magic;   /* LB_ABOUT_MAGIC */
	__u32 version; /* LB_ABI_VERSION */
	__u32 services_max;
	__u32 rs_max;
	__u32 queues;
	__u32 buckets4; /* of one queue */
	__u32 buckets6;
	__u32 cpus; /* possible ones: of the counters */
	struct lb_hash_key flow_key;
	__u32 ifindex[LB_PORTS_MAX]; /* by PortIndex; 0: there is no such port */
};
LB_STATIC_ASSERT(sizeof(struct lb_about) == 120, "no hole in lb_about");

/* Stamp of a flow: tick in bits 0..31, state in 32..39, sequence in 40..63, odd while it is
 * written. */
#define LB_STAMP_STATE_SHIFT 32
#define LB_STAMP_SEQUENCE_SHIFT 40
/* States (enum FlowState) in which the fast path forwards. */
#define LB_FLOW_ESTABLISHED 1
#define LB_FLOW_UDP 11
#define LB_FLOW_SCTP 12
/* ... and in which a SYN begins another connection. */
#define LB_FLOW_TIME_WAIT 5
#define LB_FLOW_CLOSE 6

LB_INLINE __u32 lb_flow_bucket(__u64 hash, __u32 buckets)
{
	return ((hash >> 32) * buckets) >> 32;
}

LB_INLINE __u16 lb_flow_tag(__u64 hash)
{
	__u16 low = hash;

	return low ? low : 1;
}

/* bucket + other = sum(tag) modulo the number of buckets: its own inverse for any number of them.
 */
LB_INLINE __u32 lb_flow_other_bucket(__u32 bucket, __u16 tag, __u32 buckets)
{
	__u64 spread = tag * 0x9e3779b1u;
	__u32 sum = (spread * buckets) >> 32;

	return sum >= bucket ? sum - bucket : sum + buckets - bucket;
}

/*
 * Map `trace` of lb_explain.bpf.c, which is lb_xdp.bpf.c but for its notes: what the program found
 * out about a packet. Array of one, memory-mapped, cleared by who asks.
 */
#define LB_TRACE_SERVICE (1u << 0) /* service_id and what follows it */
#define LB_TRACE_SLOT (1u << 1)	   /* table, slot, word, state */
#define LB_TRACE_MEMORY (1u << 2)  /* the flow memory was asked */
#define LB_TRACE_FLOW (1u << 3)	   /* ... and has the flow */
#define LB_TRACE_FOLLOWS (1u << 4) /* ... whose entry counts for this packet */
#define LB_TRACE_RS (1u << 5)	   /* a real server was chosen: rs_id; 0: there is none */

struct lb_trace {
	__u64 generation; /* of the index */
	__u32 steps;	  /* LB_TRACE_* */
	__u32 service_id;
	__u32 table; /* as lb_index_slot::table */
	__u32 slot;
	__u32 word;  /* hot word of the slot */
	__u32 state; /* of a slot that asks */
	__u32 flow_rs_id;
	__u32 flow_service_id;
	__u32 flow_seen; /* tick */
	__u32 flow_state;
	__u32 rs_id;
	__u32 now; /* tick */
};
LB_STATIC_ASSERT(sizeof(struct lb_trace) == 56, "lb_trace");

/*
 * Access lists: `acl4` and `acl6`, one LPM trie a family for all services. A prefix is the
 * service's id and LB_ACL_BITS(bits of the address); the longest one that covers a client decides
 * what becomes of its packets, and where there is none they pass. An entry is replaced as a whole.
 */
#define LB_ACL_ENTRIES_MAX (1u << 20) /* of all services together */
#define LB_ACL_BITS(bits) (32 + (bits))

struct lb_acl_key4 {
	__u32 prefix_bits;
	__u32 service_id;
	__u8 addr[4];
};
struct lb_acl_key6 {
	__u32 prefix_bits;
	__u32 service_id;
	__u8 addr[16];
	/*
	 * Beyond every prefix. The kernel lays the value behind the key: at a multiple of 8 only
	 * with these, and an atomic addition across two cache lines is fatal to some kernels.
	 */
	__u32 reserved;
};
LB_STATIC_ASSERT(sizeof(struct lb_acl_key4) == 12, "lb_acl_key4");
LB_STATIC_ASSERT(sizeof(struct lb_acl_key6) == 28, "lb_acl_key6");
LB_STATIC_ASSERT((sizeof(struct lb_acl_key4) - 4) % 8 == 0, "the value behind it is aligned");
LB_STATIC_ASSERT((sizeof(struct lb_acl_key6) - 4) % 8 == 0, "the value behind it is aligned");

/* Packets a second that pass. */
#define LB_ACL_DENY 0u
#define LB_ACL_ALLOW 0xffffffffu

/* With the kernel's own fields 96 bytes a node in either trie. */
struct lb_acl_value {
	__u32 rate;    /* LB_ACL_DENY, LB_ACL_ALLOW, or a limit */
	__u32 burst;   /* of a limit: packets that may come at once, 1 or more */
	__u64 packets; /* all that it decided for, by all CPUs */
	__u64 bytes;
	__u64 over; /* of the packets: dropped by the limit */
	__u64 next; /* when the limit is used up to, in LB_ACL_TICKS_PER_NS of CLOCK_MONOTONIC */
};
LB_STATIC_ASSERT(sizeof(struct lb_acl_value) == 40, "lb_acl_value");

/* Parts of a nanosecond, so that a packet of a high rate costs what it should. */
#define LB_ACL_TICKS_PER_NS 16
#define LB_ACL_RATE_MAX 100000000u
#define LB_ACL_BURST_MAX 100000000u

#endif /* LB_ABI_H */
