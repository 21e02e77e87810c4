// SPDX-License-Identifier: Apache-2.0
// Every cell of the transition table, every timeout.
#include "dataplane/table/tcp_state.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>

namespace lb {
namespace {

constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32;

FlowState state_of(const std::string& name) {
  static const std::map<std::string, FlowState> kStates{
      {"NO", FlowState::None},    {"ES", FlowState::Established}, {"SS", FlowState::SynSent},
      {"SR", FlowState::SynRecv}, {"FW", FlowState::FinWait},     {"TW", FlowState::TimeWait},
      {"CL", FlowState::Close},   {"CW", FlowState::CloseWait},   {"LA", FlowState::LastAck},
      {"LI", FlowState::Listen},  {"SA", FlowState::SynAck}};
  return kStates.at(name);
}

TEST(TcpState, FollowsAll44Cells) {
  const std::map<std::uint8_t, std::string> table{{kSyn, "SR ES ES SR SR SR SR SR SR SR SR"},
                                                  {kFin, "CL FW SS TW FW TW CL CW LA LI TW"},
                                                  {kAck, "CL ES SS ES FW TW CL CW CL LI ES"},
                                                  {kRst, "CL CL CL SR CL CL CL CL LA LI CL"}};
  int cells = 0;
  for (const auto& [flags, row] : table) {
    std::istringstream from("NO ES SS SR FW TW CL CW LA LI SA"), to(row);
    std::string a, b;
    while (from >> a && to >> b) {
      EXPECT_EQ(next_tcp_state(state_of(a), flags), state_of(b)) << a << " flags " << int{flags};
      ++cells;
    }
  }
  EXPECT_EQ(cells, 44);
}

TEST(TcpState, TakesTheFirstOfRstSynFinAck) {
  for (int state = 0; state < kTcpStates; ++state) {
    auto from = static_cast<FlowState>(state);
    EXPECT_EQ(next_tcp_state(from, kRst | kSyn | kFin | kAck), next_tcp_state(from, kRst));
    EXPECT_EQ(next_tcp_state(from, kSyn | kFin | kAck), next_tcp_state(from, kSyn));
    EXPECT_EQ(next_tcp_state(from, kFin | kAck | kPsh | kUrg), next_tcp_state(from, kFin));
    EXPECT_EQ(next_tcp_state(from, kAck | kPsh), next_tcp_state(from, kAck));
  }
}

TEST(TcpState, StaysWithoutAFlagThatDecides) {
  for (int state = 0; state < kTcpStates; ++state) {
    auto from = static_cast<FlowState>(state);
    EXPECT_EQ(next_tcp_state(from, 0), from);
    EXPECT_EQ(next_tcp_state(from, kPsh | kUrg | 0xc0), from);
  }
}

TEST(TcpState, LeavesOtherProtocolsAlone) {
  for (int flags = 0; flags < 256; ++flags) {
    auto byte = static_cast<std::uint8_t>(flags);
    EXPECT_EQ(next_tcp_state(FlowState::Udp, byte), FlowState::Udp);
    EXPECT_EQ(next_tcp_state(FlowState::Sctp, byte), FlowState::Sctp);
    EXPECT_EQ(next_tcp_state(static_cast<FlowState>(200), byte), static_cast<FlowState>(200));
  }
}

TEST(TcpState, HasTheTimeoutsOfLvs) {
  const std::map<FlowState, std::uint32_t> seconds{
      {FlowState::None, 2},      {FlowState::Established, 15 * 60}, {FlowState::SynSent, 120},
      {FlowState::SynRecv, 60},  {FlowState::FinWait, 120},         {FlowState::TimeWait, 120},
      {FlowState::Close, 10},    {FlowState::CloseWait, 60},        {FlowState::LastAck, 30},
      {FlowState::Listen, 120},  {FlowState::SynAck, 120},          {FlowState::Udp, 300},
      {FlowState::Sctp, 15 * 60}};
  EXPECT_EQ(seconds.size(), 13U);
  for (const auto& [state, value] : seconds) {
    EXPECT_EQ(timeout_ms(state, Timeouts{}), value * 1000) << flow_state_name(state);
  }
}

TEST(TcpState, TakesEachTimeoutFromItsOwnSetting) {
  const Timeouts timeouts{.none_ms = 11,
                          .established_ms = 1,
                          .syn_sent_ms = 2,
                          .syn_recv_ms = 3,
                          .fin_wait_ms = 4,
                          .time_wait_ms = 5,
                          .close_ms = 6,
                          .close_wait_ms = 7,
                          .last_ack_ms = 8,
                          .listen_ms = 9,
                          .synack_ms = 10,
                          .udp_ms = 12,
                          .sctp_ms = 13};
  const FlowState order[] = {FlowState::Established, FlowState::SynSent,  FlowState::SynRecv,
                             FlowState::FinWait,     FlowState::TimeWait, FlowState::Close,
                             FlowState::CloseWait,   FlowState::LastAck,  FlowState::Listen,
                             FlowState::SynAck,      FlowState::None,     FlowState::Udp,
                             FlowState::Sctp};
  for (std::uint32_t i = 0; i < 13; ++i) EXPECT_EQ(timeout_ms(order[i], timeouts), i + 1);
}

TEST(TcpState, NamesStatesAsIpvsadmDoes) {
  EXPECT_EQ(flow_state_name(FlowState::None), "NONE");
  EXPECT_EQ(flow_state_name(FlowState::Established), "ESTABLISHED");
  EXPECT_EQ(flow_state_name(FlowState::SynRecv), "SYN_RECV");
  EXPECT_EQ(flow_state_name(FlowState::LastAck), "LAST_ACK");
  EXPECT_EQ(flow_state_name(FlowState::Udp), "UDP");
  EXPECT_EQ(flow_state_name(FlowState::Sctp), "SCTP");
  EXPECT_EQ(flow_state_name(static_cast<FlowState>(99)), "?");
}

}  // namespace
}  // namespace lb
