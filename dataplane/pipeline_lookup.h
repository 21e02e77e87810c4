// SPDX-License-Identifier: Apache-2.0
// The lookup stage of PipelineCore: what becomes of a packet, row by row of the design's table of
// odd packets. Included by pipeline_core.h only. Decides; changes no packet.
#pragma once

#include "dataplane/packet/wire.h"
#include "dataplane/pipeline_core.h"  // IWYU pragma: keep

namespace lb {

namespace detail {

[[nodiscard]] inline IpAddr client_of(const FlowKey4& key) noexcept {
  return IpAddr::v4(key.client);
}
[[nodiscard]] inline IpAddr client_of(const FlowKey6& key) noexcept {
  return IpAddr::v6(key.client);
}
[[nodiscard]] inline IpAddr vip_of(const FlowKey4& key) noexcept { return IpAddr::v4(key.vip); }
[[nodiscard]] inline IpAddr vip_of(const FlowKey6& key) noexcept { return IpAddr::v6(key.vip); }
[[nodiscard]] inline IpAddr client_of(const ParsedPacket& parsed) noexcept {
  return parsed.family == Family::V4 ? client_of(parsed.key.v4) : client_of(parsed.key.v6);
}
[[nodiscard]] inline IpAddr vip_of(const ParsedPacket& parsed) noexcept {
  return parsed.family == Family::V4 ? vip_of(parsed.key.v4) : vip_of(parsed.key.v6);
}
/// The source in the IP header: of an ICMP error this is not the client.
[[nodiscard]] inline IpAddr source_of(const Packet& packet, const ParsedPacket& parsed) noexcept {
  const std::uint8_t* l3 = packet.data + parsed.l3_offset;
  return parsed.family == Family::V4 ? IpAddr::v4(Be32::load(l3 + 12)) : IpAddr::v6(l3 + 8);
}
/// A SYN that opens a connection: SYN+ACK does not.
[[nodiscard]] inline bool opens(const ParsedPacket& parsed) noexcept {
  return parsed.proto == wire::kTcp && (parsed.tcp_flags & (wire::kSyn | wire::kAck)) == wire::kSyn;
}
[[nodiscard]] inline FlowState state_after(FlowState before, const ParsedPacket& parsed) noexcept {
  if (parsed.proto == wire::kTcp) return next_tcp_state(before, parsed.tcp_flags);
  return parsed.proto == wire::kUdp ? FlowState::Udp : FlowState::Sctp;
}

}  // namespace detail

template <class Tables>
void PipelineCore<Tables>::look_up(const Packet& packet, const ParsedPacket& parsed,
                                   Verdict& verdict) noexcept {
  if (parsed.kind != PacketKind::Flow) [[unlikely]]
    return look_up_other(packet, parsed, verdict);
  if (parsed.family == Family::V4) {
    look_up_flow(parsed, parsed.key.v4, verdict);
  } else {
    look_up_flow(parsed, parsed.key.v6, verdict);
  }
  if (parsed.is_first_fragment && verdict.action == Action::Forward) [[unlikely]] {
    fragments_.put(fragment_key(parsed), {verdict.rs->id, verdict.service->id}, now_);
    counters_.worker.fragments_first.add();
    first_fragment_seen_ = true;
  }
}

// All that is not a packet of TCP, UDP or SCTP with its ports.
template <class Tables>
void PipelineCore<Tables>::look_up_other(const Packet& packet, const ParsedPacket& parsed,
                                         Verdict& verdict) noexcept {
  const bool v4 = parsed.family == Family::V4;
  switch (parsed.kind) {
    case PacketKind::LaterFragment:
      return look_up_fragment(packet, parsed, verdict);
    case PacketKind::IcmpError:
      return v4 ? look_up_icmp_error(packet, parsed, parsed.key.v4, verdict)
                : look_up_icmp_error(packet, parsed, parsed.key.v6, verdict);
    case PacketKind::EchoRequest:
      return look_up_echo(parsed, verdict);
    case PacketKind::Flow:  // look_up()'s
    case PacketKind::Dropped:
      break;
  }
  return verdict.drop(parsed.drop);
}

// Whether the flow goes on with this packet. A SYN may reuse the ports of a connection that is
// over.
template <class Tables>
bool PipelineCore<Tables>::is_usable(const FlowData& flow, const Service* service,
                                     const RealServer* rs,
                                     const ParsedPacket& parsed) const noexcept {
  if (service == nullptr || rs == nullptr || !rs->up) return false;
  if (ms_since(now_, flow.last_seen) >
      static_cast<std::int64_t>(timeout_ms(flow.state, service->timeouts))) {
    return false;
  }
  return !(flow.state == FlowState::TimeWait || flow.state == FlowState::Close) ||
         !detail::opens(parsed);
}

// Whether an entry may be forgotten. That of an RS which is down waits: it may come back.
template <class Tables>
bool PipelineCore<Tables>::is_over(const FlowData& flow) const noexcept {
  const Service* service = table_->service(flow.service);
  if (service == nullptr || table_->rs(flow.rs) == nullptr) return true;
  return ms_since(now_, flow.last_seen) >
         static_cast<std::int64_t>(timeout_ms(flow.state, service->timeouts));
}

template <class Tables>
template <class Key>
void PipelineCore<Tables>::look_up_flow(const ParsedPacket& parsed, const Key& key,
                                        Verdict& verdict) noexcept {
  if (parsed.ttl_expired && table_->decrement_ttl()) [[unlikely]]
    return ttl_expired(key, verdict);
  auto& flows = store<Key>();
  auto* entry = flows.find(key, parsed.hash);
  if (entry != nullptr) [[likely]] {
    const FlowData flow = flows.data(*entry);
    const Service* service = table_->service(flow.service);
    const RealServer* rs = table_->rs(flow.rs);
    if (is_usable(flow, service, rs, parsed)) [[likely]] {
      flows.touch(*entry, flow, detail::state_after(flow.state, parsed), now_);
      return verdict.forward(rs, service);
    }
  }
  new_flow(parsed, key, entry, verdict);
}

// A packet of a flow that this worker does not know, or whose entry (not null then) is of no use.
template <class Tables>
template <class Key>
void PipelineCore<Tables>::new_flow(const ParsedPacket& parsed, const Key& key, EntryOf<Key>* entry,
                                    Verdict& verdict) noexcept {
  const Service* service = table_->find(key);
  if (service == nullptr) return verdict.drop(DropReason::VipUnmatched);
  if (table_->is_vip(detail::client_of(key))) return verdict.drop(DropReason::BadSource, service);

  FlowData flow;
  FlowOrigin origin = FlowOrigin::Peer;
  const RealServer* rs = nullptr;
  // A plain SYN is on its flow's own queue and opens it: no peer can know better, and a flood of
  // them must not cost a look into every worker's table. A first fragment is on the queue of its
  // addresses.
  const bool ask_peers = !detail::opens(parsed) || parsed.is_first_fragment;
  if (auto known = ask_peers ? peer_flow(parsed, key) : std::nullopt) {
    flow = *known;
    service = table_->service(flow.service);
    rs = table_->rs(flow.rs);
    flow.state = detail::state_after(flow.state, parsed);
  } else {
    if (parsed.proto == wire::kTcp && !detail::opens(parsed)) {
      counters_.services[slot_of(service->id)].unknown_flows.add();
    }
    rs = schedule(*service, key, parsed.hash);
    if (rs == nullptr) return verdict.drop(DropReason::NoBackend, service);
    flow = {rs->id, service->id, now_, detail::state_after(FlowState::None, parsed)};
    origin = FlowOrigin::New;
  }
  flow.last_seen = now_;
  auto& flows = store<Key>();
  if (entry != nullptr) {
    flows.replace(*entry, flow, origin);
  } else {
    flows.insert(key, parsed.hash, flow, origin,
                 [this](const FlowData& other) { return is_over(other); });
  }
  return verdict.forward(rs, service);
}

// The flow as a peer knows it, if it goes on with this packet.
template <class Tables>
template <class Key>
std::optional<FlowData> PipelineCore<Tables>::peer_flow(const ParsedPacket& parsed,
                                                        const Key& key) const noexcept {
  for (const PipelineCore* peer : peers_) {
    auto flow = peer->template store<Key>().table().read(key, parsed.hash);
    if (flow && is_usable(*flow, table_->service(flow->service), table_->rs(flow->rs), parsed)) {
      return flow;
    }
  }
  return std::nullopt;
}

// Where a new flow goes: what the scheduler says, else the sorry RS, else null.
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

// To the RS of the quoted flow; never makes an entry.
template <class Tables>
template <class Key>
void PipelineCore<Tables>::look_up_icmp_error(const Packet& packet, const ParsedPacket& parsed,
                                              const Key& key, Verdict& verdict) noexcept {
  if (parsed.ttl_expired && table_->decrement_ttl()) return verdict.drop(DropReason::TtlExpired);
  if (table_->is_vip(detail::source_of(packet, parsed))) return verdict.drop(DropReason::BadSource);
  const Service* service = nullptr;
  const RealServer* rs = nullptr;
  auto& flows = store<Key>();
  std::optional<FlowData> flow;
  if (auto* entry = flows.find(key, parsed.hash)) flow = flows.data(*entry);
  if (flow) {
    service = table_->service(flow->service);
    rs = table_->rs(flow->rs);
  }
  if (!flow || !is_usable(*flow, service, rs, parsed)) {
    flow = peer_flow(parsed, key);
    service = flow ? table_->service(flow->service) : table_->find(key);
    rs = flow ? table_->rs(flow->rs) : nullptr;
    if (!flow && service != nullptr && is_hashed(service->scheduler)) {
      rs = schedule(*service, key, parsed.hash);
    }
  }
  if (rs == nullptr) return verdict.drop(DropReason::IcmpUnknown, service);
  counters_.worker.icmp_errors_forwarded.add();
  return verdict.forward(rs, service);
}

template <class Tables>
template <class Key>
void PipelineCore<Tables>::ttl_expired(const Key& key, Verdict& verdict) const noexcept {
  const Service* service = table_->find(key);
  if (service == nullptr) return verdict.drop(DropReason::VipUnmatched);
  if (table_->is_vip(detail::client_of(key))) return verdict.drop(DropReason::BadSource, service);
  verdict = {nullptr, service, Action::TimeExceeded, DropReason::TtlExpired};
}

template <class Tables>
std::optional<FragmentTarget> PipelineCore<Tables>::find_fragment(const FragmentKey& key,
                                                                  bool ask_peers) const noexcept {
  if (auto target = fragments_.read(key, now_)) return target;
  if (!ask_peers) return std::nullopt;
  for (const PipelineCore* peer : peers_) {
    if (auto target = peer->fragments_.read(key, now_)) return target;
  }
  return std::nullopt;
}

template <class Tables>
void PipelineCore<Tables>::look_up_fragment(const Packet& packet, const ParsedPacket& parsed,
                                            Verdict& verdict) noexcept {
  const FragmentKey key = fragment_key(parsed);
  if (auto target = find_fragment(key, true)) {
    counters_.worker.fragments_followed.add();
    return follow(*target, parsed, verdict);
  }
  if (!table_->is_vip(detail::vip_of(parsed))) return verdict.drop(DropReason::VipUnmatched);
  if (table_->is_vip(detail::client_of(parsed))) return verdict.drop(DropReason::BadSource);
  if (!held_.push({packet, parsed, key, now_})) return verdict.drop(DropReason::FragmentFull);
  counters_.worker.fragments_held.add();
  verdict = {nullptr, nullptr, Action::Hold, DropReason::FragmentTimeout};
}

template <class Tables>
void PipelineCore<Tables>::follow(const FragmentTarget& target, const ParsedPacket& parsed,
                                  Verdict& verdict) const noexcept {
  const Service* service = table_->service(target.service);
  const RealServer* rs = table_->rs(target.rs);
  if (service == nullptr || rs == nullptr || !rs->up)
    return verdict.drop(DropReason::NoBackend, service);
  if (parsed.ttl_expired && table_->decrement_ttl())
    return verdict.drop(DropReason::TtlExpired, service);
  return verdict.forward(rs, service);
}

// The director is the end of the way for an echo request, so its TTL does not matter.
template <class Tables>
void PipelineCore<Tables>::look_up_echo(const ParsedPacket& parsed,
                                        Verdict& verdict) const noexcept {
  const VipPolicy* vip = table_->vip(detail::vip_of(parsed));
  if (vip == nullptr || !vip->echo_reply) return verdict.drop(DropReason::VipUnmatched);
  if (table_->is_vip(detail::client_of(parsed))) return verdict.drop(DropReason::BadSource);
  verdict = {nullptr, nullptr, Action::EchoReply, DropReason::Truncated};
}

}  // namespace lb
