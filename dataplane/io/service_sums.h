// SPDX-License-Identifier: Apache-2.0
// ServiceSums: what services forwarded in the kernel, from the counters of their real servers,
// which are all that the XDP program counts of a packet it sends. A slot's counter only grows,
// whoever has the slot. Control's thread.
#pragma once

#include <cstdint>
#include <vector>

namespace lb {

struct Forwarded {
  std::uint64_t packets = 0, bytes = 0, new_flows = 0;
  /// `to`: ServiceCounters or RsCounters.
  void store(auto& to) const noexcept {
    to.packets.set(packets);
    to.bytes.set(bytes);
    to.new_flows.set(new_flows);
  }
};

class ServiceSums {
 public:
  ServiceSums(std::uint32_t services_max, std::uint32_t rs_max)
      : service_of_(rs_max, services_max), by_rs_(rs_max), by_service_(services_max + 1) {}

  /// Whether what the real server forwards counts for this service.
  [[nodiscard]] bool belongs(std::uint32_t rs_slot, std::uint32_t service_slot) const noexcept {
    return service_of_[rs_slot] == service_slot;
  }
  /// From now on it does. REQUIRES: take() has seen what it forwarded for the service before.
  void assign(std::uint32_t rs_slot, std::uint32_t service_slot) noexcept {
    service_of_[rs_slot] = service_slot;
  }
  /// The counter of a real server is at `now`.
  void take(std::uint32_t rs_slot, const Forwarded& now) noexcept {
    Forwarded& before = by_rs_[rs_slot];
    Forwarded& sum = by_service_[service_of_[rs_slot]];
    sum.packets += now.packets - before.packets;
    sum.bytes += now.bytes - before.bytes;
    sum.new_flows += now.new_flows - before.new_flows;
    before = now;
  }
  [[nodiscard]] const Forwarded& rs(std::uint32_t slot) const noexcept { return by_rs_[slot]; }
  [[nodiscard]] const Forwarded& service(std::uint32_t slot) const noexcept {
    return by_service_[slot];
  }

 private:
  std::vector<std::uint32_t> service_of_;  ///< by RS slot; services_max: nobody's yet
  std::vector<Forwarded> by_rs_;           ///< as taken last
  std::vector<Forwarded> by_service_;      ///< the last one: nobody's
};

}  // namespace lb
