// SPDX-License-Identifier: Apache-2.0
#include "control/query_value.h"

#include <fmt/format.h>

#include <charconv>
#include <system_error>

#include "dataplane/base/text.h"

namespace lb {

Result<std::size_t> parse_limit(const std::string& text, std::size_t most) {
  std::size_t limit = 0;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, limit);
  if (error == std::errc{} && stop == end && limit != 0 && limit <= most) return limit;
  return refuse(Refusal::BadRequest,
                fmt::format("limit: {} is no number from 1 to {}", quoted(text), most));
}

}  // namespace lb
