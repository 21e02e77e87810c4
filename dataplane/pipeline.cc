// SPDX-License-Identifier: Apache-2.0
// Pipeline: the facade over PipelineCore with the real tables.
#include "dataplane/pipeline.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <new>

#include "dataplane/pipeline_core.h"

namespace lb {
namespace {

constexpr std::uint32_t kFragmentsMax = 1U << 20;
constexpr std::uint32_t kFragmentTimeoutMaxMs = 60'000;

Status check(const PipelineOptions& options) {
  if (options.held_max > kBatchMax) {
    return fail(EINVAL, fmt::format("held_max {} is over {}", options.held_max, kBatchMax));
  }
  if (options.fragments_max == 0 || options.fragments_max > kFragmentsMax) {
    return fail(EINVAL, fmt::format("fragments_max {} is not within 1..{}", options.fragments_max,
                                    kFragmentsMax));
  }
  if (options.fragment_timeout_ms > kFragmentTimeoutMaxMs) {
    return fail(EINVAL, fmt::format("fragment_timeout_ms {} is over {}",
                                    options.fragment_timeout_ms, kFragmentTimeoutMaxMs));
  }
  return {};
}

template <class Key>
Result<FlowTable<Key>> make_flows(std::span<std::byte> memory, std::uint32_t flows_max,
                                  bool hugepages, TickMs now) {
  if (memory.empty()) return FlowTable<Key>::create(flows_max, hugepages);
  return FlowTable<Key>::over(memory, flows_max, now);
}

}  // namespace

struct Pipeline::Impl : PipelineCore<FlowTables> {
  using PipelineCore::PipelineCore;
};

Pipeline::Pipeline() = default;
Pipeline::~Pipeline() = default;

Result<std::unique_ptr<Pipeline>> Pipeline::create(WorkerIndex index,
                                                   const PipelineOptions& options,
                                                   Counters& counters, ResolveRequests& resolve) {
  return create(index, options, counters, resolve, {}, 0);
}

Result<std::unique_ptr<Pipeline>> Pipeline::create(WorkerIndex index,
                                                   const PipelineOptions& options,
                                                   Counters& counters, ResolveRequests& resolve,
                                                   const FlowMemory& memory, TickMs now) {
  LB_TRY(check(options));
  const bool huge = options.hugepages;
  auto flows4 = make_flows<FlowKey4>(memory.flows4, options.flows_max, huge, now);
  if (!flows4) return fail_in("flows_max", flows4.error());
  auto flows6 = make_flows<FlowKey6>(memory.flows6, options.flows_max_v6, huge, now);
  if (!flows6) return fail_in("flows_max_v6", flows6.error());
  lb_hash_key secret{};
  if (getrandom(&secret, sizeof secret, 0) != sizeof secret) return fail_errno(errno, "getrandom");
  try {
    std::unique_ptr<Pipeline> pipeline(new Pipeline);
    pipeline->impl_ = std::make_unique<Impl>(options, secret, counters, resolve, std::move(*flows4),
                                             std::move(*flows6));
    pipeline->impl_->adopt_flows();
    return pipeline;
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM, fmt::format("worker {}: no memory for its fragments", raw(index)));
  }
}

void Pipeline::set_peers(const PipelinePeers& peers) noexcept {
  std::vector<const PipelineCore<FlowTables>*> cores;
  cores.reserve(peers.pipelines.size());
  for (const Pipeline* peer : peers.pipelines) {
    cores.push_back(peer == nullptr ? nullptr : peer->impl_.get());
  }
  impl_->set_peers(cores, peers.counters);
}

void Pipeline::process(std::span<Packet> packets, TickMs now, const ServiceTable& table,
                       BatchOut& out) noexcept {
  impl_->process(packets, now, table, out);
}
bool Pipeline::maintain(TickMs now, const ServiceTable& table, BatchOut& out) noexcept {
  return impl_->maintain(now, table, out);
}
std::uint32_t Pipeline::held() const noexcept { return impl_->held(); }
void Pipeline::release_held(BatchOut& out) noexcept { impl_->release_held(out); }
const FlowTable<FlowKey4>& Pipeline::flows4() const noexcept { return impl_->flows4(); }
const FlowTable<FlowKey6>& Pipeline::flows6() const noexcept { return impl_->flows6(); }
std::size_t Pipeline::memory_bytes() const noexcept { return impl_->memory_bytes(); }

}  // namespace lb
