// SPDX-License-Identifier: Apache-2.0
// Backends take turns; at its turn a backend takes the first free slot of its own permutation of
// the slots. Weights enter twice: a quota says how many turns a backend has, and its turns are
// spread evenly over the rounds of the heaviest, so that light backends take their share of early
// picks. With equal weights this is the algorithm of the paper.
#include "dataplane/table/maglev.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace lb {
namespace {

constexpr std::uint16_t kFree = 0xffff;

/// Slots per backend by largest remainder; of equal remainders the first backend's goes first.
std::vector<std::uint32_t> quotas(std::span<const MaglevBackend> backends, std::uint32_t slots,
                                  std::uint64_t total_weight) {
  std::vector<std::uint32_t> quota(backends.size());
  std::vector<std::uint64_t> remainder(backends.size());
  std::uint32_t left = slots;
  for (std::size_t i = 0; i < backends.size(); ++i) {
    const std::uint64_t share = std::uint64_t{backends[i].weight} * slots;
    quota[i] = static_cast<std::uint32_t>(share / total_weight);
    remainder[i] = share % total_weight;
    left -= quota[i];
  }
  std::vector<std::size_t> order(backends.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return remainder[a] != remainder[b] ? remainder[a] > remainder[b] : a < b;
  });
  for (std::uint32_t i = 0; i < left; ++i) ++quota[order[i]];
  return quota;
}

/// Backend k's turn t comes in round t * heaviest / weight.
struct Turns {
  std::uint32_t step, step_rest, weight;
  std::uint32_t round = 0, rest = 0;
  Turns(std::uint32_t heaviest, std::uint32_t own)
      : step(heaviest / own), step_rest(heaviest % own), weight(own) {}
  std::uint32_t next() noexcept {
    const std::uint32_t now = round;
    round += step;
    rest += step_rest;
    if (rest >= weight) {
      rest -= weight;
      ++round;
    }
    return now;
  }
};

/// Whose turn it is, `slots` times: by round, within a round by index. A counting sort.
std::vector<std::uint16_t> turn_order(std::span<const MaglevBackend> backends,
                                      std::span<const std::uint32_t> quota, std::uint32_t slots,
                                      std::uint32_t heaviest) {
  // A quota is at most share + 1, so that its last round is at most slots * heaviest / total.
  std::vector<std::uint32_t> start(slots + 2);
  for (std::size_t i = 0; i < backends.size(); ++i) {
    if (quota[i] == 0) continue;
    Turns turns(heaviest, backends[i].weight);
    for (std::uint32_t t = 0; t < quota[i]; ++t) ++start[turns.next() + 1];
  }
  std::partial_sum(start.begin(), start.end(), start.begin());
  std::vector<std::uint16_t> order(slots);
  for (std::size_t i = 0; i < backends.size(); ++i) {
    if (quota[i] == 0) continue;
    Turns turns(heaviest, backends[i].weight);
    for (std::uint32_t t = 0; t < quota[i]; ++t) {
      order[start[turns.next()]++] = static_cast<std::uint16_t>(i);
    }
  }
  return order;
}

}  // namespace

bool is_prime(std::uint32_t n) noexcept {
  if (n < 4) return n >= 2;
  if (n % 2 == 0) return false;
  for (std::uint64_t d = 3; d * d <= n; d += 2) {
    if (n % d == 0) return false;
  }
  return true;
}

Result<std::vector<std::uint16_t>> build_maglev(std::span<const MaglevBackend> backends,
                                                std::uint32_t slots) {
  if (slots > kMaglevSlotsMax || !is_prime(slots)) {
    return fail(EINVAL, fmt::format("a Maglev array of {} slots: the number must be a prime of at "
                                    "most {} (65537 is usual)",
                                    slots, kMaglevSlotsMax));
  }
  if (backends.size() > kFree) {
    return fail(EINVAL, fmt::format("{} backends of one Maglev array are more than {}",
                                    backends.size(), kFree));
  }
  std::uint64_t total_weight = 0;
  std::uint32_t heaviest = 0;
  std::size_t weighted = 0;
  for (const MaglevBackend& backend : backends) {
    total_weight += backend.weight;
    heaviest = std::max(heaviest, backend.weight);
    weighted += backend.weight != 0;
  }
  if (weighted == 0) return fail(EINVAL, "a Maglev array needs a backend with a weight above 0");
  if (weighted > slots) {
    return fail(EINVAL, fmt::format("a Maglev array of {} slots is too small for {} backends",
                                    slots, weighted));
  }
  const std::vector<std::uint32_t> quota = quotas(backends, slots, total_weight);
  struct Walk {
    std::uint32_t next, skip;
  };
  std::vector<Walk> walks(backends.size());
  for (std::size_t i = 0; i < backends.size(); ++i) {
    walks[i].next = static_cast<std::uint32_t>(backends[i].offset_hash % slots);
    walks[i].skip = static_cast<std::uint32_t>(backends[i].skip_hash % (slots - 1)) + 1;
  }
  std::vector<std::uint16_t> table(slots, kFree);
  for (std::uint16_t backend : turn_order(backends, quota, slots, heaviest)) {
    // A permutation meets every slot, and one is free while turns are left: at most `slots` steps
    // in all per backend.
    Walk& walk = walks[backend];
    std::uint32_t at = 0;
    do {
      at = walk.next;
      walk.next = at + walk.skip >= slots ? at + walk.skip - slots : at + walk.skip;
    } while (table[at] != kFree);
    table[at] = backend;
  }
  return table;
}

}  // namespace lb
