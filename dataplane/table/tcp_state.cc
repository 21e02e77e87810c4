// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/tcp_state.h"

#include <array>

namespace lb {
namespace {

constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kRst = 0x04;
constexpr std::uint8_t kAck = 0x10;

[[maybe_unused]] constexpr auto NO = FlowState::None;
constexpr auto ES = FlowState::Established;
constexpr auto SS = FlowState::SynSent;
constexpr auto SR = FlowState::SynRecv;
constexpr auto FW = FlowState::FinWait;
constexpr auto TW = FlowState::TimeWait;
constexpr auto CL = FlowState::Close;
constexpr auto CW = FlowState::CloseWait;
constexpr auto LA = FlowState::LastAck;
constexpr auto LI = FlowState::Listen;

using Row = std::array<FlowState, kTcpStates>;
// Linux net/netfilter/ipvs/ip_vs_proto_tcp.c, tcp_states, INPUT-ONLY.
//                   NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
constexpr Row kSynRow{SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR};
constexpr Row kFinRow{CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW};
constexpr Row kAckRow{CL, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES};
constexpr Row kRstRow{CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL};

}  // namespace

std::string_view flow_state_name(FlowState state) {
  constexpr std::array<std::string_view, 13> kNames{
      "NONE",       "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT", "CLOSE",
      "CLOSE_WAIT", "LAST_ACK",    "LISTEN",   "SYNACK",   "UDP",      "SCTP"};
  auto index = static_cast<std::size_t>(state);
  return index < kNames.size() ? kNames[index] : "?";
}

FlowState next_tcp_state(FlowState state, std::uint8_t tcp_flags) noexcept {
  auto column = static_cast<std::size_t>(state);
  if (column >= kTcpStates) return state;
  if ((tcp_flags & kRst) != 0) return kRstRow[column];
  if ((tcp_flags & kSyn) != 0) return kSynRow[column];
  if ((tcp_flags & kFin) != 0) return kFinRow[column];
  if ((tcp_flags & kAck) != 0) return kAckRow[column];
  return state;
}

std::uint32_t timeout_ms(FlowState state, const Timeouts& timeouts) noexcept {
  switch (state) {
    case FlowState::None:
      return timeouts.none_ms;
    case FlowState::Established:
      return timeouts.established_ms;
    case FlowState::SynSent:
      return timeouts.syn_sent_ms;
    case FlowState::SynRecv:
      return timeouts.syn_recv_ms;
    case FlowState::FinWait:
      return timeouts.fin_wait_ms;
    case FlowState::TimeWait:
      return timeouts.time_wait_ms;
    case FlowState::Close:
      return timeouts.close_ms;
    case FlowState::CloseWait:
      return timeouts.close_wait_ms;
    case FlowState::LastAck:
      return timeouts.last_ack_ms;
    case FlowState::Listen:
      return timeouts.listen_ms;
    case FlowState::SynAck:
      return timeouts.synack_ms;
    case FlowState::Udp:
      return timeouts.udp_ms;
    case FlowState::Sctp:
      return timeouts.sctp_ms;
  }
  return timeouts.none_ms;
}

}  // namespace lb
