// SPDX-License-Identifier: Apache-2.0
// ApiClient: one HTTP call to lbd over its Unix socket, and errors that say what to do.
// Blocking, one connection a call. Knows HTTP (Boost.Beast, in api_client.cc alone), not what the
// calls mean.
#pragma once

#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace lb::client {

inline constexpr std::string_view kDefaultSocket = "/run/sluice/lbd.sock";

struct ApiReply {
  unsigned status = 0;
  std::string body;
  [[nodiscard]] bool ok() const { return status >= 200 && status < 300; }
};

class ApiClient {
 public:
  /// `timeout_s`: how long one read or write may take before lbd counts as hung.
  explicit ApiClient(std::string socket, int timeout_s = 10)
      : socket_(std::move(socket)), timeout_s_(timeout_s) {}

  /// `method` "GET", "POST", "PATCH", "DELETE"; `target` a path with its query, already encoded.
  /// An answer of any status is a reply; an Error means that there was no whole answer:
  /// ENOENT or ECONNREFUSED (lbd does not run), EACCES, EAGAIN (no answer in time), EBADMSG (not
  /// HTTP).
  [[nodiscard]] Result<ApiReply> call(std::string_view method, std::string_view target,
                                      std::string body = {},
                                      std::string_view content_type = "application/json") const;

  [[nodiscard]] const std::string& socket() const { return socket_; }

 private:
  std::string socket_;
  int timeout_s_;
};

/// False when surely nobody listens on this Unix socket: no such file, or left by a dead lbd.
[[nodiscard]] bool socket_answers(const std::string& path);

}  // namespace lb::client
