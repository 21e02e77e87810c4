/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sampling in the tracers, BPF side: a sampler for each CPU and stream. A stream is what cannot
 * interrupt itself on its CPU (the kernel keeps a raw_tp program from that), so that a sampler
 * needs no lock. User space may widen the interval while programs run, by the level. Include after
 * vmlinux.h, bpf_helpers.h and observe_sample.h.
 */
#pragma once

#ifndef OBSERVE_SAMPLE_STREAMS
#define OBSERVE_SAMPLE_STREAMS 1
#endif

const volatile __u64 observe_sample_bytes; /* the interval at level 0; 0: every block is taken */
const volatile __u64 observe_sample_seed;  /* 0: by chance */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} observe_sample_level SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OBSERVE_SAMPLE_STREAMS);
	__type(key, __u32);
	__type(value, struct observe_sampler);
} observe_samplers SEC(".maps");

/* Whether this block is taken; `level` is the level it was judged at. */
static __always_inline int observe_sample(__u32 stream, __u64 bytes, __u8 *level)
{
	__u32 zero = 0;

	*level = 0;
	if (!observe_sample_bytes)
		return 1;
	struct observe_sampler *sampler = bpf_map_lookup_elem(&observe_samplers, &stream);
	__u32 *now = bpf_map_lookup_elem(&observe_sample_level, &zero);

	if (!sampler || !now)
		return 0;
	__u32 shift = *(volatile __u32 *)now & (OBSERVE_SAMPLE_LEVELS - 1);
	__u64 seed = observe_sample_seed;

	if (!sampler->random)
		seed = (seed ? seed : bpf_get_prandom_u32()) + ((__u64)stream << 32) +
		       ((__u64)bpf_get_smp_processor_id() << 40);
	*level = shift;
	return observe_sampler_take(sampler, bytes, observe_sample_bytes << shift, seed);
}
