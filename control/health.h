// SPDX-License-Identifier: Apache-2.0
// HealthChecker: connects to real servers over TCP, each on its own interval, and reports single
// results. Services that check the same RS and port alike share one check. What results mean is the
// Dampener's matter (HealthBook). Director's thread; never blocks.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "dataplane/base/addr.h"

namespace boost::asio {
class io_context;
}

namespace lb {

/// One check; equal ones are made once.
struct CheckTarget {
  IpAddr address;
  std::uint16_t port = 0;
  std::uint32_t interval_ms = 2000;
  std::uint32_t timeout_ms = 1000;
  friend auto operator<=>(const CheckTarget&, const CheckTarget&) = default;
};

class HealthChecker {
 public:
  /// `reason` says in words why a check failed, empty when it passed.
  using Report = std::function<void(const CheckTarget&, bool passed, const std::string& reason)>;
  HealthChecker(boost::asio::io_context& io, Report report);
  ~HealthChecker();
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;

  /// Checks exactly these from now on. A new one is checked within 100 ms, then every interval,
  /// give or take a tenth so that checks do not march in step. One that is gone reports nothing any
  /// more.
  void set_targets(const std::set<CheckTarget>& targets);
  [[nodiscard]] std::size_t size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lb
