// SPDX-License-Identifier: Apache-2.0
// Names from traced processes (paths, comm names, symbols) made safe for a terminal and for JSON:
// whoever is traced chooses them. Pure functions; every output uses them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lb::observe {

/// `text` for a terminal: control characters (C0, C1, delete), characters that turn the direction
/// of writing, what XML forbids and bytes that are not UTF-8 stand as \xNN, byte by byte; all else
/// as it is.
[[nodiscard]] std::string printable(std::string_view text);

/// `text` with each byte that is not part of valid UTF-8 replaced by U+FFFD.
[[nodiscard]] std::string valid_utf8(std::string_view text);

/// Characters (code points) of valid UTF-8: the columns that printable() text takes, wide scripts
/// left aside.
[[nodiscard]] std::size_t columns_of(std::string_view text);

/// At most `columns_max` characters of valid UTF-8, ".." at the end when it was cut.
[[nodiscard]] std::string cut_to(std::string_view text, std::size_t columns_max);

}  // namespace lb::observe
