// SPDX-License-Identifier: Apache-2.0
// ApiServer: HTTP/1.1 over the Unix socket, around a handler (ApiRouter). Every size and every wait
// is bounded, so that no client can hold lbd up: bodies of 1 MiB, headers of 16 KiB, ten seconds
// for a request to arrive. Director's thread. Boost.Beast is used in api_server.cc only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/api_router.h"
#include "dataplane/base/fd.h"

namespace boost::asio {
class io_context;
}

namespace lb {

struct ApiLimits {
  std::size_t body_bytes = 1 << 20;
  std::uint32_t header_bytes = 16 * 1024;
  std::size_t connections = 256;      ///< more wait in the listen queue
  std::uint32_t request_ms = 10'000;  ///< from its first byte, or from the connection, to its last
  std::uint32_t idle_ms = 30'000;     ///< between two requests of a connection
};

class ApiServer {
 public:
  using Handler = std::function<ApiResponse(const ApiRequest&)>;
  /// `listener` is from listen_unix(); `path` is removed when the server goes.
  ApiServer(boost::asio::io_context& io, Fd listener, std::string path, Handler handler,
            ApiLimits limits = {});
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  [[nodiscard]] std::size_t connections() const;

  struct Impl;  ///< of api_server.cc

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace lb
