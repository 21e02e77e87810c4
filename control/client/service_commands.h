// SPDX-License-Identifier: Apache-2.0
// add-vip, set-vip, del-vip, add-rs, set-rs, del-rs: options as given, turned into one API call
// each. What a value may be is lbd's to say; here only its shape on the command line is checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/client/session.h"

namespace lb::client {

/// Settings of a service; what is absent is left to lbd (add) or as it is (set).
struct VipOptions {
  std::string address;
  std::optional<std::string> name, scheduler, vip_owner, vip_unmatched, icmp_echo;
  std::optional<std::uint64_t> mh_slots, flow_rate;
  std::optional<std::string> transition;  ///< a duration
  std::optional<std::string> affinity;    ///< "transition", "always" or "none"
  std::optional<std::string> sorry;       ///< an address, or "none"
  std::optional<std::string> sorry_mac;
  std::optional<std::uint64_t> sorry_vlan;
  std::optional<std::string> health;  ///< "tcp" or "none"
  std::optional<std::uint64_t> health_port, health_rise, health_fall;
  std::optional<std::string> health_interval, health_timeout;  ///< durations
  std::vector<std::string> timeouts;                           ///< NAME=DURATION
};

struct RsOptions {
  std::string service, address;
  std::optional<std::uint64_t> weight, vlan;
  std::optional<std::string> mac;    ///< or "auto"
  std::optional<std::string> port;   ///< interface, or "auto"
  std::optional<std::string> state;  ///< up, down, auto (set-rs only)
};

/// The body of POST/PATCH for these options; an error when a duration or NAME=DURATION is
/// malformed.
[[nodiscard]] Result<JsonObject> vip_body(const VipOptions& options);
[[nodiscard]] JsonObject rs_body(const RsOptions& options);

ExitCode add_vip(Session& session, const VipOptions& options);
ExitCode set_vip(Session& session, const VipOptions& options);
/// At once, living flows or not; says how many were cut.
ExitCode del_vip(Session& session, const std::string& address);
ExitCode add_rs(Session& session, const RsOptions& options);
ExitCode set_rs(Session& session, const RsOptions& options);
ExitCode del_rs(Session& session, const RsOptions& options);

}  // namespace lb::client
