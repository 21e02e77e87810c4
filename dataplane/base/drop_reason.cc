// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/drop_reason.h"

#include <array>
#include <utility>

namespace lb {

std::string_view drop_reason_name(DropReason reason) {
  static constexpr std::array<std::string_view, kDropReasons> kNames = {
#define LB_NAME(name, text, help) text,
      LB_DROP_REASONS(LB_NAME)
#undef LB_NAME
  };
  return kNames[std::to_underlying(reason)];
}

std::string_view drop_reason_help(DropReason reason) {
  static constexpr std::array<std::string_view, kDropReasons> kHelp = {
#define LB_HELP(name, text, help) help,
      LB_DROP_REASONS(LB_HELP)
#undef LB_HELP
  };
  return kHelp[std::to_underlying(reason)];
}

}  // namespace lb
