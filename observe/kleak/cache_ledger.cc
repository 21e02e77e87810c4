// SPDX-License-Identifier: Apache-2.0
#include "observe/kleak/cache_ledger.h"

#include <algorithm>

namespace lb::observe {
namespace {

/// Whether `line` is a kmalloc cache that a kmalloc of the size of `bucket` ("kmalloc-64") may come
/// from: kernels that spread kmalloc over copies call them kmalloc-rnd-NN-64.
bool is_copy_of(std::string_view line, std::string_view bucket) {
  constexpr std::string_view kCopy = "kmalloc-rnd-";
  return line.starts_with(kCopy) &&
         line.substr(kCopy.size()).ends_with(bucket.substr(bucket.rfind('-')));
}

bool is_plain_bucket(std::uint64_t cache) {
  return cache >> KMEM_BUCKET_SHIFT == KMEM_BUCKET_NORMAL;
}

/// The sum of `field` over the lines of this cache; none when there is no line.
template <class Lines, class Field>
std::optional<std::uint64_t> sum_of(const Lines& lines, std::uint64_t cache,
                                    const std::string& name, Field field) {
  const auto found = lines.find(name);
  if (found == lines.end()) return std::nullopt;
  std::uint64_t sum = found->second.*field;
  if (!is_plain_bucket(cache)) return sum;
  for (const auto& [line, values] : lines) {
    if (is_copy_of(line, name)) sum += values.*field;
  }
  return sum;
}

CacheVerdict judge(std::uint64_t cache, const KernelLeakSnapshot::Cache& counts,
                   const KernelLeakSnapshot& snapshot, const SlabBaseline* baseline,
                   std::uint64_t unattributed) {
  CacheVerdict verdict;
  verdict.hidden = counts.reused;
  if (snapshot.slabinfo_before && snapshot.slabinfo_after) {
    const auto before =
        sum_of(*snapshot.slabinfo_before, cache, counts.name, &SlabCache::active_objects);
    const auto after =
        sum_of(*snapshot.slabinfo_after, cache, counts.name, &SlabCache::active_objects);
    if (before || after) verdict.objects_max = std::max(before.value_or(0), after.value_or(0));
  }
  if (verdict.objects_max && baseline != nullptr) {
    using Base = SlabBaseline::Cache;
    verdict.active_now = *verdict.objects_max;
    verdict.active_at_attach =
        sum_of(baseline->caches, cache, counts.name, &Base::active).value_or(0);
    const std::uint64_t slack =
        sum_of(baseline->caches, cache, counts.name, &Base::slack).value_or(0);
    // All that was allocated must be freed or still be there: what is neither was freed unseen.
    const std::uint64_t allocated = verdict.active_at_attach + counts.allocs;
    const std::uint64_t accounted = counts.frees + unattributed + verdict.active_now + slack;
    if (allocated > accounted) verdict.hidden = std::max(verdict.hidden, allocated - accounted);
  }
  verdict.frees_visible = verdict.hidden <= snapshot.missed;
  return verdict;
}

}  // namespace

SlabBaseline make_baseline(const Slabinfo& before, const Slabinfo& after) {
  SlabBaseline baseline;
  for (const auto& [name, cache] : after) {
    const auto earlier = before.find(name);
    const std::uint64_t active =
        earlier == before.end() ? 0
                                : std::min(cache.active_objects, earlier->second.active_objects);
    baseline.caches[name] = {active, slab_slack(name, cache)};
  }
  return baseline;
}

std::map<std::uint64_t, CacheVerdict> judge_caches(const KernelLeakSnapshot& snapshot,
                                                   const SlabBaseline* baseline) {
  std::map<std::uint64_t, CacheVerdict> verdicts;
  // Frees of objects whose cache the kernel did not tell may be of any of them.
  const auto unknown = snapshot.caches.find(KMEM_CACHE_NONE);
  const std::uint64_t unattributed = unknown == snapshot.caches.end() ? 0 : unknown->second.frees;
  for (const auto& [cache, counts] : snapshot.caches) {
    verdicts[cache] = judge(cache, counts, snapshot, baseline, unattributed);
  }
  return verdicts;
}

}  // namespace lb::observe
