// SPDX-License-Identifier: Apache-2.0
#include "tests/support/referee.h"

#include <algorithm>
#include <cstring>

#include "tests/support/referee_frames.h"

namespace lb::test {
namespace {

using Kind = Verdict::Kind;
using Memory = Verdict::Memory;

enum class Part : std::uint8_t { Syn, Segment, Datagram };

Part part_of(unsigned proto, unsigned flags) {
  if (proto != 6) return Part::Datagram;
  return (flags & kSyn) != 0 && (flags & kAck) == 0 ? Part::Syn : Part::Segment;
}

bool is_hashed_one(const Service& service) {
  return service.scheduler == Scheduler::Mh || service.scheduler == Scheduler::Sh ||
         service.scheduler == Scheduler::Dh;
}

// Whether the memory is asked for such a packet of a hashed service, given that of its slot.
bool asks(bool slot_asks, Part part, Affinity affinity) {
  if (part != Part::Datagram || affinity == Affinity::Transition) return slot_asks;
  return affinity == Affinity::Always;
}

// Next state by the client's segment: the table of IPVS (net/netfilter/ipvs/ip_vs_proto_tcp.c).
RefState next(RefState state, unsigned proto, unsigned flags) {
  using enum RefState;
  static constexpr RefState kSynRow[] = {SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR};
  static constexpr RefState kFinRow[] = {CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW};
  static constexpr RefState kAckRow[] = {CL, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES};
  static constexpr RefState kRstRow[] = {CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL};
  if (proto == 17) return Udp;
  if (proto == 132) return Sctp;
  const auto column = static_cast<std::size_t>(state);
  if (column >= std::size(kSynRow)) return state;
  if ((flags & kRst) != 0) return kRstRow[column];
  if ((flags & kSyn) != 0) return kSynRow[column];
  if ((flags & kFin) != 0) return kFinRow[column];
  if ((flags & kAck) != 0) return kAckRow[column];
  return state;
}

std::uint32_t timeout_of(RefState state, const Timeouts& t) {
  const std::uint32_t by_state[] = {t.none_ms,     t.established_ms, t.syn_sent_ms, t.syn_recv_ms,
                                    t.fin_wait_ms, t.time_wait_ms,   t.close_ms,    t.close_wait_ms,
                                    t.last_ack_ms, t.listen_ms,      t.synack_ms,   t.udp_ms,
                                    t.sctp_ms};
  return by_state[static_cast<std::size_t>(state)];
}

// The flow hash of lb_abi.h over what is given of a tuple.
std::uint64_t hash_of(const RefTuple& tuple, const lb_hash_key& key, bool client, bool vip,
                      bool ports) {
  std::uint64_t c[2] = {}, v[2] = {};
  std::uint8_t port_bytes[4] = {};
  if (client) std::memcpy(c, tuple.client.data(), 16);
  if (vip) std::memcpy(v, tuple.vip.data(), 16);
  if (ports) {
    port_bytes[0] = static_cast<std::uint8_t>(tuple.client_port >> 8);
    port_bytes[1] = static_cast<std::uint8_t>(tuple.client_port);
    port_bytes[2] = static_cast<std::uint8_t>(tuple.vip_port >> 8);
    port_bytes[3] = static_cast<std::uint8_t>(tuple.vip_port);
  }
  std::uint32_t words = 0;
  std::memcpy(&words, port_bytes, 4);
  const std::uint8_t proto = ports ? tuple.proto : 0;
  if (tuple.family == 4) {
    return lb_hash_flow4(static_cast<std::uint32_t>(c[0]), static_cast<std::uint32_t>(v[0]), words,
                         proto, &key);
  }
  return lb_hash_flow6(reinterpret_cast<const __u64*>(c), reinterpret_cast<const __u64*>(v), words,
                       proto, &key);
}

}  // namespace

const RealServer* Referee::rs(RsId id) const {
  auto found = std::ranges::find(spec_.real_servers, id, &RealServer::id);
  return found == spec_.real_servers.end() ? nullptr : &*found;
}

const Service* Referee::service(ServiceId id) const {
  auto found = std::ranges::find(spec_.services, id, &Service::id);
  return found == spec_.services.end() ? nullptr : &*found;
}

const RealServer* Referee::member_up(const Service& of, std::uint32_t index) const {
  if (index >= of.members.size()) return nullptr;
  const RealServer* server = rs(of.members[index]);
  return server != nullptr && server->up ? server : nullptr;
}

Referee::Slot Referee::slot_of(const Service& of, const RefTuple& tuple, bool by_flow) const {
  const bool client = by_flow || of.scheduler != Scheduler::Dh;
  const bool vip = by_flow || of.scheduler != Scheduler::Sh;
  const std::uint64_t hash = hash_of(tuple, spec_.flow_key, client, vip, client && vip);
  const std::uint32_t at = lb_hash_slot(hash, of.hash_key, of.table->head().slots);
  const std::uint32_t word = of.table->hot(at);
  Slot slot;
  slot.owner = member_up(of, word & LB_SLOT_OWNER);
  slot.asks = (word & LB_SLOT_ASK) != 0;
  if (!slot.asks) return slot;
  const std::uint32_t state = of.table->state(at);
  slot.open = (state & LB_STATE_OPEN) != 0;
  if (slot.open) slot.old = member_up(of, state & LB_STATE_OLD);
  return slot;
}

// A half-open flow of a hashed service expires in seconds: ten.
bool Referee::is_idle(const RefFlow& flow, const Service& of, TickMs now) const {
  std::uint32_t ms = timeout_of(flow.state, of.timeouts);
  if (flow.state == RefState::SR && is_hashed_one(of)) ms = std::min(ms, 10'000U);
  return static_cast<std::int32_t>(now - flow.last_seen) > static_cast<std::int32_t>(ms);
}

// What is remembered, if it counts for this packet of `of`: its real server lives, it is not idle
// for too long; a SYN does not reuse what is over, nor follow to where a hashed service drains.
const RefFlow* Referee::usable(const RefTuple& tuple, bool syn, const Service& of,
                               TickMs now) const {
  auto found = flows_.find(tuple);
  if (found == flows_.end()) return nullptr;
  const RefFlow& flow = found->second;
  const RealServer* server = rs(flow.rs);
  const Service* own = service(flow.service);
  if (own == nullptr || server == nullptr || !server->up || is_idle(flow, *own, now)) {
    return nullptr;
  }
  if (syn && (flow.state == RefState::TW || flow.state == RefState::CL)) return nullptr;
  if (syn && is_hashed_one(of) && server->weight == 0) return nullptr;
  return &flow;
}

std::uint32_t Referee::half_open() const {
  std::uint32_t count = 0;
  for (const auto& [tuple, flow] : flows_) {
    if (flow.state != RefState::SR) continue;
    const bool hashed = std::ranges::any_of(spec_.services, [&](const Service& s) {
      return lb::slot_of(s.id) == lb::slot_of(flow.service) && is_hashed_one(s);
    });
    if (hashed) ++count;
  }
  return count;
}

bool Referee::is_half_open_full() const {
  return flows_.size() >= options_.half_open_max && half_open() >= options_.half_open_max;
}

void Referee::drop(Verdict& v, DropReason reason) const {
  v.kind = Kind::Drop;
  v.memory = Memory::Leave;
  v.choices = {{RsId::None, {.sent = false, .port = {}, .bytes = {}, .reasons = {reason}}}};
}

void Referee::answer(Verdict& v, Bytes bytes, std::optional<DropReason> counted) const {
  if (!spec_.ports[raw(port_)].up) return drop(v, counted.value_or(DropReason::TxLinkDown));
  v.kind = Kind::Answer;
  v.choices = {
      {RsId::None, {.sent = true, .port = port_, .bytes = std::move(bytes), .reasons = {}}}};
  if (counted) v.choices[0].ending.reasons.insert(*counted);
}

Ending Referee::ending(const Bytes& frame, const Reading& reading, const RealServer& to) const {
  Ending end;
  const EgressPort& port = spec_.ports[raw(to.egress)];
  if (!to.has_mac) end.reasons.insert(DropReason::NoNeighbour);
  if (!port.up) end.reasons.insert(DropReason::TxLinkDown);
  if (reading.l3_bytes > port.mtu) end.reasons.insert(DropReason::TooLarge);
  if (!end.reasons.empty()) return end;
  end.sent = true;
  end.port = to.egress;
  end.bytes = forwarded(frame, reading, to, port, spec_.decrement_ttl);
  return end;
}

void Referee::forward(Verdict& v, const Bytes& frame, const RealServer* to) const {
  if (to == nullptr) return drop(v, DropReason::NoBackend);
  v.kind = Kind::Forward;
  v.choices.push_back({to->id, ending(frame, v.reading, *to)});
}

void Referee::follow(Verdict& v, const Bytes& frame, const RefFlow& flow, TickMs now) const {
  v.memory = Memory::Write;
  v.flow = flow;
  v.flow.last_seen = now;
  v.flow.state = next(flow.state, v.reading.tuple.proto, v.reading.tcp_flags);
  forward(v, frame, rs(flow.rs));
}

Verdict Referee::judge(const Bytes& frame, TickMs now) const {
  Verdict v;
  const MacAddr& own = spec_.ports[raw(port_)].mac;
  v.reading = read_frame(frame, spec_, own);
  v.tuple = v.reading.tuple;
  switch (v.reading.sort) {
    case Reading::Sort::Kernel:
      break;
    case Reading::Sort::Dropped:
      v.kind = Kind::Drop;
      v.choices.emplace_back();
      v.choices[0].ending.reasons = v.reading.defects;
      // A first fragment is known to be bad before anyone looks for its flow.
      break;
    case Reading::Sort::Flow:
      judge_flow(v, frame, now);
      break;
    case Reading::Sort::LaterFragment:
      judge_fragment(v, frame);
      break;
    case Reading::Sort::IcmpError:
      judge_icmp_error(v, frame, now);
      break;
    case Reading::Sort::Echo:
      answer(v, echo_reply(frame, v.reading, own), std::nullopt);
      break;
  }
  return v;
}

// Whom the slot of a flow gives it to that nobody can remember.
const RealServer* Referee::slot_alone(const Reading& reading) const {
  const Service& of = *reading.service;
  const Part part = part_of(reading.tuple.proto, reading.tcp_flags);
  const Slot slot = slot_of(of, reading.tuple, !is_hashed_one(of));
  const bool may_stay = part != Part::Datagram || of.affinity == Affinity::Transition;
  const bool takes_it = slot.old != nullptr && (part == Part::Segment || slot.old->weight != 0);
  return slot.open && may_stay && takes_it ? slot.old : slot.owner;
}

Verdict Referee::judge_alone(const Bytes& frame, TickMs now) const {
  Verdict v = judge(frame, now);
  const Reading& r = v.reading;
  const bool icmp = r.tuple.proto == (r.tuple.family == 4 ? 1 : 58);
  const bool needs_worker = r.sort == Reading::Sort::LaterFragment || r.first_fragment ||
                            r.sort == Reading::Sort::IcmpError || r.sort == Reading::Sort::Echo;
  if (v.kind == Kind::Kernel) return v;
  if (r.sort == Reading::Sort::Dropped) {
    v.choices[0].ending.reasons.insert(DropReason::NoSocket);
    return v;
  }
  if (needs_worker || icmp || r.service->table == nullptr) {
    drop(v, DropReason::NoSocket);
    return v;
  }
  if (r.ttl <= 1 && spec_.decrement_ttl) {
    drop(v, DropReason::TtlExpired);
    return v;
  }
  v.choices.clear();
  const Service& of = *r.service;
  const Part part = part_of(r.tuple.proto, r.tcp_flags);
  const bool asked =
      !is_hashed_one(of) || asks(slot_of(of, v.tuple, false).asks, part, of.affinity);
  const RefFlow* flow = asked ? usable(v.tuple, part == Part::Syn, of, now) : nullptr;
  auto known = flows_.find(v.tuple);
  const bool sure = known == flows_.end() ||
                    (known->second.service == of.id &&
                     (known->second.state == RefState::ES || known->second.state == RefState::Udp ||
                      known->second.state == RefState::Sctp));
  if (flow != nullptr) forward(v, frame, rs(flow->rs));
  if (flow == nullptr || !sure) forward(v, frame, slot_alone(r));
  if (flow == nullptr && !sure && asked && rs(known->second.rs) != nullptr) {
    forward(v, frame, rs(known->second.rs));
  }
  return v;
}

void Referee::judge_flow(Verdict& v, const Bytes& frame, TickMs now) const {
  const Service& of = *v.reading.service;
  if (v.reading.ttl <= 1 && spec_.decrement_ttl) {
    const MacAddr& own = spec_.ports[raw(port_)].mac;
    return answer(v, time_exceeded(frame, v.reading, own), DropReason::TtlExpired);
  }
  if (is_hashed_one(of)) {
    judge_hashed(v, frame, now);
  } else {
    judge_stateful(v, frame, now);
  }
  if (v.reading.first_fragment && v.kind == Kind::Forward) v.first = v.reading.datagram;
}

void Referee::judge_hashed(Verdict& v, const Bytes& frame, TickMs now) const {
  const Service& of = *v.reading.service;
  const Part part = part_of(v.tuple.proto, v.reading.tcp_flags);
  if (of.table == nullptr) return drop(v, DropReason::NoBackend);
  const Slot slot = slot_of(of, v.tuple, false);
  if (!asks(slot.asks, part, of.affinity)) return forward(v, frame, slot.owner);
  if (const RefFlow* flow = usable(v.tuple, part == Part::Syn, of, now)) {
    return follow(v, frame, *flow, now);
  }
  judge_unknown(v, frame, slot, now);
}

// The memory was asked in vain.
void Referee::judge_unknown(Verdict& v, const Bytes& frame, const Slot& slot, TickMs now) const {
  const Service& of = *v.reading.service;
  const Part part = part_of(v.tuple.proto, v.reading.tcp_flags);
  const bool old_takes_new = slot.open && slot.old != nullptr && slot.old->weight != 0;
  const RealServer* to = slot.owner;
  bool remember = asks(slot.open, part, of.affinity);
  v.memory = Memory::Forget;
  if (part == Part::Segment && slot.open && slot.old != nullptr) to = slot.old;
  if (part == Part::Datagram && of.affinity == Affinity::Transition && old_takes_new) to = slot.old;
  if (part == Part::Syn && remember && to != nullptr && is_half_open_full()) {
    remember = false;
    if (old_takes_new) to = slot.old;
  }
  if (remember) {
    const RefState before = part == Part::Segment ? RefState::ES : RefState::NO;
    v.memory = Memory::Write;
    v.flow = {RsId::None, of.id, next(before, v.tuple.proto, v.reading.tcp_flags), now};
  }
  forward(v, frame, to);
}

void Referee::judge_stateful(Verdict& v, const Bytes& frame, TickMs now) const {
  const Service& of = *v.reading.service;
  const Part part = part_of(v.tuple.proto, v.reading.tcp_flags);
  if (const RefFlow* flow = usable(v.tuple, part == Part::Syn, of, now)) {
    return follow(v, frame, *flow, now);
  }
  v.memory = Memory::Write;
  v.flow = {RsId::None, of.id, next(RefState::NO, v.tuple.proto, v.reading.tcp_flags), now};
  // A connection that is there and that nobody knows: whoever has no memory finds the same server.
  if (part == Part::Segment && of.table != nullptr) {
    const Slot slot = slot_of(of, v.tuple, true);
    if (slot.open && slot.old != nullptr) return forward(v, frame, slot.old);
    if (slot.owner != nullptr) return forward(v, frame, slot.owner);
  }
  for (std::uint32_t i = of.rs_first; i < of.rs_first + of.rs_count; ++i) {
    const RealServer& server = spec_.real_servers[i];
    if (server.up && server.weight != 0) forward(v, frame, &server);
  }
  if (!v.choices.empty()) return;
  const RealServer* sorry = of.sorry == Service::kNoSorry ? nullptr : &spec_.real_servers[of.sorry];
  forward(v, frame, sorry != nullptr && sorry->up ? sorry : nullptr);
}

// To the real server that sent what is quoted.
void Referee::judge_icmp_error(Verdict& v, const Bytes& frame, TickMs now) const {
  if (v.reading.ttl <= 1 && spec_.decrement_ttl) {
    drop(v, DropReason::TtlExpired);
    if (v.reading.service == nullptr) {
      v.choices[0].ending.reasons.insert(DropReason::IcmpUnknown);
    }
    return;
  }
  const Service* of = v.reading.service;
  if (of == nullptr) return drop(v, DropReason::IcmpUnknown);
  const bool hashed = is_hashed_one(*of);
  if (hashed && of->table == nullptr) return drop(v, DropReason::IcmpUnknown);
  const Part part = v.tuple.proto == 6 ? Part::Segment : Part::Datagram;
  const Slot slot = hashed ? slot_of(*of, v.tuple, false) : Slot{};
  const RealServer* to = slot.owner;
  if (!hashed || asks(slot.asks, part, of->affinity)) {
    if (slot.open && slot.old != nullptr &&
        (part == Part::Segment || asks(true, part, of->affinity))) {
      to = slot.old;
    }
    if (const RefFlow* flow = usable(v.tuple, false, *of, now)) to = rs(flow->rs);
  }
  if (to == nullptr) return drop(v, DropReason::IcmpUnknown);
  forward(v, frame, to);
}

Ending Referee::follow_first(const Bytes& frame, const Reading& reading,
                             std::pair<RsId, ServiceId> target) const {
  const RealServer* to = rs(target.first);
  Ending end;
  if (to == nullptr || !to->up || service(target.second) == nullptr) {
    end.reasons = {DropReason::NoBackend};
  } else if (reading.ttl <= 1 && spec_.decrement_ttl) {
    end.reasons = {DropReason::TtlExpired};
  } else {
    end = ending(frame, reading, *to);
  }
  return end;
}

void Referee::judge_fragment(Verdict& v, const Bytes& frame) const {
  auto found = firsts_.find(v.reading.datagram);
  if (found != firsts_.end()) {
    v.kind = Kind::Forward;
    v.choices.push_back({found->second.first, follow_first(frame, v.reading, found->second)});
    return;
  }
  if (held_.size() >= options_.held_max) return drop(v, DropReason::FragmentFull);
  v.kind = Kind::Hold;
  v.held = v.reading.datagram;
}

std::vector<Ending> Referee::settle(const Verdict& verdict, const Bytes& frame, RsId to,
                                    TickMs now) {
  if (verdict.memory == Memory::Forget) flows_.erase(verdict.tuple);
  if (verdict.memory == Memory::Write) {
    RefFlow& flow = flows_[verdict.tuple] = verdict.flow;
    flow.rs = to;
    flow.last_seen = now;
  }
  if (verdict.held) held_.push_back({*verdict.held, frame, verdict.reading});
  std::vector<Ending> released;
  if (!verdict.first) return released;
  // Of which service the first one went: that of its flow.
  const ServiceId of =
      verdict.memory == Memory::Write ? verdict.flow.service : verdict.reading.service->id;
  firsts_[*verdict.first] = {to, of};
  std::erase_if(held_, [&](const Held& held) {
    if (held.datagram != *verdict.first) return false;
    released.push_back(follow_first(held.frame, held.reading, firsts_[held.datagram]));
    return true;
  });
  return released;
}

void Referee::sweep(TickMs now) {
  std::erase_if(flows_, [&](const auto& entry) {
    const auto& [tuple, flow] = entry;
    const Service* of = service(flow.service);
    if (of == nullptr || rs(flow.rs) == nullptr || is_idle(flow, *of, now)) return true;
    if (!is_hashed_one(*of) || of->table == nullptr) return false;
    const Part part = tuple.proto == 6 ? Part::Segment : Part::Datagram;
    const Slot slot = slot_of(*of, tuple, false);
    if (!asks(slot.asks, part, of->affinity)) return true;
    if (asks(slot.open, part, of->affinity)) return false;
    return slot.owner != nullptr && slot.owner->id == flow.rs;
  });
}

void Referee::let_idle(std::uint32_t ms) {
  for (auto& [tuple, flow] : flows_) flow.last_seen -= ms;
}

}  // namespace lb::test
