// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_world.h"

#include <algorithm>

namespace lb::test {
namespace {

constexpr std::uint32_t kWindowS = 900;
// Places of 192.0.2.10:8050/tcp and 192.0.2.11:443/tcp.
constexpr std::size_t kInRange = 4;
constexpr std::size_t kInAnyPort = 7;

}  // namespace

RandomWorld::RandomWorld(std::uint64_t seed, TableMemory& memory) : random_(seed), memory_(memory) {
  base_.vips = {{ip("192.0.2.10"), false, true},
                {ip("192.0.2.11"), true, false},
                {ip("192.0.2.12"), one_of(2) == 0, one_of(2) == 0},
                {ip("2001:db8::10"), false, true},
                {ip("2001:db8::11"), one_of(2) == 0, one_of(2) == 0}};
  base_.ports = {{mac("02:00:00:00:00:aa"), 1500, true},
                 {mac("02:00:00:00:00:ab"), one_of(3) == 0 ? 600U : 1500U, true}};
  base_.flow_key = {random_(), random_()};
  base_.decrement_ttl = one_of(4) != 0;
  for (const char* address :
       {"192.0.2.10:80/tcp", "192.0.2.10:53/udp", "192.0.2.10:5060/sctp",
        "192.0.2.10:8000-8100/tcp", "192.0.2.10:8050/tcp", "192.0.2.10:8000-8100/udp",
        "192.0.2.11:any/tcp", "192.0.2.11:443/tcp", "192.0.2.12:any/udp", "[2001:db8::10]:443/tcp",
        "[2001:db8::10]:53/udp", "[2001:db8::10]:5000-5100/sctp", "[2001:db8::11]:any/tcp",
        "[2001:db8::11]:7-9/udp"}) {
    add_service(address);
  }
}

void RandomWorld::add_service(const char* address) {
  constexpr Scheduler kSchedulers[] = {Scheduler::Mh, Scheduler::Mh, Scheduler::Mh,
                                       Scheduler::Sh, Scheduler::Dh, Scheduler::Wrr,
                                       Scheduler::Rr, Scheduler::Wlc};
  constexpr Affinity kAffinities[] = {Affinity::Transition, Affinity::Transition, Affinity::Always,
                                      Affinity::None};
  Place& place = places_.emplace_back();
  place.service.address = *ServiceAddr::parse(address);
  place.service.scheduler = kSchedulers[one_of(std::size(kSchedulers))];
  place.service.affinity = kAffinities[one_of(std::size(kAffinities))];
  place.service.hash_key = random_();
  // Between the hundreds of seconds that flows are left to idle.
  place.service.timeouts.established_ms = place.service.timeouts.udp_ms = 250'000;
  place.service.timeouts.sctp_ms = 50'000;
  place.salt = random_();
  place.slots = one_of(4) == 0 ? 2039 : 251;  // of another class of tables
  for (std::size_t i = one_of(4) + 1; i-- > 0;) add_member(places_.size() - 1, i);
  if (one_of(3) == 0) add_member(places_.size() - 1, kPlaces - 1);
  place.plan = SlotPlan(owners_of(place));
}

void RandomWorld::add_member(std::size_t place, std::size_t member) {
  Member& m = places_[place].members[member];
  const bool v4 = places_[place].service.address.vip.is_v4();
  const auto slot = static_cast<std::uint32_t>(place * kPlaces + member);
  m.present = true;
  m.rs = {};
  m.rs.id = make_rs_id(slot, ++m.incarnation);
  m.rs.mac = {
      {2, 0, 0, static_cast<std::uint8_t>(m.incarnation), 1, static_cast<std::uint8_t>(slot)}};
  m.rs.has_mac = one_of(12) != 0;
  m.rs.up = true;
  m.rs.weight = member == kPlaces - 1 ? 1 : 1 + one_of(3);
  m.rs.egress = static_cast<PortIndex>(one_of(2));
  m.rs.vlan = static_cast<std::uint16_t>(one_of(3) == 0 ? 1 + one_of(4094) : 0);
  m.rs.address = ip((v4 ? "10.0.0." : "fd00::") + std::to_string(slot + 1));
}

MemberBits RandomWorld::alive(const Place& place) {
  MemberBits bits;
  for (const Member& m : place.members) bits.push_back(m.present && m.rs.up);
  return bits;
}

// Who of those that take new flows is the best for a slot, by a hash of both; the sorry server when
// there is none.
std::vector<std::uint16_t> RandomWorld::owners_of(const Place& place) const {
  std::vector<std::uint16_t> owners(place.slots, LB_SLOT_NOBODY);
  const Member& sorry = place.members[kPlaces - 1];
  for (std::uint32_t slot = 0; slot < place.slots; ++slot) {
    std::uint64_t best = 0;
    for (std::uint16_t i = 0; i + 1U < kPlaces; ++i) {
      const Member& m = place.members[i];
      if (!m.present || !m.rs.up || m.rs.weight == 0) continue;
      for (std::uint32_t turn = 0; turn < m.rs.weight; ++turn) {
        const std::uint64_t score = lb_mix64(place.salt ^ (slot * 64 + i * 4 + turn + 1)) | 1;
        if (score > best) {
          best = score;
          owners[slot] = i;
        }
      }
    }
    if (best == 0 && sorry.present && sorry.rs.up) owners[slot] = kPlaces - 1;
  }
  return owners;
}

void RandomWorld::plan(Place& place) {
  const std::vector<std::uint16_t> owners = owners_of(place);
  place.plan.advance(
      {.owners = owners, .alive = alive(place), .now_s = now_s_, .window_s = kWindowS});
}

void RandomWorld::change() {
  const std::size_t at = one_of(places_.size());
  Place& place = places_[at];
  now_s_ += 1;
  switch (one_of(10)) {
    case 0: {
      const std::size_t member = one_of(kPlaces);
      if (!place.members[member].present) add_member(at, member);
      break;
    }
    case 1:
    case 2:
      change_slots(place);
      break;
    case 3: {
      // One on a port of another's range more often than others: it takes over flows.
      Place& one = one_of(2) == 0 ? places_[one_of(2) == 0 ? kInRange : kInAnyPort] : place;
      one.present = !one.present;
      if (one.present) ++one.incarnation;
      break;
    }
    case 4:
      change_around();
      break;
    default:
      change_member(place, place.members[one_of(4)]);
      break;
  }
  plan(place);
}

void RandomWorld::change_member(Place& place, Member& member) {
  if (!member.present) return;
  switch (one_of(7)) {
    case 0:
      member.present = false;
      break;
    case 1:
      member.rs.weight = 0;
      break;
    case 2:
      member.rs.weight = 1 + one_of(3);
      break;
    case 3:
      member.rs.has_mac = !member.rs.has_mac;
      break;
    case 4:
      place.salt = random_();
      break;
    default:
      member.rs.up = !member.rs.up;
      break;
  }
}

void RandomWorld::change_slots(Place& place) {
  switch (one_of(3)) {
    case 0:
      now_s_ += kWindowS + 1;
      for (Place& each : places_) each.plan.close_due(now_s_);
      break;
    case 1:
      place.plan.except_all();
      break;
    default:
      place.plan.clear_exceptions({});
      break;
  }
}

void RandomWorld::change_around() {
  switch (one_of(4)) {
    case 0:
      base_.decrement_ttl = !base_.decrement_ttl;
      break;
    case 1:
      base_.ports[one_of(2)].up = true;
      break;
    case 2:
      base_.ports[1].up = !base_.ports[1].up;
      break;
    default:
      base_.ports[one_of(2)].mtu = one_of(2) == 0 ? 600 : 1500;
      break;
  }
}

Result<std::shared_ptr<TableObject>> RandomWorld::table_of(const Place& place) {
  LB_TRY_ASSIGN(auto table, memory_.make(place.slots, kPlaces));
  place.plan.write(*table);
  table->head().members = kPlaces;
  for (std::uint32_t i = 0; i < kPlaces; ++i) {
    const Member& m = place.members[i];
    if (!m.present) continue;
    const EgressPort& port = base_.ports[raw(m.rs.egress)];
    lb_rs_entry& entry = table->members()[i];
    entry.place = i + 1;
    std::ranges::copy(m.rs.mac.bytes, entry.macs);
    std::ranges::copy(port.mac.bytes, entry.macs + 6);
    entry.vlan = m.rs.vlan;
    entry.egress = raw(m.rs.egress);
    entry.mtu = static_cast<std::uint16_t>(port.mtu);
    entry.flags = static_cast<std::uint16_t>(
        (m.rs.up ? LB_RS_UP : 0U) | (m.rs.weight == 0 ? LB_RS_DRAINS : 0U) |
        (m.rs.has_mac ? LB_RS_HAS_MAC : 0U) | (port.up ? LB_RS_EGRESS_UP : 0U));
  }
  return table;
}

Result<ServiceTableSpec> RandomWorld::spec() {
  ServiceTableSpec spec = base_;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const Place& place = places_[i];
    if (!place.present) continue;
    Service service = place.service;
    service.id = make_service_id(static_cast<std::uint32_t>(i), place.incarnation);
    service.rs_first = static_cast<std::uint32_t>(spec.real_servers.size());
    for (std::size_t m = 0; m + 1 < kPlaces; ++m) {
      if (place.members[m].present) spec.real_servers.push_back(place.members[m].rs);
    }
    service.rs_count = static_cast<std::uint32_t>(spec.real_servers.size()) - service.rs_first;
    if (place.members[kPlaces - 1].present) {
      service.sorry = static_cast<std::uint32_t>(spec.real_servers.size());
      spec.real_servers.push_back(place.members[kPlaces - 1].rs);
    }
    LB_TRY_ASSIGN(service.table, table_of(place));
    for (const Member& m : place.members) {
      service.members.push_back(m.present ? m.rs.id : RsId::None);
    }
    spec.services.push_back(std::move(service));
  }
  return spec;
}

std::vector<ServiceAddr> RandomWorld::addresses() const {
  std::vector<ServiceAddr> out;
  for (const Place& place : places_) out.push_back(place.service.address);
  return out;
}

}  // namespace lb::test
