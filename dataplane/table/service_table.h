// SPDX-License-Identifier: Apache-2.0
// ServiceTable: one immutable generation of everything the packet path decides by: services, real
// servers, MAC addresses, tables of slots. Control builds it (TableBuilder), publishes the pointer
// (Snapshots), workers read it without locks. A slot is an index that control gives to a service or
// RS for as long as it exists; an id is slot + incarnation, so a stale id in a flow entry never
// names another RS.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"
#include "dataplane/packet/flow_key.h"
#include "dataplane/table/acl.h"
#include "dataplane/table/service_index.h"
#include "dataplane/table/table_object.h"

namespace lb {

inline constexpr std::uint32_t kSlotBits = 16;
inline constexpr std::uint32_t kServicesLimit = 1U << kSlotBits;
inline constexpr std::uint32_t kRsLimit = 1U << kSlotBits;
[[nodiscard]] constexpr std::uint32_t slot_of(RsId id) noexcept { return raw(id) & (kRsLimit - 1); }
[[nodiscard]] constexpr std::uint32_t slot_of(ServiceId id) noexcept {
  return raw(id) & (kServicesLimit - 1);
}
/// Incarnations count from 1, so that id 0 is none.
[[nodiscard]] constexpr RsId make_rs_id(std::uint32_t slot, std::uint16_t incarnation) noexcept {
  return static_cast<RsId>(slot | static_cast<std::uint32_t>(incarnation) << kSlotBits);
}
[[nodiscard]] constexpr ServiceId make_service_id(std::uint32_t slot,
                                                  std::uint16_t incarnation) noexcept {
  return static_cast<ServiceId>(slot | static_cast<std::uint32_t>(incarnation) << kSlotBits);
}

/// The schedulers of LVS, by their LVS names; their meanings stand in scheduler.h.
enum class Scheduler : std::uint8_t { Rr, Wrr, Lc, Wlc, Sed, Nq, Sh, Dh, Mh, Fo, Ovf, Twos };
[[nodiscard]] std::string_view scheduler_name(Scheduler scheduler);
[[nodiscard]] Result<Scheduler> parse_scheduler(std::string_view name);
/// sh, dh, mh: the pick is a function of the packet and the table alone.
[[nodiscard]] constexpr bool is_hashed(Scheduler s) noexcept {
  return s == Scheduler::Sh || s == Scheduler::Dh || s == Scheduler::Mh;
}

/// Connection timeouts in milliseconds; the defaults are those of LVS.
struct Timeouts {  // in the order of FlowState: timeout_ms() indexes it
  std::uint32_t none_ms = 2'000;
  std::uint32_t established_ms = 900'000;
  std::uint32_t syn_sent_ms = 120'000;
  std::uint32_t syn_recv_ms = 60'000;
  std::uint32_t fin_wait_ms = 120'000;
  std::uint32_t time_wait_ms = 120'000;
  std::uint32_t close_ms = 10'000;
  std::uint32_t close_wait_ms = 60'000;
  std::uint32_t last_ack_ms = 30'000;
  std::uint32_t listen_ms = 120'000;
  std::uint32_t synack_ms = 120'000;
  std::uint32_t udp_ms = 300'000;
  std::uint32_t sctp_ms = 900'000;
};

/// One cycle of a service's weights, in units of their greatest common divisor.
struct WrrPlan {
  std::uint32_t unit = 1;
  std::uint32_t cycle = 0;   ///< sum of the candidates' weights / unit; 0: there is no candidate
  std::uint32_t stride = 1;  ///< coprime to cycle
};

/// REQUIRES of the builder: `mac` is unicast and not zero when has_mac.
struct RealServer {
  // Hot:
  RsId id = RsId::None;
  MacAddr mac;
  bool has_mac = false;
  /// Healthy, or no check is configured: its flows are forwarded. A flow of an RS that is not up is
  /// unknown.
  bool up = false;
  std::uint32_t weight = 0;  ///< 0: existing flows go on, new ones go elsewhere (drain)
  PortIndex egress{};
  std::uint16_t vlan = 0;  ///< VLAN id 1..4094 that the RS is behind; 0: untagged
  // Cold:
  IpAddr address;
};

/// Which flows without a SYN (UDP, SCTP) of a hashed service are remembered.
enum class Affinity : std::uint8_t {
  Transition,  ///< those that meet a slot whose owner has changed: they stay where they are
  Always,      ///< every flow, from its first packet
  None,        ///< none: the owner of the slot takes the packet
};

struct Service {
  // Hot:
  ServiceId id = ServiceId::None;
  Affinity affinity = Affinity::Transition;
  Scheduler scheduler = Scheduler::Wrr;
  std::uint32_t rs_first = 0;  ///< index into ServiceTable::real_servers()
  std::uint32_t rs_count = 0;
  std::uint32_t sorry =
      kNoSorry;  ///< index of the sorry RS into real_servers(), outside of the range above
  std::uint64_t hash_key = 0;  ///< secret of lb_hash_slot()
  /// Slots, owners and transitions; the members are the real servers and the sorry server. Shared
  /// by the generations in which it does not change. Null: there is no member.
  std::shared_ptr<const TableObject> table;
  /// Who the members of `table` are, by their index; None: there is no member. Services may share a
  /// table, each with real servers of its own.
  std::vector<RsId> members;
  /// Flows a window (LB_RATE_WINDOW_MS) and worker that are remembered at most; 0: no limit.
  std::uint16_t flow_rate = 0;
  WrrPlan wrr;  ///< filled by ServiceTable::build from the real servers that are up
  Timeouts timeouts;
  // Cold:
  ServiceAddr address;
  Acl acl;  ///< asked by the XDP program: what comes to a worker may pass
  static constexpr std::uint32_t kNoSorry = 0xffffffff;
};

struct VipPolicy {
  IpAddr address;
  bool pass_unmatched = false;
  bool echo_reply = true;
};

struct EgressPort {
  MacAddr mac;
  std::uint32_t mtu = 1500;
  bool up = true;
};

/// What control hands to ServiceTable::build, in any order.
struct ServiceTableSpec {
  std::vector<VipPolicy> vips;
  std::vector<Service> services;  ///< rs_first, rs_count, sorry point into real_servers
  std::vector<RealServer> real_servers;
  std::vector<EgressPort> ports;  ///< indexed by PortIndex
  lb_hash_key flow_key{};         ///< secret of the flow hash; the same for the life of an instance
  bool decrement_ttl = true;
};

class ServiceTable {
 public:
  /// Checks the spec (service_check.h: every index in range, each service's VIP in `vips`, no two
  /// services on one address, protocol and port, except that an exact port goes before a range and
  /// a range before any-port; at most LB_PORT_RANGES_MAX ranges beside any-port) and builds the
  /// lookup structures. Errors: EINVAL, EEXIST, E2BIG with the service named.
  [[nodiscard]] static Result<std::unique_ptr<ServiceTable>> build(ServiceTableSpec spec);

  /// Given by Snapshots::publish.
  Generation generation = Generation::None;

  [[nodiscard]] bool is_vip(const IpAddr& address) const noexcept {
    return vip(address) != nullptr;
  }
  [[nodiscard]] const VipPolicy* vip(const IpAddr& address) const noexcept;
  /// Whether the client of a flow is a VIP, which none may be. Nearly always one look at one bit.
  [[nodiscard]] bool client_is_vip(const FlowKey4& key) const noexcept {
    return may_be_vip(key.client.raw(), 0) && is_vip(IpAddr::v4(key.client));
  }
  [[nodiscard]] bool client_is_vip(const FlowKey6& key) const noexcept {
    return may_be_vip(key.client[0], key.client[1]) && is_vip(IpAddr::v6(key.client));
  }
  /// The service that takes packets with this VIP, VIP port and protocol, or null.
  [[nodiscard]] const Service* find(const FlowKey4& key) const noexcept {
    const std::uint32_t i = exact4_.find(ExactIndex4::key_of(key.vip, key.proto, key.vip_port));
    return i != kNone ? &services_[i] : find_in_ranges(key);
  }
  [[nodiscard]] const Service* find(const FlowKey6& key) const noexcept {
    const std::uint32_t i = index_.find(
        ServiceIndex::key_v6(key.vip, ServiceIndex::Kind::Exact, key.proto, key.vip_port));
    return i != kNone ? &services_[i] : find_in_ranges(key);
  }
  /// The RS that `id` names if this generation has it, else null.
  [[nodiscard]] const RealServer* rs(RsId id) const noexcept {
    std::uint32_t slot = slot_of(id);
    if (slot >= rs_by_slot_.size()) return nullptr;
    std::uint32_t index = rs_by_slot_[slot];
    if (index == kNone || real_servers_[index].id != id) return nullptr;
    return &real_servers_[index];
  }
  [[nodiscard]] const Service* service(ServiceId id) const noexcept {
    const std::uint32_t slot = slot_of(id);
    if (slot >= service_by_slot_.size()) return nullptr;
    const std::uint32_t index = service_by_slot_[slot];
    if (index == kNone || services_[index].id != id) return nullptr;
    return &services_[index];
  }
  [[nodiscard]] std::span<const RealServer> real_servers() const noexcept { return real_servers_; }
  [[nodiscard]] std::span<const RealServer> real_servers(const Service& s) const noexcept {
    return std::span(real_servers_).subspan(s.rs_first, s.rs_count);
  }
  /// The RS that is this member of the service's table, else null.
  [[nodiscard]] const RealServer* member(const Service& s, std::uint32_t index) const noexcept {
    return index < s.members.size() ? rs(s.members[index]) : nullptr;
  }
  [[nodiscard]] std::span<const Service> services() const noexcept { return services_; }
  [[nodiscard]] std::span<const VipPolicy> vips() const noexcept { return vips_; }
  [[nodiscard]] const EgressPort& port(PortIndex index) const noexcept {
    return ports_[raw(index)];
  }
  [[nodiscard]] std::span<const EgressPort> ports() const noexcept { return ports_; }
  [[nodiscard]] const lb_hash_key& flow_key() const noexcept { return flow_key_; }
  [[nodiscard]] bool decrement_ttl() const noexcept { return decrement_ttl_; }
  /// LB_VIP_* of vips()[index].
  [[nodiscard]] std::uint32_t vip_flags(std::size_t index) const noexcept {
    return vip_flags_[index];
  }
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  static constexpr std::uint32_t kNone = ServiceIndex::kNone;
  struct PortRange {
    std::uint16_t first, last;  // inclusive
    std::uint32_t service;      // index into services_
    [[nodiscard]] bool is_any_port() const { return first == 1 && last == 65535; }
  };
  /// The ranges of one VIP and protocol: any-port last.
  struct PortGroup {
    std::uint32_t first, count;  // into ranges_
  };
  ServiceTable() = default;
  void build_index();
  void add_exact(const ServiceAddr& address, std::uint32_t service);
  void build_bloom();
  void plan_weights();
  void plan_vips();
  [[nodiscard]] bool may_be_vip(std::uint64_t addr0, std::uint64_t addr1) const noexcept {
    const std::uint32_t bit = lb_bloom_bit(addr0, addr1);
    return (vip_bloom_[bit / 64] >> (bit % 64) & 1) != 0;
  }
  [[nodiscard]] const Service* find_in_ranges(const FlowKey4& key) const noexcept;
  [[nodiscard]] const Service* find_in_ranges(const FlowKey6& key) const noexcept;
  [[nodiscard]] const Service* find_range(std::uint32_t group, std::uint16_t port) const noexcept;

  ServiceIndex index_;
  ExactIndex4 exact4_;
  std::array<std::uint64_t, LB_BLOOM_WORDS> vip_bloom_{};  // bit lb_bloom_bit(address) of each VIP
  std::vector<Service> services_;
  std::vector<RealServer> real_servers_;
  std::vector<VipPolicy> vips_;
  std::vector<std::uint32_t> vip_flags_;
  std::vector<EgressPort> ports_;
  std::vector<PortGroup> groups_;
  std::vector<PortRange> ranges_;
  std::vector<std::uint32_t> rs_by_slot_, service_by_slot_;
  lb_hash_key flow_key_{};
  bool decrement_ttl_ = true;
};

}  // namespace lb
