// SPDX-License-Identifier: Apache-2.0
// Settings as JSON objects: the reverse of settings_reader.h, for json_view.cc and state.cc, which
// include Boost.JSON already. Any thread.
#pragma once

#include <boost/json/object.hpp>
#include <string_view>

#include "control/settings.h"

namespace lb {

/// Only what the patch says; durations as "..._ms".
[[nodiscard]] boost::json::object to_json(const ServicePatch& patch);
[[nodiscard]] boost::json::object to_json(const RsPatch& patch);
/// All settings.
[[nodiscard]] boost::json::object to_json(const ServiceSettings& settings);
[[nodiscard]] boost::json::object to_json(const RsSettings& settings);

[[nodiscard]] inline boost::json::string json_text(std::string_view text) {
  return boost::json::string(text.data(), text.size());
}
/// The MAC as text, or null.
[[nodiscard]] boost::json::value to_json(const std::optional<MacAddr>& mac);

}  // namespace lb
