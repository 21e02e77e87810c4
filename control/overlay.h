// SPDX-License-Identifier: Apache-2.0
// Overlay: the run-time changes over the config file, as the state file keeps them. Each entry
// remembers what the file said of the same thing when the change was made (its basis), so that a
// later edit of the file wins over it.
#pragma once

#include <map>
#include <optional>

#include "control/settings.h"

namespace lb {

/// A change to one RS: added, removed, drained or set.
struct OverlayRs {
  std::optional<RsPatch> basis;  ///< what the file said; nullopt: the file did not have it
  bool removed = false;
  bool draining = false;
  RsPatch patch;
  friend bool operator==(const OverlayRs&, const OverlayRs&) = default;
};

/// A change to one service (if `touched`), and to its real servers.
struct OverlayService {
  bool touched = false;  ///< added, removed or set; else only real servers were changed
  std::optional<ServicePatch> basis;
  bool removed = false;
  ServicePatch patch;
  std::map<IpAddr, OverlayRs> real_servers;
  friend bool operator==(const OverlayService&, const OverlayService&) = default;
};
using Overlay = std::map<ServiceAddr, OverlayService>;

/// The last known health of checked real servers (Up or Down).
using HealthMemory = std::map<ServiceAddr, std::map<IpAddr, Health>>;

}  // namespace lb
