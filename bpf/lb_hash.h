/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * The hashes that the XDP program and user space share, a part of lb_abi.h: of flows, of slots, of
 * the index.
 */
#ifndef LB_HASH_H
#define LB_HASH_H

#ifdef __cplusplus
#include <linux/types.h>
#define LB_STATIC_ASSERT(condition, text) static_assert(condition, text)
#define LB_INLINE inline __attribute__((always_inline))
#define LB_IS(value) = value /* of a member: what it is unless one says */
#else
#define LB_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#define LB_INLINE static inline __attribute__((always_inline))
#define LB_IS(value)
#endif

/* By what a flow is hashed: config key `hash`. */
enum lb_hash_kind { LB_HASH_MULTIPLY_MIX, LB_HASH_SIPHASH };

struct lb_hash_key {
	__u64 k0;
	__u64 k1;
	__u64 kind LB_IS(LB_HASH_MULTIPLY_MIX); /* enum lb_hash_kind; of the flow hash only */
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

/* For what is spread already, and has to be so in its upper and its lower bits. */
LB_INLINE __u64 lb_mix_once(__u64 x)
{
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
 * SipHash-c-d (Aumasson, Bernstein, INDOCRYPT 2012) of `count` whole words and `last`, the rest of
 * the message with its length in the top byte.
 */
LB_INLINE __u64 lb_siphash(const __u64 *words, int count, __u64 last, const struct lb_hash_key *key,
			   int c, int d)
{
	__u64 v0 = key->k0 ^ 0x736f6d6570736575ull, v1 = key->k1 ^ 0x646f72616e646f6dull;
	__u64 v2 = key->k0 ^ 0x6c7967656e657261ull, v3 = key->k1 ^ 0x7465646279746573ull;

	for (int i = 0; i < count + 2; i++) {
		__u64 word = i < count ? words[i] : i == count ? last : 0;
		int rounds = i <= count ? c : d;

		v3 ^= word;
		v2 ^= i <= count ? 0 : 0xff;
		for (int round = 0; round < rounds; round++) {
			v0 += v1;
			v2 += v3;
			v1 = lb_rotl64(v1, 13) ^ v0;
			v3 = lb_rotl64(v3, 16) ^ v2;
			v0 = lb_rotl64(v0, 32);
			v2 += v1;
			v0 += v3;
			v1 = lb_rotl64(v1, 17) ^ v2;
			v3 = lb_rotl64(v3, 21) ^ v0;
			v2 = lb_rotl64(v2, 32);
		}
		v0 ^= word;
	}
	return v0 ^ v1 ^ v2 ^ v3;
}

/*
 * The flow hash. `ports_raw` is client port | VIP port << 16, both in network order as the
 * addresses are. By the key's kind:
 *
 * multiply-mix: NH (Black et al., UMAC, CRYPTO 1999) over the words of the flow, one multiplication
 * each, then a mixer. Not a MAC: it keeps somebody who does not know the secret from aiming at one
 * bucket or one real server, at a few ns a packet. The halves of a word are added to those of a
 * secret before they are multiplied, so that no difference of two inputs has a known effect.
 *
 * siphash: SipHash-1-3, a keyed pseudo-random function, of addresses, ports and protocol as one
 * message. One and three rounds are what hash tables use it with: outputs are never seen, only
 * their effect, and the messages are short. An IPv6 VIP, which no client chooses, is no part of the
 * message but of the key: two words less to go through.
 *
 * The XDP program defines LB_HASH_KIND as a constant, so that it holds one of the two.
 */
#ifndef LB_HASH_KIND
#define LB_HASH_KIND(key) ((key)->kind)
#endif
#define LB_SIP_ROUNDS 1, 3

LB_INLINE __u64 lb_hash_flow4(__u32 client_be, __u32 vip_be, __u32 ports_raw, __u8 proto,
			      const struct lb_hash_key *key)
{
	__u64 vip = vip_be, upper = proto, h;
	__u64 addresses = (vip << 32) | client_be, rest = (upper << 32) | ports_raw;

	if (LB_HASH_KIND(key) == LB_HASH_SIPHASH)
		return lb_siphash(&addresses, 1, rest | 13ull << 56, key, LB_SIP_ROUNDS);
	h = lb_hash_word(addresses, key->k0);
	h += lb_hash_word(rest, key->k1);
	return lb_mix_once(h ^ key->k1);
}

/* The addresses as two words each, in packet byte order. */
LB_INLINE __u64 lb_hash_flow6(const __u64 *client, const __u64 *vip, __u32 ports_raw, __u8 proto,
			      const struct lb_hash_key *key)
{
	__u64 upper = proto, h, rest = (upper << 32) | ports_raw;

	if (LB_HASH_KIND(key) == LB_HASH_SIPHASH) {
		struct lb_hash_key of_vip = {key->k0 ^ vip[0], key->k1 ^ vip[1], LB_HASH_SIPHASH};

		return lb_siphash(client, 2, rest | 21ull << 56, &of_vip, LB_SIP_ROUNDS);
	}
	h = lb_hash_word(client[0], key->k0);
	h += lb_hash_word(client[1], key->k1);
	h += lb_hash_word(vip[0], lb_rotl64(key->k0, 21));
	h += lb_hash_word(vip[1], lb_rotl64(key->k1, 21));
	h += lb_hash_word(rest, lb_rotl64(key->k0, 42));
	return lb_mix_once(h ^ key->k1);
}

/*
 * Slot of a hashed scheduler: flow hash (or address hash) under the service's own key. The flow
 * hash is mixed already; what remains is that equal flows of two services do not share their slots.
 */
LB_INLINE __u32 lb_hash_slot(__u64 flow_hash, __u64 service_key, __u32 slots)
{
	__u64 h = ((flow_hash ^ service_key) * 0xd6e8feb86659fd93ull) >> 32;

	h = (h * slots) >> 32;
	return h;
}

/*
 * Place of a key in an index, before the mask. The address as two words in packet byte order. The
 * keys are the operator's, so it only has to spread, differently for another `key`.
 */
LB_INLINE __u64 lb_hash_vip(__u64 addr0, __u64 addr1, __u32 ports_proto_family,
			    const struct lb_hash_key *key)
{
	__u64 h = (addr0 ^ key->k0) * 0x9e3779b97f4a7c15ull;

	h += addr1 * 0xc2b2ae3d27d4eb4full;
	/* Products carry upwards only: the ends of an IPv6 address lie in the upper halves. */
	h += (addr0 >> 32) * 0x85ebca77c2b2ae63ull + (addr1 >> 32) * 0x27d4eb2f165667c5ull;
	h += ports_proto_family * 0x165667b19e3779f9ull;
	return __builtin_bswap64(h); /* the upper bits depend on all of the key */
}

#endif /* LB_HASH_H */
