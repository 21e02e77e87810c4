// SPDX-License-Identifier: Apache-2.0
// JSON as text, both ways, with numbers that come back bit for bit: Boost.JSON's own parser is off
// by the last bits of a double, and its writer knows no line breaks. Pure; json.cc and record.cc
// use it.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace lb::observe {

/// One document a file or line may have, in bytes.
inline constexpr std::size_t kJsonBytesMax = std::size_t{128} << 20;

/// A double as JSON: an integer when it is whole and below 2^53, the shortest digits that read back
/// the same otherwise, and "inf", "-inf", "nan" as strings, which JSON has no numbers for.
[[nodiscard]] boost::json::value json_number(double number);

/// The document; `pretty`: indented, lists and objects without lists or objects inside on one line.
[[nodiscard]] std::string json_to_text(const boost::json::value& value, bool pretty);

/// Reads one document. Errors: EINVAL (with the byte it stands at), EFBIG over kJsonBytesMax.
[[nodiscard]] Result<boost::json::value> json_from_text(std::string_view text);

}  // namespace lb::observe
