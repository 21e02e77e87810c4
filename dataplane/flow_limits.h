// SPDX-License-Identifier: Apache-2.0
// FlowLimits: how many flows a worker remembers anew: those of each service in a window of time
// (Service::flow_rate), and the half-open ones (SYN_RECV) of all hashed services together. Over
// either a flow is decided by its hash alone, so that a flood finds nothing to fill. One worker's
// own; allocates at construction only.
// Invariant: `half_open` is the number of entries in SYN_RECV whose service id has the slot of a
// service that was hashed when follow() was called last (also when the id is stale).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/clock.h"
#include "dataplane/counters.h"
#include "dataplane/table/flow_entry.h"
#include "dataplane/table/service_table.h"

namespace lb {

class FlowLimits {
 public:
  /// `half_open` outlives the limits; nobody else writes it.
  FlowLimits(std::uint32_t services_max, std::uint32_t half_open_max, Counter& half_open)
      : services_(services_max), half_open_max_(half_open_max), half_open_(half_open) {}

  /// Another generation: which services are hashed. REQUIRES: their slots are below services_max.
  void follow(std::span<const Service> services) noexcept {
    for (PerService& one : services_) one.hashed = false;
    half_open_.sub(half_open_.get());
    for (const Service& service : services) {
      if (!is_hashed(service.scheduler)) continue;
      PerService& one = services_[slot_of(service.id)];
      one.hashed = true;
      half_open_.add(one.half_open);
    }
  }

  // FlowStore's: an entry came to be what it is, or ceased to be it.
  void enter(const FlowData& flow) noexcept {
    if (flow.state != FlowState::SynRecv) return;
    PerService& one = services_[slot_of(flow.service)];
    ++one.half_open;
    if (one.hashed) half_open_.add();
  }
  void leave(const FlowData& flow) noexcept {
    if (flow.state != FlowState::SynRecv) return;
    PerService& one = services_[slot_of(flow.service)];
    --one.half_open;
    if (one.hashed) half_open_.sub();
  }

  /// Whether the service has used up what it may have remembered in this window: of flows that
  /// begin, or of flows that are there but not known. Each has a budget of its own, so that a flood
  /// of SYNs does not keep running flows from being remembered.
  [[nodiscard]] bool is_spent(const Service& service, bool begins, TickMs now) const noexcept {
    if (service.flow_rate == 0) return false;
    const PerService& one = services_[slot_of(service.id)];
    return one.window == now / LB_RATE_WINDOW_MS && one.used[begins ? 1 : 0] >= service.flow_rate;
  }
  /// Whether a flow in `state` may be remembered now; it counts then.
  [[nodiscard]] bool take(const Service& service, bool begins, FlowState state,
                          TickMs now) noexcept {
    if (state == FlowState::SynRecv && is_hashed(service.scheduler) &&
        half_open_.get() >= half_open_max_) {
      return false;
    }
    if (service.flow_rate == 0) return true;
    if (is_spent(service, begins, now)) return false;
    PerService& one = services_[slot_of(service.id)];
    if (one.window != now / LB_RATE_WINDOW_MS) {
      one.window = now / LB_RATE_WINDOW_MS;
      one.used[0] = one.used[1] = 0;
    }
    ++one.used[begins ? 1 : 0];
    return true;
  }

  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return services_.capacity() * sizeof(PerService);
  }

 private:
  struct PerService {
    std::uint32_t window = 0;  // tick / LB_RATE_WINDOW_MS
    std::uint16_t used[2] = {};
    std::uint32_t half_open = 0;  // entries in SYN_RECV
    bool hashed = false;
  };
  static_assert(sizeof(PerService) == 16);

  std::vector<PerService> services_;  // by slot
  std::uint32_t half_open_max_;
  Counter& half_open_;
};

}  // namespace lb
