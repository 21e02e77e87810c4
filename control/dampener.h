// SPDX-License-Identifier: Apache-2.0
// Dampener: from single check results to up and down, so that one lost packet moves no traffic.
// Pure: time is passed in. The first result after "unknown" decides at once; after that `fall`
// failures in a row take an RS down and `rise` passes in a row take it up again.
#pragma once

#include <cstdint>

#include "control/settings.h"

namespace lb {

class Dampener {
 public:
  Dampener(std::uint32_t rise, std::uint32_t fall, Health initial = Health::Unknown)
      : rise_(rise), fall_(fall), health_(initial) {}

  /// Takes one result; true when health() changed by it.
  bool result(bool passed, std::uint64_t now_ms);
  /// New counts from the next result on; the health and the row so far stay.
  void configure(std::uint32_t rise, std::uint32_t fall);

  [[nodiscard]] Health health() const { return health_; }
  /// Results in a row that speak against health().
  [[nodiscard]] std::uint32_t streak() const { return streak_; }
  /// When health() last changed; 0: never.
  [[nodiscard]] std::uint64_t changed_ms() const { return changed_ms_; }

 private:
  std::uint32_t rise_, fall_;
  Health health_;
  std::uint32_t streak_ = 0;
  std::uint64_t changed_ms_ = 0;
};

}  // namespace lb
