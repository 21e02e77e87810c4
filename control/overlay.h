// SPDX-License-Identifier: Apache-2.0
// Overlay: the run-time changes over the config file, as the state file keeps them. Each entry
// remembers what the file said of the same thing when the change was made (its basis), so that a
// later edit of the file wins over it. Plain data and pure functions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/desired.h"
#include "control/settings.h"

namespace lb {

/// A change to one RS: added, removed, drained or set.
struct OverlayRs {
  std::optional<RsPatch> basis;  ///< what the file said; nullopt: the file did not have it
  bool removed = false;
  bool draining = false;
  std::uint64_t drain_deadline_ms = 0;  ///< as RsEntry's
  RsPatch patch;
  friend bool operator==(const OverlayRs&, const OverlayRs&) = default;
};

/// An access list that was changed, as a whole: kept apart from the rest (AclJournal).
struct OverlayAcl {
  std::uint64_t basis = 0;  ///< Acl::digest() of what the file said
  Acl list;
  friend bool operator==(const OverlayAcl&, const OverlayAcl&) = default;
};

/// A change to one service (if `touched`), and to its real servers.
struct OverlayService {
  bool touched = false;  ///< added, removed or set; else only real servers were changed
  bool removed = false;
  std::optional<ServicePatch> basis;  ///< without the settings of the VIP
  ServicePatch patch;
  std::map<IpAddr, OverlayRs> real_servers;
  std::optional<OverlayAcl> acl;
  friend bool operator==(const OverlayService&, const OverlayService&) = default;
};

/// A change to the three settings that all services of a VIP share.
struct OverlayVip {
  ServicePatch basis, patch;
  friend bool operator==(const OverlayVip&, const OverlayVip&) = default;
};

struct Overlay {
  std::map<ServiceAddr, OverlayService> services;
  std::map<IpAddr, OverlayVip> vips;
  friend bool operator==(const Overlay&, const Overlay&) = default;
};

/// The services of the config file as it was last loaded.
using FileServices = std::vector<ConfigService>;

/// How `running` differs from `file`.
[[nodiscard]] Overlay make_overlay(const FileServices& file, const ServiceMap& running);

/// `file` with `overlay` laid over it: the desired state, without ids and health. An entry whose
/// basis is no longer what the file says, or that cannot be (a clash, a full table), is left out
/// with a sentence in `dropped`. Errors: the file alone is refused.
[[nodiscard]] Result<ServiceMap> lay_over(const FileServices& file, const Overlay& overlay,
                                          const RegistryLimits& limits,
                                          std::vector<std::string>& dropped);

/// The last known health of checked real servers (Up or Down).
using HealthMemory = std::map<ServiceAddr, std::map<IpAddr, Health>>;

}  // namespace lb
