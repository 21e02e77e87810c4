// SPDX-License-Identifier: Apache-2.0
// The TCP state machine of a director in DR mode: it sees only what the client sends (Linux IPVS,
// the input-only direction). Pure functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/table/service_table.h"

namespace lb {

/// TCP states in the order of the transition table, then what other protocols use.
enum class FlowState : std::uint8_t {
  None,
  Established,
  SynSent,
  SynRecv,
  FinWait,
  TimeWait,
  Close,
  CloseWait,
  LastAck,
  Listen,
  SynAck,
  Udp,
  Sctp,
};
inline constexpr int kTcpStates = 11;

/// "ESTABLISHED", "SYN_RECV", ..., "UDP", "SCTP": as ipvsadm prints them.
[[nodiscard]] std::string_view flow_state_name(FlowState state);

/// Next state after a client's segment. Flags are those of the TCP header; of several the first of
/// RST, SYN, FIN, ACK decides. A segment with none of them leaves the state as it is.
[[nodiscard]] FlowState next_tcp_state(FlowState state, std::uint8_t tcp_flags) noexcept;

/// How long a flow may idle in a state.
[[nodiscard]] std::uint32_t timeout_ms(FlowState state, const Timeouts& timeouts) noexcept;

/// Whether the flow counts as active (LVS: ESTABLISHED) for the least-connection schedulers.
[[nodiscard]] constexpr bool is_active(FlowState state) noexcept {
  return state == FlowState::Established || state == FlowState::Udp || state == FlowState::Sctp;
}

}  // namespace lb
