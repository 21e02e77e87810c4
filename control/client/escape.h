// SPDX-License-Identifier: Apache-2.0
// Text on its way out: into a path of the API, onto the terminal. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace lb::client {

/// RFC 3986 section 2.1: everything but unreserved characters as %XX; safe as one segment of a
/// path.
[[nodiscard]] std::string percent_encode(std::string_view text);

/// `text` with control characters replaced by '?', so that a name cannot steer the terminal.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace lb::client
