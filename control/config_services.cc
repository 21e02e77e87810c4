// SPDX-License-Identifier: Apache-2.0
#include "control/config_services.h"

#include <fmt/format.h>

#include "control/acl_reader.h"
#include "control/settings_reader.h"
#include "control/validate.h"

namespace lb {
namespace {

/// Where the value of a dotted key stands in a table, or the nearest table above it.
Place locate(const Tree& table, std::string_view dotted) {
  const Tree* at = &table;
  while (!dotted.empty()) {
    auto dot = dotted.find('.');
    const TreeEntry* entry = at->find(dotted.substr(0, dot));
    if (entry == nullptr) break;
    at = &entry->value;
    dotted = dot == std::string_view::npos ? std::string_view() : dotted.substr(dot + 1);
  }
  return at->place;
}

/// One [[service]] with its place in the text.
struct Read {
  const Tree* table = nullptr;
  ConfigService service;
  bool has_address = false;
  std::vector<std::pair<const Tree*, ConfigRealServer>> real_servers;  ///< those with an address
};

Read read_service(const Tree& table, Problems& problems) {
  Read read{&table, {}, false, {}};
  TableReader reader(table, "service", problems);
  auto address = read_service_address(reader);
  read.has_address = address.has_value();
  if (address) read.service.address = *address;
  read.service.settings = read_service_patch(reader);
  read.service.acl = read_acl(reader, address ? &*address : nullptr);
  for (const Tree* rs_table : reader.tables("real_server")) {
    TableReader rs(*rs_table, "service.real_server", problems);
    auto rs_address = read_rs_address(rs);
    ConfigRealServer real_server{rs_address.value_or(IpAddr()), read_rs_patch(rs)};
    rs.finish();
    if (rs_address) read.real_servers.emplace_back(rs_table, std::move(real_server));
  }
  reader.finish();
  return read;
}

template <class T>
void note_word(std::optional<T>& known, const std::optional<T>& said, std::string_view key,
               const Read& read, Problems& problems) {
  if (said && known && *said != *known) {
    problems.add(
        locate(*read.table, key), fmt::format("service.{}", key),
        fmt::format("\"{}\" is a setting of the VIP {}, for which another service says "
                    "\"{}\" (say the same, or say it once)",
                    name_of(*said), read.service.address.vip.to_string(), name_of(*known)));
  } else if (said) {
    known = said;
  }
}

/// vip_owner, vip_unmatched and icmp_echo of each VIP; two services that say different things are a
/// problem.
std::map<IpAddr, ServicePatch> collect_words(const std::vector<Read>& reads, Problems& problems) {
  std::map<IpAddr, ServicePatch> words;
  for (const Read& read : reads) {
    if (!read.has_address) continue;
    ServicePatch& known = words[read.service.address.vip];
    const ServicePatch& said = read.service.settings;
    note_word(known.vip_owner, said.vip_owner, "vip_owner", read, problems);
    note_word(known.vip_unmatched, said.vip_unmatched, "vip_unmatched", read, problems);
    note_word(known.icmp_echo, said.icmp_echo, "icmp_echo", read, problems);
  }
  return words;
}

/// True when there were some.
bool note_misfits(const std::vector<Misfit>& misfits, const Tree& table, std::string_view path,
                  Problems& problems) {
  for (const Misfit& misfit : misfits) {
    problems.add(locate(table, misfit.key), fmt::format("{}.{}", path, misfit.key), misfit.what);
  }
  return !misfits.empty();
}

/// Into `all`, as the registry would do it; what it refuses is a problem.
void check_real_servers(const Read& read, bool has_service, const RegistryLimits& limits,
                        ServiceMap& all, ServiceTally& tally, Problems& problems) {
  for (const auto& [table, rs] : read.real_servers) {
    RsSettings settings;
    rs.settings.apply_to(settings);
    auto misfits = check_rs_settings(read.service.address, rs.address, settings, limits.ports);
    bool bad = note_misfits(misfits, *table, "service.real_server", problems);
    if (bad || !has_service) continue;
    auto status =
        add_rs(all, tally, limits, read.service.address, rs.address, rs.settings, Origin::Config);
    if (!status) {
      problems.add(locate(*table, "address"), "service.real_server", status.error().message);
    }
  }
}

}  // namespace

std::vector<ConfigService> read_services(const std::vector<const Tree*>& tables,
                                         const RegistryLimits& limits, Problems& problems) {
  std::vector<Read> reads;
  reads.reserve(tables.size());
  for (const Tree* table : tables) reads.push_back(read_service(*table, problems));
  auto words = collect_words(reads, problems);

  ServiceMap all;
  ServiceTally tally;
  std::vector<ConfigService> services;
  for (Read& read : reads) {
    if (!read.has_address) continue;
    const ServiceAddr& address = read.service.address;
    ServicePatch patch = read.service.settings;
    patch.merge(words[address.vip]);
    auto settings = ServiceSettings::defaults(address);
    patch.apply_to(settings);
    bool bad =
        note_misfits(check_service_settings(address, settings), *read.table, "service", problems);
    if (!bad) {
      auto status = add_service(all, tally, limits, address, patch, Origin::Config);
      bad = !status;
      if (bad) {
        problems.add(locate(*read.table, "address"), "service", status.error().message);
      }
    }
    if (!bad) {
      if (auto status = set_acl(all, tally, limits, address, read.service.acl); !status) {
        problems.add(locate(*read.table, "acl"), "service.acl", status.error().message);
      }
    }
    check_real_servers(read, !bad, limits, all, tally, problems);
    for (auto& [table, rs] : read.real_servers) {
      read.service.real_servers.push_back(std::move(rs));
    }
    services.push_back(std::move(read.service));
  }
  return services;
}

}  // namespace lb
