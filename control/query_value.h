// SPDX-License-Identifier: Apache-2.0
// Values of the API's query strings: what each GET takes is its own query's to say. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "control/refusal.h"
#include "dataplane/base/result.h"

namespace lb {

/// T::parse() of the value of `key`. Errors: Refusal::BadRequest with the key named.
template <class T>
[[nodiscard]] Result<T> parse_as(const std::string& key, const std::string& text) {
  auto value = T::parse(text);
  if (!value) return refuse(Refusal::BadRequest, key + ": " + value.error().message);
  return *value;
}

/// How many rows at most: 1 to `most`. Errors: Refusal::BadRequest.
[[nodiscard]] Result<std::size_t> parse_limit(const std::string& text, std::size_t most);

}  // namespace lb
