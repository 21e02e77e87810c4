// SPDX-License-Identifier: Apache-2.0
// Config: lbd.toml as a value, parsed and checked whole. An error names file:line:column, the key,
// what was wrong and what to do, one line each, all of them at once. Any thread; nothing is touched
// but the file.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/settings.h"
#include "dataplane/base/result.h"
#include "dataplane/dataplane.h"

namespace lb {

struct ControlConfig {
  std::string socket = "/run/sluice/lbd.sock";
  std::string state = "/var/lib/sluice/state.json";
  std::string log_level = "info";  ///< debug, info, warn, error
  friend bool operator==(const ControlConfig&, const ControlConfig&) = default;
};

/// What the file says of a real server and a service: only the keys it has.
struct ConfigRealServer {
  IpAddr address;
  RsPatch settings;
  friend bool operator==(const ConfigRealServer&, const ConfigRealServer&) = default;
};
struct ConfigService {
  ServiceAddr address;
  ServicePatch settings;
  std::vector<ConfigRealServer> real_servers;
  Acl acl;
  friend bool operator==(const ConfigService&, const ConfigService&) = default;
};

/// The keys that a parse asked for and those that the text had, as paths:
/// "service.health.interval".
struct ConfigKeys {
  std::set<std::string> known, present;
};

struct Config {
  ControlConfig control;
  DataplaneConfig dataplane;  ///< replace_foreign is lbd's option, not a key
  bool decrement_ttl =
      true;  ///< [dataplane] decrement_ttl; the one key there that a reload changes
  std::vector<ConfigService> services;

  /// `filename` only names the text in messages. Checks all that can be checked without the
  /// machine: interfaces are not looked up. Durations are strings with a unit: "200ms", "5s",
  /// "15m", "1h". Errors: Refusal::BadConfig.
  [[nodiscard]] static Result<Config> parse(std::string_view text, const std::string& filename,
                                            ConfigKeys* keys = nullptr);
  /// Reads and parses a file of at most 16 MiB.
  [[nodiscard]] static Result<Config> load(const std::string& path);

  /// The names of the ports, by PortIndex.
  [[nodiscard]] std::vector<std::string> port_names() const;
  [[nodiscard]] std::size_t real_server_count() const;
};

/// The keys of [control], [dataplane] and [[port]] that differ and cannot change while lbd runs
/// (all but log_level and decrement_ttl), with both values: "dataplane.batch (256 -> 32)". Empty:
/// none.
[[nodiscard]] std::vector<std::string> restart_only_changes(const Config& running,
                                                            const Config& next);

}  // namespace lb
