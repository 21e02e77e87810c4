// SPDX-License-Identifier: Apache-2.0
#include "control/stats.h"

#include <cstddef>

#include "dataplane/table/service_table.h"

namespace lb {

#define LB_FIELD(name) {#name, &WorkerCounters::name}
const std::array<WorkerField, kWorkerFields> kWorkerCounterFields{{
    LB_FIELD(steps),
    LB_FIELD(batches),
    LB_FIELD(rx_packets),
    LB_FIELD(rx_bytes),
    LB_FIELD(tx_packets),
    LB_FIELD(tx_bytes),
    LB_FIELD(sleeps),
    LB_FIELD(wakeups),
    LB_FIELD(kicks),
    LB_FIELD(kick_retries),
    LB_FIELD(fill_starved),
    LB_FIELD(tx_stalls),
    LB_FIELD(frames_refused),
    LB_FIELD(flows_new),
    LB_FIELD(flows_expired),
    LB_FIELD(flows_evicted_idle),
    LB_FIELD(flows_evicted_alive),
    LB_FIELD(flows_from_peer),
    LB_FIELD(flows_adopted),
    LB_FIELD(flows_half_open),
    LB_FIELD(icmp_echo_replies),
    LB_FIELD(icmp_time_exceeded),
    LB_FIELD(icmp_suppressed),
    LB_FIELD(icmp_errors_forwarded),
    LB_FIELD(fragments_first),
    LB_FIELD(fragments_followed),
    LB_FIELD(fragments_held),
}};
#undef LB_FIELD
static_assert(offsetof(WorkerCounters, drops) == kWorkerFields * sizeof(Counter),
              "a field of WorkerCounters has no name here");

namespace {

/// A counter that a worker stored after the baseline was taken can be behind it for a moment.
std::uint64_t since(std::uint64_t now, std::uint64_t base) { return now > base ? now - base : 0; }

}  // namespace

Stats::Stats(std::vector<const Counters*> workers) : workers_(std::move(workers)) {
  if (workers_.empty()) return;
  service_base_.resize(workers_.front()->services_max);
  rs_base_.resize(workers_.front()->rs_max);
}

ServiceTotals Stats::service_sum(std::uint32_t slot) const {
  ServiceTotals sum;
  for (const Counters* worker : workers_) {
    const ServiceCounters& one = worker->services[slot];
    sum.packets += one.packets.get();
    sum.bytes += one.bytes.get();
    sum.new_flows += one.new_flows.get();
    sum.unknown_flows += one.unknown_flows.get();
    sum.drops += one.drops.get();
    sum.unprotected += one.unprotected.get();
    sum.unremembered += one.unremembered.get();
  }
  return sum;
}

RsTotals Stats::rs_sum(std::uint32_t slot) const {
  RsTotals sum;
  for (const Counters* worker : workers_) {
    const RsCounters& one = worker->rs[slot];
    sum.packets += one.packets.get();
    sum.bytes += one.bytes.get();
    sum.new_flows += one.new_flows.get();
    // A gauge that one worker lowered for a flow another had counted wraps; the sum comes out
    // right.
    sum.active += one.active.get();
    sum.inactive += one.inactive.get();
  }
  return sum;
}

void Stats::follow_rs(RsId id) {
  std::uint32_t slot = slot_of(id);
  if (slot >= rs_base_.size() || rs_base_[slot].id == id) return;
  rs_base_[slot] = {id, rs_sum(slot)};
}

void Stats::follow(const Registry& registry) {
  for (const auto& [address, entry] : registry.services()) {
    std::uint32_t slot = slot_of(entry.id);
    if (slot < service_base_.size() && service_base_[slot].id != entry.id) {
      service_base_[slot] = {entry.id, service_sum(slot)};
    }
    for (const auto& [rs_address, rs] : entry.real_servers) follow_rs(rs.id);
    if (entry.settings.sorry) follow_rs(entry.sorry_id);
  }
}

ServiceTotals Stats::service(ServiceId id) const {
  std::uint32_t slot = slot_of(id);
  if (slot >= service_base_.size() || service_base_[slot].id != id) return {};
  const ServiceTotals& base = service_base_[slot].base;
  ServiceTotals now = service_sum(slot);
  now.packets = since(now.packets, base.packets);
  now.bytes = since(now.bytes, base.bytes);
  now.new_flows = since(now.new_flows, base.new_flows);
  now.unknown_flows = since(now.unknown_flows, base.unknown_flows);
  now.drops = since(now.drops, base.drops);
  now.unprotected = since(now.unprotected, base.unprotected);
  now.unremembered = since(now.unremembered, base.unremembered);
  return now;
}

RsTotals Stats::rs(RsId id) const {
  std::uint32_t slot = slot_of(id);
  if (slot >= rs_base_.size() || rs_base_[slot].id != id) return {};
  const RsTotals& base = rs_base_[slot].base;
  RsTotals now = rs_sum(slot);
  now.packets = since(now.packets, base.packets);
  now.bytes = since(now.bytes, base.bytes);
  now.new_flows = since(now.new_flows, base.new_flows);
  return now;
}

std::uint64_t Stats::flows_of_slot(std::uint32_t rs_slot) const {
  if (rs_slot >= rs_base_.size()) return 0;
  RsTotals now = rs_sum(rs_slot);
  return now.active + now.inactive;
}

std::uint64_t Stats::drops(DropReason reason) const {
  std::uint64_t sum = 0;
  for (const Counters* worker : workers_) {
    sum += worker->worker.drops[static_cast<std::size_t>(reason)].get();
  }
  return sum;
}

}  // namespace lb
