// SPDX-License-Identifier: Apache-2.0
// The flows in the lookup stage of PipelineCore. Of a hashed service the slot decides, and the flow
// memory is asked only while the slot is in transition (table/slot_decision.h has the rules); of
// the others the memory is asked first and the scheduler gives what it does not know. Included by
// pipeline_core.h only.
#pragma once

#include "dataplane/packet/wire.h"
#include "dataplane/pipeline_core.h"  // IWYU pragma: keep

namespace lb {

namespace detail {

/// How long a half-open flow of a hashed service lives: so long a flood can hold its room.
inline constexpr std::uint32_t kHalfOpenMs = 10'000;

[[nodiscard]] inline FlowPart part_of(const ParsedPacket& parsed) noexcept {
  return flow_part(parsed.proto, parsed.tcp_flags);
}
[[nodiscard]] inline FlowState state_after(FlowState before, const ParsedPacket& parsed) noexcept {
  if (parsed.proto == wire::kTcp) return next_tcp_state(before, parsed.tcp_flags);
  return parsed.proto == wire::kUdp ? FlowState::Udp : FlowState::Sctp;
}

}  // namespace detail

template <class Tables>
bool PipelineCore<Tables>::is_idle(const FlowData& flow, const Service& of) const noexcept {
  std::uint32_t ms = timeout_ms(flow.state, of.timeouts);
  if (flow.state == FlowState::SynRecv && is_hashed(of.scheduler)) {
    ms = std::min(ms, detail::kHalfOpenMs);
  }
  return ms_since(now_, flow.last_seen) > static_cast<std::int64_t>(ms);
}

// Whether the flow goes on with this packet, which `service` takes. `of` is the service that the
// flow is of: the same, but for one on fewer ports that has come since. A SYN may reuse the ports
// of a connection that is over; where a hash can place it, it does not go to a server that drains.
template <class Tables>
bool PipelineCore<Tables>::is_usable(const FlowData& flow, const Service* of, const RealServer* rs,
                                     const ParsedPacket& parsed,
                                     const Service& service) const noexcept {
  if (of == nullptr || rs == nullptr || !rs->up || is_idle(flow, *of)) return false;
  if (detail::part_of(parsed) != FlowPart::Syn) return true;
  if (flow.state == FlowState::TimeWait || flow.state == FlowState::Close) return false;
  return rs->weight != 0 || !is_hashed(service.scheduler);
}

// Whether an entry may be forgotten. That of an RS which is down waits: it may come back.
template <class Tables>
bool PipelineCore<Tables>::is_over(const FlowData& flow) const noexcept {
  const Service* of = table_->service(flow.service);
  return of == nullptr || table_->rs(flow.rs) == nullptr || is_idle(flow, *of);
}

// Whether the slot of the flow says the same as its entry, or nobody will ask for the entry: then
// it would only be wrong when the slot opens again. REQUIRES: the flow is not over.
template <class Tables>
template <class Key>
bool PipelineCore<Tables>::is_needless(const Key& key, const FlowData& flow) const noexcept {
  const Service& service = *table_->service(flow.service);
  if (!is_hashed(service.scheduler) || service.table == nullptr) return false;
  const FlowPart part = flow_part(key.proto, 0);
  const TableObject& table = *service.table;
  const lb_hash_key& secret = table_->flow_key();
  const std::uint32_t slot = slot_of_flow(service, table, key, flow_hash(key, secret), secret);
  const std::uint16_t word = table.hot(slot);
  if (!asks_memory((word & LB_SLOT_ASK) != 0, part, service.affinity)) return true;
  const SlotServers servers = slot_servers(*table_, service, slot);
  if (wants_memory(servers.open, part, service.affinity)) return false;
  return servers.owner != nullptr && servers.owner->id == flow.rs;
}

// Of a hashed service. Nearly all packets need no more than the word of their slot.
template <class Tables>
template <class Key>
void PipelineCore<Tables>::look_up_hashed(const ParsedPacket& parsed, const Key& key,
                                          const Found& found, Verdict& verdict) noexcept {
  const Service& service = *found.service;
  const std::uint32_t word = service.table->hot(found.slot);
  const FlowPart part = detail::part_of(parsed);
  if (asks_memory((word & LB_SLOT_ASK) != 0, part, service.affinity)) [[unlikely]]
    return look_up_asking(parsed, key, found, part, verdict);
  const RealServer* owner = member_up(*table_, service, word & LB_SLOT_OWNER);
  if (owner == nullptr) [[unlikely]]
    return verdict.drop(DropReason::NoBackend, &service);
  if (part == FlowPart::Syn) count_start(service, *owner);
  return verdict.forward(owner, &service);
}

// Of a hashed service whose slot is in transition, or which remembers every flow.
template <class Tables>
template <class Key>
void PipelineCore<Tables>::look_up_asking(const ParsedPacket& parsed, const Key& key,
                                          const Found& found, FlowPart part,
                                          Verdict& verdict) noexcept {
  auto* entry = store<Key>().find(key, parsed.hash);
  if (entry != nullptr && follow_entry<Key>(parsed, *found.service, *entry, verdict)) return;
  new_in_slot(parsed, key, found, part, entry, verdict);
}

template <class Tables>
template <class Key>
void PipelineCore<Tables>::look_up_stateful(const ParsedPacket& parsed, const Key& key,
                                            const Service& service, Verdict& verdict) noexcept {
  auto* entry = store<Key>().find(key, parsed.hash);
  if (entry != nullptr) [[likely]] {
    if (follow_entry<Key>(parsed, service, *entry, verdict)) [[likely]]
      return;
  }
  new_flow(parsed, key, service, entry, verdict);
}

// False when the entry is of no use to this packet.
template <class Tables>
template <class Key>
bool PipelineCore<Tables>::follow_entry(const ParsedPacket& parsed, const Service& service,
                                        EntryOf<Key>& entry, Verdict& verdict) noexcept {
  auto& flows = store<Key>();
  const FlowData flow = flows.data(entry);
  const Service* of = flow.service == service.id ? &service : table_->service(flow.service);
  const RealServer* rs = table_->rs(flow.rs);
  if (!is_usable(flow, of, rs, parsed, service)) return false;
  flows.touch(entry, flow, detail::state_after(flow.state, parsed), now_);
  verdict.forward(rs, of);
  return true;
}

// A packet of a hashed service that asked the memory in vain; an entry that is of no use goes.
template <class Tables>
template <class Key>
void PipelineCore<Tables>::new_in_slot(const ParsedPacket& parsed, const Key& key,
                                       const Found& found, FlowPart part, EntryOf<Key>* entry,
                                       Verdict& verdict) noexcept {
  const Service& service = *found.service;
  const Affinity affinity = service.affinity;
  const SlotServers slot = slot_servers(*table_, service, found.slot);
  const bool wants = wants_memory(slot.open, part, affinity);
  const bool begins =
      part == FlowPart::Syn || (part == FlowPart::Datagram && affinity == Affinity::Always);
  // A flow is on its own queue, where its memory is. Only a first fragment, which is on the queue
  // of its addresses, and one that seems new without being it are worth a look into every worker's.
  const bool ask_peers = parsed.is_first_fragment || (wants && part != FlowPart::Syn &&
                                                      !limits_.is_spent(service, begins, now_));
  if (ask_peers && follow_peer(parsed, key, service, entry, verdict)) return;

  const RealServer* rs = slot.pick(part, affinity, true);
  if (rs != nullptr && wants) {
    // A connection that is there: its entry has to outlive the slot's transition.
    const FlowState before = part == FlowPart::Segment ? FlowState::Established : FlowState::None;
    const FlowData flow{rs->id, service.id, now_, detail::state_after(before, parsed)};
    if (limits_.take(service, begins, flow.state, now_)) {
      remember(key, parsed.hash, entry, flow, begins ? FlowOrigin::New : FlowOrigin::Running);
      return verdict.forward(rs, &service);
    }
    counters_.services[slot_of(service.id)].unremembered.add();
    rs = pick_unremembered(service, slot, part, affinity);
  }
  if (rs == nullptr) return verdict.drop(DropReason::NoBackend, &service);
  forget<Key>(entry);
  if (part == FlowPart::Syn) count_start(service, *rs);
  return verdict.forward(rs, &service);
}

// A packet of a service that is not hashed, of a flow that this worker does not know, or whose
// entry (not null then) is of no use.
template <class Tables>
template <class Key>
void PipelineCore<Tables>::new_flow(const ParsedPacket& parsed, const Key& key,
                                    const Service& service, EntryOf<Key>* entry,
                                    Verdict& verdict) noexcept {
  const FlowPart part = detail::part_of(parsed);
  const bool begins = part != FlowPart::Segment;
  const bool spent = limits_.is_spent(service, begins, now_);
  // A plain SYN is on its flow's own queue and opens it: no peer can know better, and a flood of
  // them must not cost a look into every worker's table.
  const bool ask_peers = parsed.is_first_fragment || (part != FlowPart::Syn && !spent);
  if (ask_peers && follow_peer(parsed, key, service, entry, verdict)) return;

  if (part == FlowPart::Segment) counters_.services[slot_of(service.id)].unknown_flows.add();
  const RealServer* rs = nullptr;
  if (service.table != nullptr && (spent || part == FlowPart::Segment)) {
    const SlotServers slot = hash_servers(service, parsed.hash);
    rs = spent ? pick_unremembered(service, slot, part, Affinity::Transition)
               : slot.pick(part, Affinity::Transition, true);
  }
  if (rs == nullptr) rs = schedule(service, key, parsed.hash);
  if (rs == nullptr) return verdict.drop(DropReason::NoBackend, &service);
  const FlowData flow{rs->id, service.id, now_, detail::state_after(FlowState::None, parsed)};
  if (limits_.take(service, begins, flow.state, now_)) {
    remember(key, parsed.hash, entry, flow, FlowOrigin::New);
  } else {
    counters_.services[slot_of(service.id)].unremembered.add();
    forget<Key>(entry);
    if (part == FlowPart::Syn) count_start(service, *rs);
  }
  return verdict.forward(rs, &service);
}

// Who takes a packet whose flow was to be remembered and cannot be.
template <class Tables>
const RealServer* PipelineCore<Tables>::pick_unremembered(const Service& service,
                                                          const SlotServers& slot, FlowPart part,
                                                          Affinity affinity) noexcept {
  const RealServer* rs = slot.pick(part, affinity, false);
  if (slot.open && part == FlowPart::Syn && rs != nullptr && rs != slot.old) {
    counters_.services[slot_of(service.id)].unprotected.add();
  }
  return rs;
}

// A SYN whose flow gets no entry.
template <class Tables>
void PipelineCore<Tables>::count_start(const Service& service, const RealServer& rs) noexcept {
  counters_.services[slot_of(service.id)].new_flows.add();
  counters_.rs[slot_of(rs.id)].new_flows.add();
}

template <class Tables>
template <class Key>
void PipelineCore<Tables>::remember(const Key& key, std::uint64_t hash, EntryOf<Key>* entry,
                                    const FlowData& flow, FlowOrigin origin) noexcept {
  auto& flows = store<Key>();
  if (entry != nullptr) return flows.replace(*entry, flow, origin);
  flows.insert(key, hash, flow, origin, [this](const FlowData& other) { return is_over(other); });
}

template <class Tables>
template <class Key>
void PipelineCore<Tables>::forget(EntryOf<Key>* entry) noexcept {
  if (entry != nullptr) store<Key>().erase(*entry);
}

// False when no peer knows a flow that goes on with this packet.
template <class Tables>
template <class Key>
bool PipelineCore<Tables>::follow_peer(const ParsedPacket& parsed, const Key& key,
                                       const Service& service, EntryOf<Key>* entry,
                                       Verdict& verdict) noexcept {
  auto flow = peer_flow(parsed, key, service);
  if (!flow) return false;
  const Service& of = *table_->service(flow->service);
  flow->state = detail::state_after(flow->state, parsed);
  flow->last_seen = now_;
  if (limits_.take(of, false, flow->state, now_)) {
    remember(key, parsed.hash, entry, *flow, FlowOrigin::Peer);
  } else {
    forget<Key>(entry);
  }
  verdict.forward(table_->rs(flow->rs), &of);
  return true;
}

// The flow as a peer knows it, if it goes on with this packet.
template <class Tables>
template <class Key>
std::optional<FlowData> PipelineCore<Tables>::peer_flow(const ParsedPacket& parsed, const Key& key,
                                                        const Service& service) const noexcept {
  for (const PipelineCore* peer : peers_) {
    auto flow = peer->template store<Key>().table().read(key, parsed.hash);
    if (flow &&
        is_usable(*flow, table_->service(flow->service), table_->rs(flow->rs), parsed, service)) {
      return flow;
    }
  }
  return std::nullopt;
}

// The flow as this worker or a peer knows it, if it goes on with this packet.
template <class Tables>
template <class Key>
std::optional<FlowData> PipelineCore<Tables>::known_flow(const ParsedPacket& parsed, const Key& key,
                                                         const Service& service) noexcept {
  auto& flows = store<Key>();
  if (auto* entry = flows.find(key, parsed.hash)) {
    const FlowData flow = flows.data(*entry);
    if (is_usable(flow, table_->service(flow.service), table_->rs(flow.rs), parsed, service)) {
      return flow;
    }
  }
  return peer_flow(parsed, key, service);
}

// The servers of the slot that a flow of a service which is not hashed would have: whoever has no
// memory of it (an XDP program without its worker, the next lbd) finds the same. REQUIRES: a table.
template <class Tables>
SlotServers PipelineCore<Tables>::hash_servers(const Service& service,
                                               std::uint64_t hash) const noexcept {
  const std::uint32_t slots = service.table->head().slots;
  return slot_servers(*table_, service, lb_hash_slot(hash, service.hash_key, slots));
}

// Where a new flow of a service that is not hashed goes: what the scheduler says, else the sorry
// RS, else null.
template <class Tables>
template <class Key>
const RealServer* PipelineCore<Tables>::schedule(const Service& service, const Key& key,
                                                 std::uint64_t hash) noexcept {
  const lb_hash_key& secret = table_->flow_key();
  SchedulerState& state = scheduler_states_[slot_of(service.id)];
  const PickInput input{*table_,
                        service,
                        hash,
                        service.scheduler == Scheduler::Sh ? client_hash(key, secret) : 0,
                        service.scheduler == Scheduler::Dh ? vip_hash(key, secret) : 0,
                        load_,
                        state,
                        random_};
  if (const RealServer* rs = pick(input)) return rs;
  if (service.sorry == Service::kNoSorry) return nullptr;
  const RealServer& sorry = table_->real_servers()[service.sorry];
  return sorry.up ? &sorry : nullptr;
}

}  // namespace lb
