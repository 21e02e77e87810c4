// SPDX-License-Identifier: Apache-2.0
#include "control/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <numeric>
#include <string_view>

#include "control/desired.h"
#include "control/table_keeper.h"
#include "dataplane/base/units.h"
#include "dataplane/counters.h"
#include "dataplane/io/sizing.h"
#include "dataplane/table/flow_table.h"
#include "dataplane/table/kernel_index.h"
#include "dataplane/table/service_table.h"

namespace lb {
namespace {

constexpr std::uint64_t kFragmentBytes = 64;
constexpr std::uint64_t kDescriptorBytes = 16;  // RX and TX
constexpr std::uint64_t kFrameBytes = 8;        // FILL and COMPLETION

std::uint64_t ring_bytes(const RingSizes& sizes) {
  return std::uint64_t{sizes.rx + sizes.tx} * kDescriptorBytes +
         std::uint64_t{sizes.fill + sizes.completion} * kFrameBytes;
}

constexpr std::uint64_t kIndexCopies = 3;          // in force, the one that comes, and lbd's own
constexpr std::uint64_t kLookupSlotBytes = 2 * 6;  // LB_TABLE_BYTES; twice: see memory_plan.h

/// A table as an inner map has it.
std::uint64_t table_bytes(std::uint32_t slots, std::uint32_t members) {
  const std::uint32_t fits = table_class_for(slots, members);
  return fits != kTableClassNone ? kTableRooms[fits].bytes() : TableRoom{slots, members}.bytes();
}

/// What the table of a service follows from, as text: the same text, one table (SharedTables).
std::string recipe_of(const ConfigService& service, const ServiceSettings& settings,
                      std::uint32_t slots) {
  std::vector<std::string> members;
  for (const ConfigRealServer& one : service.real_servers) {
    RsSettings rs;
    one.settings.apply_to(rs);
    members.push_back(fmt::format("{} {} {} {} {} {}", one.address.to_string(), rs.weight,
                                  rs.mac ? rs.mac->to_string() : "", rs.vlan, rs.port,
                                  static_cast<int>(rs.state)));
  }
  std::ranges::sort(members);
  if (const auto& sorry = settings.sorry) {
    members.push_back(fmt::format("sorry {} {} {}", sorry->address.to_string(),
                                  sorry->mac ? sorry->mac->to_string() : "", sorry->vlan));
  }
  return fmt::format("{} {} {}", slots, slot_window_s(service.address, settings),
                     fmt::join(members, ","));
}

/// The different tables of a config, with their bytes.
std::map<std::string, std::uint64_t> tables_of(const Config& config) {
  std::map<std::string, std::uint64_t> tables;
  for (const ConfigService& service : config.services) {
    auto settings = ServiceSettings::defaults(service.address);
    service.settings.apply_to(settings);
    const auto members =
        static_cast<std::uint32_t>(service.real_servers.size() + (settings.sorry ? 1 : 0));
    if (members == 0) continue;
    const std::uint32_t slots = table_slots(settings.scheduler, settings.mh_slots, members);
    tables.emplace(recipe_of(service, settings, slots), table_bytes(slots, members));
  }
  return tables;
}

/// An entry in lbd (twice while a change is under way), and in the kernel's trie its node and one
/// where its branch begins, each of 96 bytes and what the allocator adds.
constexpr std::uint64_t kAclEntryBytes = 2 * sizeof(AclEntry) + 212;

std::uint64_t acl_bytes(const Config& config) {
  std::uint64_t entries = 0;
  for (const ConfigService& service : config.services) entries += service.acl.size();
  return entries * kAclEntryBytes;
}

}  // namespace

std::uint64_t MemoryPlan::total_bytes() const {
  return std::accumulate(
      items.begin(), items.end(), std::uint64_t{0},
      [](std::uint64_t sum, const MemoryItem& item) { return sum + item.bytes; });
}

MemoryPlan plan_memory(const Config& config, std::uint32_t workers) {
  const DataplaneConfig& dataplane = config.dataplane;
  const PipelineOptions& path = dataplane.path;
  auto ports = static_cast<std::uint32_t>(std::max<std::size_t>(1, dataplane.ports.size()));
  RingSizes sizes = ring_sizes(dataplane, ports).value_or(RingSizes{});  // Config::parse checked it
  const auto tables = tables_of(config);
  MemoryPlan plan;
  plan.workers = workers;
  plan.services = config.services.size();
  plan.tables = tables.size();
  const std::uint64_t lookup_bytes =
      std::accumulate(tables.begin(), tables.end(), std::uint64_t{0},
                      [](std::uint64_t sum, const auto& one) { return sum + one.second; });
  plan.lookup_max_bytes =
      mh_slots_limit(dataplane.mh_slots_max, dataplane.services_max) * kLookupSlotBytes;
  plan.items = {
      {"flow tables IPv4", workers * FlowTable<FlowKey4>::memory_bytes_for(path.flows_max)},
      {"flow tables IPv6", workers * FlowTable<FlowKey6>::memory_bytes_for(path.flows_max_v6)},
      {"fragments", std::uint64_t{workers} * path.fragments_max * kFragmentBytes},
      {"packet frames", workers * sizes.umem_bytes()},
      {"rings", std::uint64_t{workers} * ports * ring_bytes(sizes)},
      {"counters", workers * (dataplane.services_max * sizeof(ServiceCounters) +
                              dataplane.rs_max * sizeof(RsCounters) + sizeof(Counters))},
      {"lookup arrays", 2 * lookup_bytes},
      {"access lists", acl_bytes(config)},
      {"service index",
       kIndexCopies * IndexRoom::for_services(dataplane.services_max, dataplane.rs_max).bytes()},
      {"service table", 2 * (config.services.size() * sizeof(Service) +
                             config.real_server_count() * sizeof(RealServer) +
                             (std::uint64_t{dataplane.services_max} + dataplane.rs_max) * 4)},
  };
  return plan;
}

std::optional<std::uint64_t> memory_available_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  std::uint64_t kilobytes = 0;
  while (file >> name >> kilobytes) {
    if (name == "MemAvailable:") return kilobytes * 1024;
    std::getline(file, unit);
  }
  return std::nullopt;
}

std::string memory_warning(const MemoryPlan& plan, std::optional<std::uint64_t> available) {
  std::uint64_t total = plan.total_bytes();
  if (!available || total <= *available / 10 * 9) return {};
  return fmt::format(
      "the config takes {} with {}, and {} are available (lower flows_max, "
      "flows_max_v6 or frames in [dataplane])",
      format_bytes(total), counted(plan.workers, "worker"), format_bytes(*available));
}

std::string memory_text(const MemoryPlan& plan) {
  std::string text;
  for (const MemoryItem& item : plan.items) {
    text += fmt::format("{:<20} {:>12}\n", item.name, format_bytes(item.bytes));
  }
  return text +
         fmt::format("{:<20} {:>12} with {}\n", "total", format_bytes(plan.total_bytes()),
                     counted(plan.workers, "worker")) +
         fmt::format("{} of lookup arrays for {}: those with the same real servers share one\n",
                     counted(plan.tables, "table"), counted(plan.services, "service")) +
         fmt::format("lookup arrays can grow to {} at run time (mh_slots_max)\n",
                     format_bytes(plan.lookup_max_bytes));
}

}  // namespace lb
