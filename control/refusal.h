// SPDX-License-Identifier: Apache-2.0
// Refusal: why control refuses a command or a config, as an error code that the API turns into a
// status and a word for programs. The sentence for people is Error::message. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace lb {

enum class Refusal : int {
  BadRequest = 1,    ///< 400 bad_request: malformed, or a value out of range
  NoSuchService,     ///< 404 no_such_service
  NoSuchRealServer,  ///< 404 no_such_real_server
  NoSuchAclEntry,    ///< 404 no_such_acl_entry
  Exists,            ///< 409 exists
  Clash,             ///< 409 clash: with something that exists
  TableFull,         ///< 422 table_full
  NotOnLink,         ///< 422 not_on_link: the RS is on no attached network
  BadConfig,         ///< 422 bad_config
};

/// `return refuse(Refusal::Exists, "service ... exists already (...)")`.
[[nodiscard]] std::unexpected<Error> refuse(Refusal why, std::string message);
[[nodiscard]] std::error_code make_error_code(Refusal why) noexcept;

/// The HTTP status for an error: as above; any other error code is the environment's: 500.
[[nodiscard]] int http_status(const Error& error) noexcept;
/// The "code" of the API's error object, e.g. "no_such_service"; "system" for the environment's
/// errors.
[[nodiscard]] std::string_view refusal_word(const Error& error) noexcept;

}  // namespace lb

template <>
struct std::is_error_code_enum<lb::Refusal> : std::true_type {};
