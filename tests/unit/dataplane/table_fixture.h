// SPDX-License-Identifier: Apache-2.0
// Specs for tests of ServiceTable and of what reads it: one line a service, one a real server.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <vector>

#include "dataplane/table/service_table.h"

namespace lb {

/// Grows a ServiceTableSpec. VIPs, ids and one port come by themselves.
class SpecBuilder {
 public:
  SpecBuilder() {
    spec.flow_key = {0x1111222233334444, 0x5555666677778888};
    spec.ports.push_back({.mac = *MacAddr::parse("02:00:00:00:00:01")});
  }
  Service& service(std::string_view address, Scheduler scheduler = Scheduler::Wrr) {
    Service service;
    service.address = *ServiceAddr::parse(address);
    service.id = make_service_id(static_cast<std::uint32_t>(spec.services.size()), 1);
    service.scheduler = scheduler;
    service.hash_key = 0x9999aaaabbbbcccc;
    service.rs_first = static_cast<std::uint32_t>(spec.real_servers.size());
    bool known = false;
    for (const VipPolicy& vip : spec.vips) known |= vip.address == service.address.vip;
    if (!known) spec.vips.push_back({.address = service.address.vip});
    spec.services.push_back(service);
    return spec.services.back();
  }
  /// Of the service added last.
  RealServer& rs(std::string_view address, std::uint32_t weight = 1) {
    RealServer rs;
    rs.address = *IpAddr::parse(address);
    rs.id = make_rs_id(static_cast<std::uint32_t>(spec.real_servers.size()), 1);
    rs.mac = *MacAddr::parse("02:00:00:00:00:02");
    rs.has_mac = rs.up = true;
    rs.weight = weight;
    spec.real_servers.push_back(rs);
    ++spec.services.back().rs_count;
    return spec.real_servers.back();
  }
  std::unique_ptr<ServiceTable> build() const {
    auto table = ServiceTable::build(spec);
    EXPECT_TRUE(table) << table.error().message;
    return table ? std::move(*table) : nullptr;
  }

  ServiceTableSpec spec;
};

}  // namespace lb
