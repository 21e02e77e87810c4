/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the benchmark's programs (bench_gen.bpf.c, bench_fwd.bpf.c) share with the tools in
 * testbed/bench.d. Plain C for clang's BPF target, which has vmlinux.h before, and
 * for g++.
 */
#ifndef SLUICE_BENCH_ABI_H
#define SLUICE_BENCH_ABI_H

#ifdef __cplusplus
#include <linux/types.h>
#endif

#define BENCH_CPUS 64
#define BENCH_FRAME_BYTES 64
/* Gaps between two arrivals, in buckets of powers of two of a microsecond: 1, 2, 4 .. 2^19 us. */
#define BENCH_GAP_BUCKETS 20

enum bench_proto { BENCH_UDP = 17, BENCH_TCP = 6 };

/* What the generator sends; user space may change it while packets flow. */
struct bench_plan {
	__u8 dst_mac[6];
	__u8 src_mac[6];
	__u32 dst_ip;	/* network order */
	__u32 src_ip;	/* host order; flow k comes from src_ip + k / 32768 */
	__u16 dst_port; /* host order */
	__u8 proto;	/* enum bench_proto; TCP packets are SYNs */
	__u8 pad;
	__u32 flows; /* picked uniformly at random; 0: each packet is a flow of its own */
	__u32 out_ifindex;
	__u32 burst; /* packets that follow each other closely, then a pause */
	__u32 pad2;
	__u64 burst_ns; /* from the start of one burst to the next; 0: no pause, a flood */
};

/* One cache line for each CPU. */
struct bench_count {
	__u64 packets;
	__u64 bytes;
	__u64 pad[6];
};

/* What a sink that watches for gaps knows. Not exact if two CPUs receive at once. */
struct bench_gaps {
	__u64 last_ns; /* arrival of the last packet; 0: none yet */
	__u64 longest_ns;
	__u64 bucket[BENCH_GAP_BUCKETS];
};

#endif
