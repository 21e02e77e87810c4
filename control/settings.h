// SPDX-License-Identifier: Apache-2.0
// Settings of services and real servers: one form for the config file, the API, the state file and
// the registry. A *Settings is whole; a *Patch holds what somebody said (absent: not said). Plain
// values, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bpf/lb_abi.h"
#include "dataplane/base/addr.h"
#include "dataplane/table/maglev.h"
#include "dataplane/table/service_table.h"

namespace lb {

enum class HealthType : std::uint8_t { None, Tcp };
/// Who puts the VIP on the port: lbd, or the operator (keepalived, a script).
enum class VipOwner : std::uint8_t { Lbd, External };
/// What becomes of packets to a VIP that no service takes.
enum class Unmatched : std::uint8_t { Drop, Pass };
enum class IcmpEcho : std::uint8_t { Reply, Pass };
/// By hand: Up and Down win over the checks, Auto follows them.
enum class ManualState : std::uint8_t { Auto, Up, Down };
/// What the checks say. Unknown: no check has ended yet; Off: none is configured.
enum class Health : std::uint8_t { Unknown, Up, Down, Off };
/// Where a service or RS came from: the config file, or the API.
enum class Origin : std::uint8_t { Config, Runtime };

/// The words of config, API and tables: "none", "tcp", "lbd", "external", "drop", ...
[[nodiscard]] std::string_view name_of(HealthType type);
[[nodiscard]] std::string_view name_of(VipOwner owner);
[[nodiscard]] std::string_view name_of(Unmatched unmatched);
[[nodiscard]] std::string_view name_of(IcmpEcho echo);
[[nodiscard]] std::string_view name_of(ManualState state);
[[nodiscard]] std::string_view name_of(Health health);
[[nodiscard]] std::string_view name_of(Origin origin);
[[nodiscard]] std::string_view name_of(Affinity affinity);

inline constexpr std::uint32_t kWeightMax = 65535;
inline constexpr std::uint16_t kVlanMax = 4094;
inline constexpr std::size_t kNameMax = 64;  ///< bytes of a service's name
inline constexpr std::uint32_t kTransitionDefaultMs = 900'000;
inline constexpr std::uint32_t kFlowRateMax = 10'000'000;

struct HealthSettings {
  HealthType type = HealthType::Tcp;
  std::uint16_t port = 0;  ///< 0: the service's port (the first one of a range)
  std::uint32_t interval_ms = 2'000;
  std::uint32_t timeout_ms = 1'000;
  std::uint32_t rise = 2;  ///< passed checks in a row until a down RS is up
  std::uint32_t fall = 2;  ///< failed checks in a row until an up RS is down
  friend bool operator==(const HealthSettings&, const HealthSettings&) = default;
};

/// Takes the new flows of a service none of whose real servers is up. It is not checked.
struct SorrySettings {
  IpAddr address;
  std::optional<MacAddr> mac;  ///< manual; else resolved
  std::uint16_t vlan = 0;
  friend bool operator==(const SorrySettings&, const SorrySettings&) = default;
};

/// A timeout by its name in config ("established"; the API appends "_ms").
struct TimeoutField {
  std::string_view name;
  std::uint32_t Timeouts::* member;
};
inline constexpr std::size_t kTimeoutFields = 13;
extern const std::array<TimeoutField, kTimeoutFields> kTimeouts;

struct ServiceSettings {
  std::string name;  ///< free text for tables; empty: none
  Scheduler scheduler = Scheduler::Wrr;
  std::uint32_t mh_slots =
      kMaglevSlotsDefault;  ///< slots of the lookup array of mh, sh, dh: a prime
  /// How long a slot whose owner changed stays open; 0: transition_window_ms() chooses.
  std::uint32_t transition_ms = 0;
  Affinity affinity = Affinity::Transition;
  std::uint32_t flow_rate = 100'000;  ///< new flows a second and worker that are remembered; 0: all
  // The next three are of the VIP: all its services share them.
  VipOwner vip_owner = VipOwner::Lbd;
  Unmatched vip_unmatched = Unmatched::Drop;
  IcmpEcho icmp_echo = IcmpEcho::Reply;
  std::optional<SorrySettings> sorry;
  HealthSettings health;
  Timeouts timeouts;

  /// The defaults of a service at `address`: TCP services on a port or range are checked, others
  /// are not.
  [[nodiscard]] static ServiceSettings defaults(const ServiceAddr& address);
};
[[nodiscard]] bool operator==(const ServiceSettings& a, const ServiceSettings& b);

struct HealthPatch {
  std::optional<HealthType> type;
  std::optional<std::uint16_t> port;
  std::optional<std::uint32_t> interval_ms, timeout_ms, rise, fall;
  friend bool operator==(const HealthPatch&, const HealthPatch&) = default;
};

struct ServicePatch {
  std::optional<std::string> name;
  std::optional<Scheduler> scheduler;
  std::optional<std::uint32_t> mh_slots, transition_ms, flow_rate;
  std::optional<Affinity> affinity;
  std::optional<VipOwner> vip_owner;
  std::optional<Unmatched> vip_unmatched;
  std::optional<IcmpEcho> icmp_echo;
  std::optional<std::optional<SorrySettings>> sorry;  ///< inner nullopt: take it away
  HealthPatch health;
  std::array<std::optional<std::uint32_t>, kTimeoutFields> timeouts;  ///< in the order of kTimeouts
  friend bool operator==(const ServicePatch&, const ServicePatch&) = default;

  void apply_to(ServiceSettings& settings) const;
  /// Lays `newer` over this patch.
  void merge(const ServicePatch& newer);
  /// What must be said to turn `from` into `to`.
  [[nodiscard]] static ServicePatch between(const ServiceSettings& from, const ServiceSettings& to);
  /// Says every setting.
  [[nodiscard]] static ServicePatch all_of(const ServiceSettings& settings);
};

struct RsSettings {
  std::uint32_t weight = 1;    ///< 0: existing flows go on, new ones go elsewhere
  std::optional<MacAddr> mac;  ///< manual; else resolved
  std::uint16_t vlan = 0;      ///< 1..4094: behind that tag; 0: untagged
  std::string port;            ///< egress interface; empty: the one on the RS's network
  ManualState state = ManualState::Auto;
  friend bool operator==(const RsSettings&, const RsSettings&) = default;
};

struct RsPatch {
  std::optional<std::uint32_t> weight;
  std::optional<std::optional<MacAddr>> mac;  ///< inner nullopt: automatic
  std::optional<std::uint16_t> vlan;
  std::optional<std::string> port;  ///< empty: automatic
  std::optional<ManualState> state;
  friend bool operator==(const RsPatch&, const RsPatch&) = default;

  void apply_to(RsSettings& settings) const;
  void merge(const RsPatch& newer);
  [[nodiscard]] static RsPatch between(const RsSettings& from, const RsSettings& to);
  [[nodiscard]] static RsPatch all_of(const RsSettings& settings);
};

/// The idle timeout of a service's flows in their long state, by its name among kTimeouts.
struct IdleTimeout {
  std::string_view name;  ///< "established", "udp" or "sctp"
  std::uint32_t ms = 0;
};
[[nodiscard]] IdleTimeout idle_timeout_of(const ServiceAddr& service, const Timeouts& timeouts);

/// How long a slot of this service stays open once its owner has changed: what was said, else 15
/// minutes, or the idle timeout of its flows where that is longer.
[[nodiscard]] std::uint32_t transition_window_ms(const ServiceAddr& service,
                                                 const ServiceSettings& settings);

/// Service::flow_rate of a setting in flows a second: flows a window of LB_RATE_WINDOW_MS, rounded
/// up, so that a limit is never none; 65535, a million a second, stands for all that is above.
[[nodiscard]] constexpr std::uint16_t flow_rate_in_window(std::uint32_t per_second) noexcept {
  std::uint64_t flows = (std::uint64_t{per_second} * LB_RATE_WINDOW_MS + 999) / 1000;
  return static_cast<std::uint16_t>(flows < 0xffff ? flows : 0xffff);
}

/// Its flows are not remembered while no real server comes, goes or changes its weight: there are
/// no counts of living flows.
[[nodiscard]] bool is_stateless(const ServiceAddr& service, const ServiceSettings& settings);

/// The port that a check connects to: the configured one, else the service's (the first of a
/// range). 0: none.
[[nodiscard]] std::uint16_t check_port(const ServiceAddr& service, const HealthSettings& health);

}  // namespace lb
