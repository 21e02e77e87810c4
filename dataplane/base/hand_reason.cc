// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/hand_reason.h"

#include <array>
#include <utility>

namespace lb {

std::string_view hand_reason_name(HandReason reason) {
  static constexpr std::array<std::string_view, kHandReasons> kNames = {
#define LB_NAME(name, text, help) text,
      LB_HAND_REASONS(LB_NAME)
#undef LB_NAME
          "none"};
  return kNames[std::to_underlying(reason)];
}

std::string_view hand_reason_help(HandReason reason) {
  static constexpr std::array<std::string_view, kHandReasons> kHelp = {
#define LB_HELP(name, text, help) help,
      LB_HAND_REASONS(LB_HELP)
#undef LB_HELP
          "the frame does not tell"};
  return kHelp[std::to_underlying(reason)];
}

}  // namespace lb
