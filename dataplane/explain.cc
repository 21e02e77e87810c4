// SPDX-License-Identifier: Apache-2.0
// The rules are those of pipeline_lookup.h and pipeline_flows.h, by the same functions of
// table/slot_decision.h; explain_test.cc compares with what the pipeline does.
#include "dataplane/explain.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/parse.h"
#include "dataplane/packet/wire.h"
#include "dataplane/table/scheduler.h"
#include "dataplane/table/slot_decision.h"

namespace lb {
namespace {

constexpr std::uint32_t kHalfOpenMs = 10'000;  // of hashed services

std::uint32_t l4_header_bytes(Proto proto) {
  return proto == Proto::Tcp    ? wire::kTcpBytes
         : proto == Proto::Sctp ? wire::kSctpBytes
                                : wire::kUdpBytes;
}

void store_checksum(std::uint8_t* at, std::uint16_t raw) { std::memcpy(at, &raw, sizeof raw); }

// The transport header; the payload is zeros.
void write_l4(const ExplainRequest& request, std::uint8_t* l4, std::uint32_t bytes) {
  wire::store16(l4, request.client_port);
  wire::store16(l4 + 2, request.vip_port);
  if (request.proto == Proto::Sctp) return;  // its CRC is not looked at
  const bool tcp = request.proto == Proto::Tcp;
  if (tcp) {
    l4[12] = 5 << 4;
    l4[13] = request.tcp_flags;
    wire::store16(l4 + 14, 65535);
  } else {
    wire::store16(l4 + 4, static_cast<std::uint16_t>(bytes));
  }
  const std::uint64_t pseudo =
      checksum_sum(request.client.data(), static_cast<std::uint32_t>(request.client.size())) +
      checksum_sum(request.vip.data(), static_cast<std::uint32_t>(request.vip.size())) +
      Be16::from_host(raw(request.proto)).raw() +
      Be16::from_host(static_cast<std::uint16_t>(bytes)).raw();
  store_checksum(l4 + (tcp ? 16 : 6), checksum_of(l4, bytes, pseudo));
}

void write_ip(const ExplainRequest& request, std::uint8_t* ip, std::uint32_t bytes) {
  const bool v4 = request.vip.is_v4();
  if (v4) {
    ip[0] = 0x45;
    wire::store16(ip + 2, static_cast<std::uint16_t>(bytes));
    ip[6] = 0x40;  // do not fragment
    ip[8] = request.ttl;
    ip[9] = raw(request.proto);
  } else {
    ip[0] = 0x60;
    wire::store16(ip + 4, static_cast<std::uint16_t>(bytes - wire::kIpv6Bytes));
    ip[6] = raw(request.proto);
    ip[7] = request.ttl;
  }
  std::uint8_t* addresses = ip + (v4 ? 12 : 8);
  std::memcpy(addresses, request.client.data(), request.client.size());
  std::memcpy(addresses + request.client.size(), request.vip.data(), request.vip.size());
  if (v4) store_checksum(ip + 10, checksum_of(ip, wire::kIpv4Bytes));
}

// A look at one packet. Writes to `look` alone.
template <class Key>
class Looker {
 public:
  Looker(const ServiceTable& table, const FlowTable<Key>& flows, const ParsedPacket& parsed,
         const Key& key, TickMs now, WorkerLook& look)
      : table_(table),
        flows_(flows),
        parsed_(parsed),
        key_(key),
        hash_(flow_hash(key, table.flow_key())),
        now_(now),
        part_(flow_part(parsed.proto, parsed.tcp_flags)),
        look_(look) {}

  void look(std::span<const Counters* const> counters) {
    look_.service = table_.find(key_);
    if (look_.service == nullptr) return drop(DropReason::VipUnmatched);
    if (table_.client_is_vip(key_)) return drop(DropReason::BadSource);
    if (parsed_.ttl_expired && table_.decrement_ttl()) {
      drop(DropReason::TtlExpired);
      look_.verdict = ExplainVerdict::Answer;
      return;
    }
    if (is_hashed(look_.service->scheduler)) {
      by_slot();
    } else {
      by_memory(counters);
    }
    if (look_.verdict == ExplainVerdict::Forward && look_.rs != nullptr) send(*look_.rs);
  }

 private:
  void drop(DropReason reason) {
    look_.verdict = ExplainVerdict::Drop;
    look_.drop = reason;
    look_.remembers = false;
  }
  void forward(const RealServer* rs) {
    if (rs == nullptr) return drop(DropReason::NoBackend);
    look_.verdict = ExplainVerdict::Forward;
    look_.rs = rs;
  }
  // What keeps a packet from leaving for its real server.
  void send(const RealServer& rs) {
    const EgressPort& port = table_.port(rs.egress);
    const bool remembers = look_.remembers;
    if (!rs.has_mac) {
      drop(DropReason::NoNeighbour);
    } else if (!port.up) {
      drop(DropReason::TxLinkDown);
    } else if (parsed_.l3_bytes > port.mtu) {
      drop(DropReason::TooLarge);
    }
    look_.remembers = remembers;
  }

  [[nodiscard]] bool is_idle(const FlowData& flow, const Service& of) const {
    std::uint32_t ms = timeout_ms(flow.state, of.timeouts);
    if (flow.state == FlowState::SynRecv && is_hashed(of.scheduler)) ms = std::min(ms, kHalfOpenMs);
    return ms_since(now_, flow.last_seen) > static_cast<std::int64_t>(ms);
  }
  // Asks the memory; true when what it knows decides.
  bool follow() {
    look_.flow = flows_.read(key_, hash_);
    if (!look_.flow) return false;
    const FlowData& flow = *look_.flow;
    const Service* of = table_.service(flow.service);
    const RealServer* rs = table_.rs(flow.rs);
    if (of == nullptr || rs == nullptr || !rs->up || is_idle(flow, *of)) return false;
    if (part_ == FlowPart::Syn) {
      if (flow.state == FlowState::TimeWait || flow.state == FlowState::Close) return false;
      if (rs->weight == 0 && is_hashed(look_.service->scheduler)) return false;
    }
    look_.follows = true;
    forward(rs);
    return true;
  }

  void by_slot() {
    const Service& service = *look_.service;
    if (service.table == nullptr) return drop(DropReason::NoBackend);
    look_.slot = slot_of_flow(service, *service.table, key_, hash_, table_.flow_key());
    const bool asks = (service.table->hot(*look_.slot) & LB_SLOT_ASK) != 0;
    const SlotServers slot = slot_servers(table_, service, *look_.slot);
    if (!asks_memory(asks, part_, service.affinity)) return forward(slot.owner);
    if (follow()) return;
    look_.remembers = wants_memory(slot.open, part_, service.affinity);
    forward(slot.pick(part_, service.affinity, true));
  }

  void by_memory(std::span<const Counters* const> counters) {
    const Service& service = *look_.service;
    if (follow()) return;
    look_.remembers = true;
    if (service.table != nullptr && part_ == FlowPart::Segment) {
      const std::uint32_t slots = service.table->head().slots;
      look_.slot = lb_hash_slot(hash_, service.hash_key, slots);
      const RealServer* rs =
          slot_servers(table_, service, *look_.slot).pick(part_, Affinity::Transition, true);
      if (rs != nullptr) return forward(rs);
    }
    schedule(counters);
  }

  // By a scheduler that has a cursor or chance in it, any that takes new flows; else the one.
  void schedule(std::span<const Counters* const> counters) {
    const Service& service = *look_.service;
    for (const RealServer& rs : table_.real_servers(service)) {
      if (rs.up && rs.weight != 0) look_.candidates.push_back(&rs);
    }
    if (look_.candidates.empty()) {
      const bool sorry = service.sorry != Service::kNoSorry;
      const RealServer* rs = sorry ? &table_.real_servers()[service.sorry] : nullptr;
      return forward(rs != nullptr && rs->up ? rs : nullptr);
    }
    const Scheduler s = service.scheduler;
    if (look_.candidates.size() > 1 &&
        (s == Scheduler::Rr || s == Scheduler::Wrr || s == Scheduler::Twos)) {
      look_.verdict = ExplainVerdict::Forward;
      return;
    }
    SchedulerState state;
    std::uint64_t random = 1;
    const LoadView load(counters);
    const PickInput input{table_, service, hash_, 0, 0, load, state, random};
    look_.candidates.clear();
    forward(pick(input));
  }

  const ServiceTable& table_;
  const FlowTable<Key>& flows_;
  const ParsedPacket& parsed_;
  const Key& key_;
  std::uint64_t hash_;
  TickMs now_;
  FlowPart part_;
  WorkerLook& look_;
};

}  // namespace

std::uint32_t ExplainRequest::ip_bytes_min() const noexcept {
  return (vip.is_v4() ? wire::kIpv4Bytes : wire::kIpv6Bytes) + l4_header_bytes(proto);
}

std::vector<std::uint8_t> probe_frame(const ExplainRequest& request, const MacAddr& to) {
  const bool v4 = request.vip.is_v4();
  const std::uint32_t l3 = wire::kEthernetBytes + (request.vlan != 0 ? wire::kVlanBytes : 0);
  const std::uint32_t bytes = request.ip_bytes == 0 ? request.ip_bytes_min() : request.ip_bytes;
  std::vector<std::uint8_t> frame(l3 + bytes);
  std::ranges::copy(to.bytes, frame.begin());
  frame[6] = 0x02;  // from anyone
  frame[11] = 0x01;
  std::uint8_t* type = frame.data() + 12;
  if (request.vlan != 0) {
    wire::store16(type, wire::kEtherVlan);
    wire::store16(type + 2, request.vlan);
    type += wire::kVlanBytes;
  }
  wire::store16(type, v4 ? wire::kEtherIpv4 : wire::kEtherIpv6);
  write_ip(request, frame.data() + l3, bytes);
  const std::uint32_t header = v4 ? wire::kIpv4Bytes : wire::kIpv6Bytes;
  write_l4(request, frame.data() + l3 + header, bytes - header);
  return frame;
}

WorkerLook look_as_worker(const ServiceTable& table, const Pipeline& path,
                          std::span<const Counters* const> counters,
                          std::span<const std::uint8_t> frame, TickMs now) {
  WorkerLook look;
  ParsedPacket parsed;
  parse(frame.data(), static_cast<std::uint32_t>(frame.size()), parsed);
  if (parsed.kind != PacketKind::Flow) {
    look.drop = parsed.drop;
    return look;
  }
  if (parsed.family == Family::V4) {
    Looker(table, path.flows4(), parsed, parsed.key.v4, now, look).look(counters);
  } else {
    Looker(table, path.flows6(), parsed, parsed.key.v6, now, look).look(counters);
  }
  return look;
}

}  // namespace lb
