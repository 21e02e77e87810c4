// SPDX-License-Identifier: Apache-2.0
#include "control/overlay.h"

#include <fmt/format.h>

#include <algorithm>

namespace lb {
namespace {

const ConfigRealServer* find_in(const ConfigService* service, const IpAddr& address) {
  if (service == nullptr) return nullptr;
  auto at = std::ranges::find(service->real_servers, address, &ConfigRealServer::address);
  return at == service->real_servers.end() ? nullptr : &*at;
}

std::optional<ServicePatch> basis_of(const ConfigService* service) {
  if (service == nullptr) return std::nullopt;
  return without_vip_part(service->settings);
}
std::optional<RsPatch> basis_of(const ConfigRealServer* rs) {
  if (rs == nullptr) return std::nullopt;
  return rs->settings;
}

ServiceSettings settings_of(const ServiceAddr& address, const std::optional<ServicePatch>& said) {
  auto settings = ServiceSettings::defaults(address);
  if (said) said->apply_to(settings);
  return settings;
}
RsSettings settings_of(const std::optional<RsPatch>& said) {
  RsSettings settings;
  if (said) said->apply_to(settings);
  return settings;
}

OverlayService difference(const ConfigService* said, const ServiceAddr& address,
                          const ServiceEntry& running) {
  OverlayService change;
  change.basis = basis_of(said);
  change.patch =
      without_vip_part(ServicePatch::between(settings_of(address, change.basis), running.settings));
  change.touched = said == nullptr || change.patch != ServicePatch{};
  for (const auto& [rs_address, rs] : running.real_servers) {
    OverlayRs rs_change;
    rs_change.basis = basis_of(find_in(said, rs_address));
    rs_change.patch = RsPatch::between(settings_of(rs_change.basis), rs.settings);
    rs_change.draining = rs.draining;
    rs_change.drain_deadline_ms = rs.draining ? rs.drain_deadline_ms : 0;
    if (!rs_change.basis || rs.draining || rs_change.patch != RsPatch{}) {
      change.real_servers.emplace(rs_address, std::move(rs_change));
    }
  }
  const Acl said_acl = said != nullptr ? said->acl : Acl();
  if (said_acl != running.acl) change.acl = OverlayAcl{said_acl.digest(), running.acl};
  if (said == nullptr) return change;
  for (const ConfigRealServer& rs : said->real_servers) {
    if (running.real_servers.contains(rs.address)) continue;
    OverlayRs gone;
    gone.basis = rs.settings;
    gone.removed = true;
    change.real_servers.emplace(rs.address, std::move(gone));
  }
  return change;
}

/// Lays one overlay over a file; the steps stand in lay_over().
class Layer {
 public:
  Layer(const FileServices& file, const Overlay& overlay, const RegistryLimits& limits,
        std::vector<std::string>& dropped)
      : overlay_(overlay), limits_(limits), dropped_(dropped) {
    for (const ConfigService& service : file) file_.emplace(service.address, &service);
  }

  Status add_file(const FileServices& file) {
    words_ = vip_words(file);
    for (const ConfigService& service : file) {
      ServicePatch patch = service.settings;
      patch.merge(words_[service.address.vip]);
      LB_TRY(add_service(all_, tally_, limits_, service.address, patch, Origin::Config));
      for (const ConfigRealServer& rs : service.real_servers) {
        LB_TRY(add_rs(all_, tally_, limits_, service.address, rs.address, rs.settings,
                      Origin::Config));
      }
      LB_TRY(set_acl(all_, tally_, limits_, service.address, service.acl));
    }
    return {};
  }

  void remove() {
    for (const auto& [address, change] : overlay_.services) {
      if (change.touched && change.removed && counts(address, change)) all_.erase(address);
      auto at = all_.find(address);
      if (at == all_.end()) continue;
      for (const auto& [rs_address, rs_change] : change.real_servers) {
        if (rs_change.removed && counts(address, rs_address, rs_change)) {
          at->second.real_servers.erase(rs_address);
        }
      }
    }
    tally_ = ServiceTally(all_);
  }

  void change_services() {
    for (const auto& [address, change] : overlay_.services) {
      if (!change.touched || change.removed || !counts(address, change)) continue;
      note(fmt::format("service {}", address.to_string()),
           change.basis
               ? set_service(all_, tally_, limits_, address, change.patch)
               : add_service(all_, tally_, limits_, address, change.patch, Origin::Runtime));
    }
  }

  void change_real_servers() {
    for (const auto& [address, change] : overlay_.services) {
      for (const auto& [rs_address, rs_change] : change.real_servers) {
        if (rs_change.removed || !counts(address, rs_address, rs_change)) continue;
        auto what =
            fmt::format("real server {} of {}", rs_address.to_string(), address.to_string());
        auto status = rs_change.basis ? set_rs(all_, limits_, address, rs_address, rs_change.patch)
                                      : add_rs(all_, tally_, limits_, address, rs_address,
                                               rs_change.patch, Origin::Runtime);
        if (status) {
          RsEntry& rs = all_[address].real_servers[rs_address];
          rs.draining = rs_change.draining;
          rs.drain_deadline_ms = rs_change.drain_deadline_ms;
        }
        note(what, status);
      }
    }
  }

  void change_acls() {
    for (const auto& [address, change] : overlay_.services) {
      if (!change.acl) continue;
      const ConfigService* said = file_service(address);
      const Acl basis = said != nullptr ? said->acl : Acl();
      const auto what = fmt::format("access list of {}", address.to_string());
      if (basis.digest() == change.acl->basis) {
        note(what, set_acl(all_, tally_, limits_, address, change.acl->list));
      } else if (basis != change.acl->list) {
        overruled(what);
      }
    }
  }

  void change_vips() {
    for (const auto& [vip, change] : overlay_.vips) {
      auto at = first_of_vip(all_, vip);
      if (at == all_.end() || at->first.vip != vip) continue;
      if (words_[vip] == change.basis) {
        note(fmt::format("VIP {}", vip.to_string()),
             set_service(all_, tally_, limits_, at->first, change.patch));
      } else {
        overruled(fmt::format("VIP {}", vip.to_string()));
      }
    }
  }

  [[nodiscard]] ServiceMap take() && { return std::move(all_); }

 private:
  [[nodiscard]] const ConfigService* file_service(const ServiceAddr& address) const {
    auto at = file_.find(address);
    return at == file_.end() ? nullptr : at->second;
  }

  /// Whether the file says what it said when the change was made. If not, a sentence, unless the
  /// file now says what the change said (lbctl save).
  bool counts(const ServiceAddr& address, const OverlayService& change) {
    auto basis = basis_of(file_service(address));
    if (basis == change.basis) return true;
    auto wanted = settings_of(address, change.basis);
    change.patch.apply_to(wanted);
    if (change.removed ? basis.has_value() : !basis || settings_of(address, basis) != wanted) {
      overruled(fmt::format("service {}", address.to_string()));
    }
    return false;
  }
  bool counts(const ServiceAddr& address, const IpAddr& rs_address, const OverlayRs& change) {
    auto basis = basis_of(find_in(file_service(address), rs_address));
    if (basis == change.basis) return true;
    auto wanted = settings_of(change.basis);
    change.patch.apply_to(wanted);
    if (change.removed ? basis.has_value() : !basis || settings_of(basis) != wanted) {
      overruled(fmt::format("real server {} of {}", rs_address.to_string(), address.to_string()));
    }
    return false;
  }

  void overruled(const std::string& what) {
    dropped_.push_back(fmt::format(
        "{}: its run-time change is dropped, because the config file has changed there", what));
  }
  void note(const std::string& what, const Status& status) {
    if (status) return;
    dropped_.push_back(
        fmt::format("{}: its run-time change is dropped: {}", what, status.error().message));
  }

  std::map<ServiceAddr, const ConfigService*> file_;
  const Overlay& overlay_;
  const RegistryLimits& limits_;
  std::vector<std::string>& dropped_;
  std::map<IpAddr, ServicePatch> words_;
  ServiceMap all_;
  ServiceTally tally_;  // of all_
};

}  // namespace

Overlay make_overlay(const FileServices& file, const ServiceMap& running) {
  Overlay overlay;
  std::map<ServiceAddr, const ConfigService*> by_address;
  for (const ConfigService& service : file) by_address.emplace(service.address, &service);
  auto words = vip_words(file);
  for (const auto& [address, entry] : running) {
    auto at = by_address.find(address);
    auto change = difference(at == by_address.end() ? nullptr : at->second, address, entry);
    if (change.touched || !change.real_servers.empty() || change.acl) {
      overlay.services.emplace(address, std::move(change));
    }
    ServiceSettings said;
    words[address.vip].apply_to(said);
    auto vip_change = vip_part(ServicePatch::between(said, entry.settings));
    if (vip_change != ServicePatch{}) {
      overlay.vips[address.vip] = OverlayVip{words[address.vip], vip_change};
    }
  }
  for (const ConfigService& service : file) {
    if (running.contains(service.address)) continue;
    OverlayService gone;
    gone.touched = gone.removed = true;
    gone.basis = basis_of(&service);
    overlay.services.emplace(service.address, std::move(gone));
  }
  return overlay;
}

Result<ServiceMap> lay_over(const FileServices& file, const Overlay& overlay,
                            const RegistryLimits& limits, std::vector<std::string>& dropped) {
  Layer layer(file, overlay, limits, dropped);
  LB_TRY(layer.add_file(file));
  // What goes makes room for what comes; services stand before their real servers.
  layer.remove();
  layer.change_services();
  layer.change_real_servers();
  layer.change_vips();
  layer.change_acls();
  return std::move(layer).take();
}

}  // namespace lb
