// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/tcp_state.h"

namespace lb {

std::string_view flow_state_name(FlowState state) {
  constexpr std::array<std::string_view, 13> kNames{
      "NONE",       "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT", "CLOSE",
      "CLOSE_WAIT", "LAST_ACK",    "LISTEN",   "SYNACK",   "UDP",      "SCTP"};
  auto index = static_cast<std::size_t>(state);
  return index < kNames.size() ? kNames[index] : "?";
}

}  // namespace lb
