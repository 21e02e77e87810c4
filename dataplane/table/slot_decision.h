// SPDX-License-Identifier: Apache-2.0
// What becomes of a packet by its slot in the table of its service: whether the flow memory is
// asked, whether an unknown flow is remembered, and who takes it. Pure functions; any thread. The
// XDP program decides by the same rules, so that no packet depends on who decides it.
#pragma once

#include <cstdint>

#include "bpf/lb_abi.h"
#include "dataplane/packet/flow_key.h"
#include "dataplane/packet/wire.h"
#include "dataplane/table/service_table.h"
#include "dataplane/table/table_object.h"

namespace lb {

/// Which part of its flow a packet is, as far as its header tells.
enum class FlowPart : std::uint8_t {
  Syn,       ///< TCP with SYN and without ACK: opens a connection
  Segment,   ///< any other of TCP, SYN+ACK included: the connection is there
  Datagram,  ///< UDP and SCTP: any
};

[[nodiscard]] constexpr FlowPart flow_part(std::uint8_t proto, std::uint8_t tcp_flags) noexcept {
  if (proto != wire::kTcp) return FlowPart::Datagram;
  return (tcp_flags & (wire::kSyn | wire::kAck)) == wire::kSyn ? FlowPart::Syn : FlowPart::Segment;
}

/// Hashed services: whether the flow memory is asked before the slot's owner. When not, the owner
/// takes the packet, and nothing is read or written. `slot_asks`: LB_SLOT_ASK.
[[nodiscard]] constexpr bool asks_memory(bool slot_asks, FlowPart part,
                                         Affinity affinity) noexcept {
  if (part != FlowPart::Datagram) return slot_asks;
  return affinity == Affinity::Always || (affinity == Affinity::Transition && slot_asks);
}

/// Hashed services: whether a flow that the memory does not know is to be remembered.
[[nodiscard]] constexpr bool wants_memory(bool slot_open, FlowPart part,
                                          Affinity affinity) noexcept {
  return asks_memory(slot_open, part, affinity);
}

/// The server that owned a slot before it opened.
struct OldServer {
  bool up = false;
  bool drains = false;  ///< up, but takes no new flows
};

/// Whether an unknown flow goes to the old server of its slot; else it goes to the owner.
/// `remembered`: the memory will answer for its next packet. A connection that opens goes to the
/// owner then; without memory its next segment will be taken for one of the old server's, so it
/// goes there at once if it can.
[[nodiscard]] constexpr bool goes_to_old(bool slot_open, FlowPart part, Affinity affinity,
                                         bool remembered, OldServer old) noexcept {
  if (!slot_open || !old.up) return false;
  switch (part) {
    case FlowPart::Syn:
      return !remembered && !old.drains;
    case FlowPart::Segment:
      return true;
    case FlowPart::Datagram:
      return affinity == Affinity::Transition && !old.drains;
  }
  return false;
}

/// The slot of a flow in `table`, that of `service`. `hash`: flow_hash(key, secret).
template <class Key>
[[nodiscard]] inline std::uint32_t slot_of_flow(const Service& service, const TableObject& table,
                                                const Key& key, std::uint64_t hash,
                                                const lb_hash_key& secret) noexcept {
  if (service.scheduler == Scheduler::Sh) {
    hash = client_hash(key, secret);
  } else if (service.scheduler == Scheduler::Dh) {
    hash = vip_hash(key, secret);
  }
  return lb_hash_slot(hash, service.hash_key, table.head().slots);
}

/// Who may take a packet of a slot: null when there is nobody, or one that is not up.
struct SlotServers {
  const RealServer* owner = nullptr;
  const RealServer* old = nullptr;
  bool open = false;

  [[nodiscard]] OldServer old_server() const noexcept {
    return {old != nullptr, old != nullptr && old->weight == 0};
  }
  [[nodiscard]] const RealServer* pick(FlowPart part, Affinity affinity,
                                       bool remembered) const noexcept {
    return goes_to_old(open, part, affinity, remembered, old_server()) ? old : owner;
  }
};

/// The real server behind a member index (LB_SLOT_NOBODY is none) when it is up, else null.
[[nodiscard]] inline const RealServer* member_up(const ServiceTable& generation,
                                                 const Service& service,
                                                 std::uint32_t member) noexcept {
  const RealServer* rs = generation.member(service, member);
  return rs != nullptr && rs->up ? rs : nullptr;
}

/// REQUIRES: `slot` is one of the service's table.
[[nodiscard]] inline SlotServers slot_servers(const ServiceTable& generation,
                                              const Service& service, std::uint32_t slot) noexcept {
  const TableObject& table = *service.table;
  const std::uint32_t word = table.hot(slot);
  SlotServers servers{.owner = member_up(generation, service, word & LB_SLOT_OWNER)};
  if ((word & LB_SLOT_ASK) == 0) return servers;
  const std::uint32_t state = table.state(slot);
  servers.open = (state & LB_STATE_OPEN) != 0;
  if (servers.open) servers.old = member_up(generation, service, state & LB_STATE_OLD);
  return servers;
}

}  // namespace lb
