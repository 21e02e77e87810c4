// SPDX-License-Identifier: Apache-2.0
// Names the members of tables that a test has made: the real servers of the service in the order of
// the spec, then its sorry server, as far as the table has members.
#pragma once

#include <cstdint>

#include "dataplane/table/service_table.h"

namespace lb::test {

inline void name_members(const ServiceTableSpec& spec, Service& service) {
  service.members.clear();
  if (!service.table) return;
  for (std::uint32_t i = 0; i < service.rs_count; ++i) {
    service.members.push_back(spec.real_servers.at(service.rs_first + i).id);
  }
  if (service.sorry != Service::kNoSorry) {
    service.members.push_back(spec.real_servers.at(service.sorry).id);
  }
  service.members.resize(service.table->head().members);
}

}  // namespace lb::test
