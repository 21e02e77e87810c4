/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sampling of allocations as a Poisson process over their bytes: pure functions, the same for BPF
 * and C++. A point falls on each byte with the chance 1/interval; a block that holds a point is
 * taken. So a block of S bytes is taken with the chance 1 - exp(-S / interval), whatever came
 * before it, and stands for S / (1 - exp(-S / interval)) bytes (observe/sampling.h).
 */
#pragma once

#ifdef __cplusplus
#include <linux/types.h>
#endif

/* The interval of level L is bytes << L; levels only widen it. */
#define OBSERVE_SAMPLE_INTERVAL_MAX (1ULL << 36)
#define OBSERVE_SAMPLE_LEVELS 16
#define OBSERVE_SAMPLE_FRACTION 24 /* bits behind the point of an exponential number */

struct observe_sampler {
	__u64 random;	 /* state of the generator; 0: not begun */
	__u64 remaining; /* bytes to the next point, which is on the last of them; at least 1 */
	__u64 interval;	 /* that `remaining` was drawn for */
};

/* xorshift64*: the state is never 0. */
static inline __u64 observe_random(__u64 *state)
{
	__u64 x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* Spreads a small seed over all bits (splitmix64); never 0. */
static inline __u64 observe_seed(__u64 seed)
{
	seed += 0x9e3779b97f4a7c15ULL;
	seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9ULL;
	seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebULL;
	seed ^= seed >> 31;
	return seed ? seed : 1;
}

/*
 * -ln(u / 2^32) with OBSERVE_SAMPLE_FRACTION bits behind the point, for u of 1 to 2^32 - 1: the
 * logarithm to base 2 bit by bit, by squaring.
 */
static inline __u64 observe_exponential(__u32 u)
{
	__u64 mantissa = u;
	__u64 log2 = 31ULL << OBSERVE_SAMPLE_FRACTION;

	for (__u64 shift = 16; shift > 0; shift >>= 1) {
		if (mantissa < 1ULL << (32 - shift)) {
			mantissa <<= shift;
			log2 -= shift << OBSERVE_SAMPLE_FRACTION;
		}
	}
	for (int bit = OBSERVE_SAMPLE_FRACTION - 1; bit >= 0; bit--) {
		mantissa = (mantissa * mantissa) >> 31;
		if (mantissa >= 1ULL << 32) {
			mantissa >>= 1;
			log2 += 1ULL << bit;
		}
	}
	/* ln 2 in 32 bits behind the point. */
	return (((32ULL << OBSERVE_SAMPLE_FRACTION) - log2) * 2977044472ULL) >> 32;
}

/* Bytes to the next point, at least 1. REQUIRES: interval <= OBSERVE_SAMPLE_INTERVAL_MAX. */
static inline __u64 observe_distance(__u64 *random, __u64 interval)
{
	__u32 u = observe_random(random) >> 32;
	__u64 exponential = observe_exponential(u ? u : 1);

	/* exponential < 2^29, interval <= 2^36: two halves, so that the product keeps its bits. */
	return 1 + ((interval >> 12) * exponential >> (OBSERVE_SAMPLE_FRACTION - 12)) +
	       ((interval & 0xfff) * exponential >> OBSERVE_SAMPLE_FRACTION);
}

/* Whether the next block, of `bytes`, is taken. `seed` counts only the first time. */
static inline int observe_sampler_take(struct observe_sampler *sampler, __u64 bytes, __u64 interval,
				       __u64 seed)
{
	if (!sampler->random)
		sampler->random = observe_seed(seed);
	if (sampler->interval != interval) {
		sampler->interval = interval;
		sampler->remaining = observe_distance(&sampler->random, interval);
	}
	if (bytes < sampler->remaining) {
		sampler->remaining -= bytes;
		return 0;
	}
	/* Points further inside this block change nothing; behind it the process begins anew. */
	sampler->remaining = observe_distance(&sampler->random, interval);
	return 1;
}

#ifdef __cplusplus
static_assert(sizeof(observe_sampler) == 24);
#endif
