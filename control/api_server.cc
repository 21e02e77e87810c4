// SPDX-License-Identifier: Apache-2.0
// ApiServer: one coroutine accepts, one serves each connection.
#include "control/api_server.h"

#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <optional>
#include <set>
#include <utility>

#include "dataplane/base/log.h"

namespace lb {
namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace {

using Local = asio::local::stream_protocol;
using std::chrono::milliseconds;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr auto kAcceptPause = milliseconds(200);  // when there is no file descriptor left
constexpr std::size_t kDiscardBytesMax =
    4 << 20;  // of a refused body, so that the client reads the answer
constexpr std::uint32_t kDiscardMs = 2'000;

/// A connection and the timer that closes it when it takes too long.
struct Connection {
  explicit Connection(Local::socket accepted)
      : socket(std::move(accepted)), watchdog(socket.get_executor()) {}
  Local::socket socket;
  asio::steady_timer watchdog;
  boost::beast::flat_buffer buffer;
  void close() {
    boost::system::error_code ignored;
    watchdog.cancel();
    socket.close(ignored);
  }
};

void expires_after(const std::shared_ptr<Connection>& connection, std::uint32_t ms) {
  connection->watchdog.expires_after(milliseconds(ms));
  connection->watchdog.async_wait(
      [weak = std::weak_ptr(connection)](boost::system::error_code error) {
        if (error) return;
        if (auto alive = weak.lock()) alive->close();
      });
}

/// What to answer to a request that cannot be read; nullopt: nobody is there to read it.
std::optional<ApiResponse> answer_to(const boost::system::error_code& error) {
  if (error == http::error::body_limit)
    return api_error(413, "too_large", "the body is larger than 1 MiB");
  if (error == http::error::header_limit) {
    return api_error(431, "header_too_large", "the request's header is larger than 16 KiB");
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message)
    return std::nullopt;
  if (error.category() == http::make_error_code(http::error::bad_method).category()) {
    return api_error(400, "bad_request", "this is no HTTP/1.1 request: " + error.message());
  }
  return std::nullopt;
}

}  // namespace

struct ApiServer::Impl {
  Impl(asio::io_context& io, Fd listener, std::string socket_path, Handler on_request,
       ApiLimits limit)
      : acceptor(io, Local(), listener.release()),
        path(std::move(socket_path)),
        handler(std::move(on_request)),
        limits(limit),
        accept_pause(io) {}

  Local::acceptor acceptor;
  std::string path;
  Handler handler;
  ApiLimits limits;
  asio::steady_timer accept_pause;  // also what wakes the acceptor when a connection ends
  std::set<std::shared_ptr<Connection>> connections;
  bool stopped = false;
};

namespace {

using Parser = http::request_parser<http::string_body>;

asio::awaitable<boost::system::error_code> write_answer(Connection& connection,
                                                        const ApiResponse& answer, unsigned version,
                                                        bool keep_alive) {
  http::response<http::string_body> response(static_cast<http::status>(answer.status), version);
  response.set(http::field::server, "lbd");
  response.set(http::field::content_type, answer.content_type);
  response.keep_alive(keep_alive);
  response.body() = answer.body;
  response.prepare_payload();
  auto [error, bytes] = co_await http::async_write(connection.socket, response, kAwait);
  co_return error;
}

/// Reads on, so that closing does not reset the connection before the client has read the answer.
asio::awaitable<void> discard_rest(const std::shared_ptr<Connection>& connection) {
  boost::system::error_code ignored;
  connection->socket.shutdown(Local::socket::shutdown_send, ignored);
  expires_after(connection, kDiscardMs);
  std::array<char, 16 * 1024> sink;
  for (std::size_t total = 0; total < kDiscardBytesMax;) {
    auto [error, bytes] = co_await connection->socket.async_read_some(asio::buffer(sink), kAwait);
    if (error) break;
    total += bytes;
  }
}

/// Header, then "100 Continue" if asked for, then body.
asio::awaitable<boost::system::error_code> read_request(Connection& connection, Parser& parser) {
  auto [head_error, head_bytes] =
      co_await http::async_read_header(connection.socket, connection.buffer, parser, kAwait);
  if (head_error) co_return head_error;
  if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    auto [error, bytes] =
        co_await asio::async_write(connection.socket, asio::buffer(kContinue), kAwait);
    if (error) co_return error;
  }
  auto [error, bytes] =
      co_await http::async_read(connection.socket, connection.buffer, parser, kAwait);
  co_return error;
}

/// No request, however odd, may end lbd.
ApiResponse call_handler(const ApiServer::Impl& server, const ApiRequest& call) {
  try {
    return server.handler(call);
  } catch (const std::exception& error) {
    spdlog::error("API: {} {}: {}", call.method, call.target, error.what());
    return api_error(500, "internal", error.what());
  }
}

/// One request and its answer; false when the connection is to be closed.
asio::awaitable<bool> serve_one(ApiServer::Impl& server,
                                const std::shared_ptr<Connection>& connection, bool first) {
  if (connection->buffer.size() == 0) {
    expires_after(connection, first ? server.limits.request_ms : server.limits.idle_ms);
    auto [error] = co_await connection->socket.async_wait(Local::socket::wait_read, kAwait);
    if (error) co_return false;
  }
  expires_after(connection, server.limits.request_ms);
  Parser parser;
  parser.body_limit(server.limits.body_bytes);
  parser.header_limit(server.limits.header_bytes);
  boost::system::error_code error = co_await read_request(*connection, parser);
  if (server.stopped) co_return false;
  expires_after(connection, server.limits.request_ms);
  if (error) {
    if (auto answer = answer_to(error)) {
      co_await write_answer(*connection, *answer, 11, false);
      co_await discard_rest(connection);
    }
    co_return false;
  }
  auto request = parser.release();
  ApiRequest call{.method = std::string(request.method_string()),
                  .target = std::string(request.target()),
                  .body = std::move(request.body())};
  ApiResponse answer = call_handler(server, call);
  error = co_await write_answer(*connection, answer, request.version(), request.keep_alive());
  co_return !error && request.keep_alive();
}

asio::awaitable<void> serve(std::shared_ptr<ApiServer::Impl> server,
                            std::shared_ptr<Connection> connection) {
  try {
    server->connections.insert(connection);
    bool first = true;
    while (!server->stopped && co_await serve_one(*server, connection, first)) first = false;
  } catch (const std::exception& error) {  // no memory: this connection ends, the others go on
    spdlog::error("API: {}", error.what());
  }
  connection->close();
  server->connections.erase(connection);
  server->accept_pause.cancel();
}

/// Accepts one and starts to serve it; false when that cannot be done now.
asio::awaitable<bool> accept_one(std::shared_ptr<ApiServer::Impl> server) {
  std::string reason;
  try {
    auto [error, socket] = co_await server->acceptor.async_accept(kAwait);
    if (server->stopped) co_return false;
    if (!error) {
      auto connection = std::make_shared<Connection>(std::move(socket));
      auto executor = connection->socket.get_executor();
      asio::co_spawn(executor, serve(server, connection), asio::detached);
      co_return true;
    }
    reason = error.message();
  } catch (const std::exception& problem) {
    reason = problem.what();
  }
  spdlog::warn("API: cannot accept a connection: {}", reason);
  co_return false;
}

asio::awaitable<void> accept_all(std::shared_ptr<ApiServer::Impl> server) {
  while (!server->stopped) {
    bool full = server->connections.size() >= server->limits.connections;
    if (!full && co_await accept_one(server)) continue;
    if (server->stopped) break;
    server->accept_pause.expires_after(full ? milliseconds(server->limits.request_ms)
                                            : kAcceptPause);
    co_await server->accept_pause.async_wait(kAwait);
  }
}

}  // namespace

ApiServer::ApiServer(asio::io_context& io, Fd listener, std::string path, Handler handler,
                     ApiLimits limits)
    : impl_(std::make_shared<Impl>(io, std::move(listener), std::move(path), std::move(handler),
                                   limits)) {
  asio::co_spawn(io, accept_all(impl_), asio::detached);
}

ApiServer::~ApiServer() {
  impl_->stopped = true;
  ::unlink(impl_->path.c_str());
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
  impl_->accept_pause.cancel();
  for (const auto& connection : impl_->connections) connection->close();
}

std::size_t ApiServer::connections() const { return impl_->connections.size(); }

}  // namespace lb
