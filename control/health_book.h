// SPDX-License-Identifier: Apache-2.0
// HealthBook: which checks the registry asks for, and what their results mean for it: one Dampener
// per real server of a service. Between HealthChecker and Registry; no I/O. Director's thread.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "control/dampener.h"
#include "control/health.h"
#include "control/registry.h"

namespace lb {

class HealthBook {
 public:
  /// True when the kernel can connect to a real server behind a VLAN tag (it has a device for it).
  using Reaches = std::function<bool(const IpAddr&)>;
  explicit HealthBook(Reaches reaches) : reaches_(std::move(reaches)) {}

  /// Follows the registry; returns the checks to be made. RS that cannot be checked (a VLAN tag
  /// without a kernel device, a service without a port to connect to) are set to Health::Off with
  /// the reason.
  std::set<CheckTarget> follow(Registry& registry, std::uint64_t now_ms);
  /// Takes a result for every RS that shares the check. True when the registry changed by it.
  bool result(Registry& registry, const CheckTarget& target, bool passed, const std::string& reason,
              std::uint64_t now_ms);

 private:
  struct Watched {
    CheckTarget target;
    Dampener dampener;
  };
  Reaches reaches_;
  std::map<RsId, Watched> watched_;
  std::multimap<CheckTarget, RsId> by_target_;
};

}  // namespace lb
