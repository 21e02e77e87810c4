// SPDX-License-Identifier: Apache-2.0
// pick(): which real server a new flow goes to. The meanings are those of LVS (ipvsadm(8)). Runs on
// the worker; state that changes (cursors of rr and wrr) is the worker's own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/counters.h"
#include "dataplane/table/service_table.h"

namespace lb {

/// Living flows per RS over all workers: the least-connection schedulers weigh by it.
class LoadView {
 public:
  /// `workers` outlives the view.
  explicit LoadView(std::span<const Counters* const> workers) : workers_(workers) {}
  [[nodiscard]] std::uint64_t active(std::uint32_t rs_slot) const noexcept;
  [[nodiscard]] std::uint64_t inactive(std::uint32_t rs_slot) const noexcept;

 private:
  std::span<const Counters* const> workers_;
};

/// Cursor of rr and wrr for one service on one worker; survives generations. A fresh one starts at
/// a random place.
struct SchedulerState {
  ServiceId service = ServiceId::None;  ///< a new incarnation starts anew
  std::uint32_t cursor = 0;
};

/// All that pick() may look at.
struct PickInput {
  const ServiceTable& table;
  const Service& service;
  std::uint64_t flow_hash;    ///< of the 5-tuple (mh)
  std::uint64_t client_hash;  ///< of the client address (sh)
  std::uint64_t vip_hash;     ///< of the VIP (dh)
  const LoadView& load;
  SchedulerState& state;
  std::uint64_t& random;  ///< xorshift state of the worker, never 0
};

/// An RS that is up with weight > 0, else null (the caller turns to the sorry RS). The hashed
/// schedulers answer with the owner of the slot, which may be the sorry RS. Bounded by the number
/// of RS.
[[nodiscard]] const RealServer* pick(const PickInput& in) noexcept;

/// The owner of the slot that `hash` falls into, whatever the service's scheduler: the same pick
/// from the packet and the table alone. It is the sorry server when no other takes new flows. Null
/// when the service has no table, the slot no owner or the owner is not up.
[[nodiscard]] const RealServer* pick_hashed(const ServiceTable& table, const Service& service,
                                            std::uint64_t hash) noexcept;

}  // namespace lb
