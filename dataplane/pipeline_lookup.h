// SPDX-License-Identifier: Apache-2.0
// The lookup stage of PipelineCore: what becomes of a packet, row by row of the design's table of
// odd packets. Flows proper are in pipeline_flows.h. Included by pipeline_core.h only. Decides;
// changes no packet.
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

}  // namespace detail

template <class Tables>
void PipelineCore<Tables>::look_up(const Packet& packet, const ParsedPacket& parsed,
                                   const Found& found, Verdict& verdict) noexcept {
  if (parsed.kind != PacketKind::Flow) [[unlikely]]
    return look_up_other(packet, parsed, found, verdict);
  if (parsed.family == Family::V4) {
    look_up_flow(parsed, parsed.key.v4, found, verdict);
  } else {
    look_up_flow(parsed, parsed.key.v6, found, verdict);
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
                                         const Found& found, Verdict& verdict) noexcept {
  const bool v4 = parsed.family == Family::V4;
  switch (parsed.kind) {
    case PacketKind::LaterFragment:
      return look_up_fragment(packet, parsed, verdict);
    case PacketKind::IcmpError:
      return v4 ? look_up_icmp_error(packet, parsed, parsed.key.v4, found, verdict)
                : look_up_icmp_error(packet, parsed, parsed.key.v6, found, verdict);
    case PacketKind::EchoRequest:
      return look_up_echo(parsed, verdict);
    case PacketKind::Flow:  // look_up()'s
    case PacketKind::Dropped:
      break;
  }
  return verdict.drop(parsed.drop);
}

template <class Tables>
template <class Key>
void PipelineCore<Tables>::look_up_flow(const ParsedPacket& parsed, const Key& key,
                                        const Found& found, Verdict& verdict) noexcept {
  if (found.service == nullptr) [[unlikely]]
    return verdict.drop(DropReason::VipUnmatched);
  const Service& service = *found.service;
  if (table_->client_is_vip(key)) [[unlikely]]
    return verdict.drop(DropReason::BadSource, &service);
  if (parsed.ttl_expired && table_->decrement_ttl()) [[unlikely]] {
    verdict = {nullptr, &service, Action::TimeExceeded, DropReason::TtlExpired};
    return;
  }
  switch (found.way) {
    case Way::Slot:
      return look_up_hashed(parsed, key, found, verdict);
    case Way::Memory:
      return look_up_stateful(parsed, key, service, verdict);
    case Way::None:
      return verdict.drop(DropReason::NoBackend, &service);
  }
}

// To the RS of the quoted flow; neither makes nor ends an entry. The packet that it quotes was the
// RS's, so the flow is there: an unknown one in an open slot is the old server's.
template <class Tables>
template <class Key>
void PipelineCore<Tables>::look_up_icmp_error(const Packet& packet, const ParsedPacket& parsed,
                                              const Key& key, const Found& found,
                                              Verdict& verdict) noexcept {
  if (parsed.ttl_expired && table_->decrement_ttl()) return verdict.drop(DropReason::TtlExpired);
  if (table_->is_vip(detail::source_of(packet, parsed))) return verdict.drop(DropReason::BadSource);
  if (found.service == nullptr) return verdict.drop(DropReason::IcmpUnknown);
  const Service* service = found.service;
  const RealServer* rs = nullptr;
  SlotServers slot;
  bool asks = true;
  if (found.way == Way::None) return verdict.drop(DropReason::IcmpUnknown, service);
  if (found.way == Way::Slot) {
    slot = slot_servers(*table_, *service, found.slot);
    asks = asks_memory((service->table->hot(found.slot) & LB_SLOT_ASK) != 0,
                       flow_part(key.proto, 0), service->affinity);
    rs = asks ? slot.pick(FlowPart::Segment, service->affinity, false) : slot.owner;
  }
  if (asks) {
    if (auto flow = known_flow(parsed, key, *service)) {
      rs = table_->rs(flow->rs);
      service = table_->service(flow->service);
    }
  }
  if (rs == nullptr) return verdict.drop(DropReason::IcmpUnknown, service);
  counters_.worker.icmp_errors_forwarded.add();
  return verdict.forward(rs, service);
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
