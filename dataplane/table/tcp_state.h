// SPDX-License-Identifier: Apache-2.0
// The TCP state machine of a director in DR mode: it sees only what the client sends (Linux IPVS,
// the input-only direction). Pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
inline constexpr std::size_t kFlowStates = 13;

namespace detail::tcp {

inline constexpr std::uint8_t kFin = 0x01;
inline constexpr std::uint8_t kSyn = 0x02;
inline constexpr std::uint8_t kRst = 0x04;
inline constexpr std::uint8_t kAck = 0x10;

inline constexpr FlowState NO = FlowState::None;
inline constexpr FlowState ES = FlowState::Established;
inline constexpr FlowState SS = FlowState::SynSent;
inline constexpr FlowState SR = FlowState::SynRecv;
inline constexpr FlowState FW = FlowState::FinWait;
inline constexpr FlowState TW = FlowState::TimeWait;
inline constexpr FlowState CL = FlowState::Close;
inline constexpr FlowState CW = FlowState::CloseWait;
inline constexpr FlowState LA = FlowState::LastAck;
inline constexpr FlowState LI = FlowState::Listen;

using Row = std::array<FlowState, kTcpStates>;
// Linux net/netfilter/ipvs/ip_vs_proto_tcp.c, tcp_states, INPUT-ONLY.
//                   NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
inline constexpr Row kSynRow{SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR};
inline constexpr Row kFinRow{CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW};
inline constexpr Row kAckRow{CL, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES};
inline constexpr Row kRstRow{CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL};

}  // namespace detail::tcp

/// "ESTABLISHED", "SYN_RECV", ..., "UDP", "SCTP": as ipvsadm prints them.
[[nodiscard]] std::string_view flow_state_name(FlowState state);

/// Next state after a client's segment. Flags are those of the TCP header; of several the first of
/// RST, SYN, FIN, ACK decides. A segment with none of them leaves the state as it is.
[[nodiscard]] inline FlowState next_tcp_state(FlowState state, std::uint8_t tcp_flags) noexcept {
  namespace t = detail::tcp;
  auto column = static_cast<std::size_t>(state);
  if (column >= kTcpStates) return state;
  if ((tcp_flags & t::kRst) != 0) return t::kRstRow[column];
  if ((tcp_flags & t::kSyn) != 0) return t::kSynRow[column];
  if ((tcp_flags & t::kFin) != 0) return t::kFinRow[column];
  if ((tcp_flags & t::kAck) != 0) return t::kAckRow[column];
  return state;
}

/// How long a flow may idle in a state.
[[nodiscard]] inline std::uint32_t timeout_ms(FlowState state, const Timeouts& timeouts) noexcept {
  static_assert(sizeof timeouts == kFlowStates * sizeof(std::uint32_t));
  static_assert(offsetof(Timeouts, sctp_ms) ==
                static_cast<std::size_t>(FlowState::Sctp) * sizeof(std::uint32_t));
  auto index = static_cast<std::size_t>(state);
  if (index >= kFlowStates) index = 0;
  std::uint32_t ms = 0;
  std::memcpy(&ms, reinterpret_cast<const std::byte*>(&timeouts) + index * sizeof ms, sizeof ms);
  return ms;
}

/// Whether the flow counts as active (LVS: ESTABLISHED) for the least-connection schedulers.
[[nodiscard]] constexpr bool is_active(FlowState state) noexcept {
  return state == FlowState::Established || state == FlowState::Udp || state == FlowState::Sctp;
}

}  // namespace lb
