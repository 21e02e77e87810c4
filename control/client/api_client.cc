// SPDX-License-Identifier: Apache-2.0
#include "control/client/api_client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "dataplane/base/fd.h"

namespace lb::client {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

/// An answer larger than this is not lbd's: a full flow list of 1,000,000 entries takes about 200
/// MB.
constexpr std::uint64_t kBodyLimit = std::uint64_t{1} << 30;

boost::system::error_code last_error() { return {errno, boost::system::system_category()}; }

/// A connected blocking socket in the shape that Beast reads and writes (SyncReadStream,
/// SyncWriteStream).
class SocketStream {
 public:
  explicit SocketStream(int fd) : fd_(fd) {}

  template <class Buffers>
  std::size_t read_some(const Buffers& buffers, boost::system::error_code& error) {
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers);
         ++it) {
      asio::mutable_buffer buffer(*it);
      if (buffer.size() == 0) continue;
      ssize_t got = 0;
      do got = ::recv(fd_, buffer.data(), buffer.size(), 0);
      while (got < 0 && errno == EINTR);
      error = got > 0 ? boost::system::error_code{} : got == 0 ? asio::error::eof : last_error();
      return got > 0 ? static_cast<std::size_t>(got) : 0;
    }
    error = {};
    return 0;
  }

  template <class Buffers>
  std::size_t write_some(const Buffers& buffers, boost::system::error_code& error) {
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers);
         ++it) {
      asio::const_buffer buffer(*it);
      if (buffer.size() == 0) continue;
      ssize_t sent = 0;
      do sent = ::send(fd_, buffer.data(), buffer.size(), MSG_NOSIGNAL);
      while (sent < 0 && errno == EINTR);
      error = sent >= 0 ? boost::system::error_code{} : last_error();
      return sent > 0 ? static_cast<std::size_t>(sent) : 0;
    }
    error = {};
    return 0;
  }

  // Beast asks for these; they throw nothing here because nobody calls them.
  template <class Buffers>
  std::size_t read_some(const Buffers& buffers) {
    boost::system::error_code ignored;
    return read_some(buffers, ignored);
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& buffers) {
    boost::system::error_code ignored;
    return write_some(buffers, ignored);
  }

 private:
  int fd_;
};

/// Connects; the errno value of the failure otherwise.
std::expected<Fd, int> connect_to(const std::string& path, int timeout_s) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return std::unexpected(ENAMETOOLONG);
  }
  path.copy(address.sun_path, path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return std::unexpected(errno);
  timeval timeout{.tv_sec = timeout_s, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  const void* generic = &address;
  if (::connect(fd.get(), static_cast<const sockaddr*>(generic), sizeof(address)) != 0) {
    return std::unexpected(errno);
  }
  return fd;
}

std::unexpected<Error> no_connection(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      return fail(error, fmt::format("lbd is not running: there is no socket {} (start it with "
                                     "`systemctl start lbd` or `lbd --config FILE`; if it listens "
                                     "elsewhere, say --socket PATH)",
                                     path));
    case ECONNREFUSED:
      return fail(error, fmt::format("lbd is not running: {} was left by one that died (start lbd "
                                     "again, or clean up with `lbctl reset`)",
                                     path));
    case EACCES:
    case EPERM:
      return fail(error,
                  fmt::format("no permission to use {}: run lbctl as root, or join the group "
                              "sluice (usermod -aG sluice USER, then log in again)",
                              path));
    case ENAMETOOLONG:
      return fail(error, fmt::format("\"{}\" cannot be a Unix socket: its path has 1 to {} bytes",
                                     path, sizeof(sockaddr_un::sun_path) - 1));
    case EAGAIN:
      return fail(error,
                  fmt::format("lbd does not take connections on {}: it hangs or is flooded", path));
    default:
      return fail_errno(error, fmt::format("cannot connect to {}", path));
  }
}

std::unexpected<Error> broken_talk(const std::string& path, int timeout_s,
                                   const boost::system::error_code& error) {
  if (error == boost::system::errc::resource_unavailable_try_again ||
      error == boost::system::errc::operation_would_block) {
    return fail(EAGAIN, fmt::format("lbd did not answer on {} within {} s (it hangs, or is busy: "
                                    "`journalctl -u lbd` may say why)",
                                    path, timeout_s));
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error == boost::system::errc::connection_reset || error == boost::system::errc::broken_pipe) {
    return fail(EBADMSG, fmt::format("lbd closed the connection on {} before its answer was whole "
                                     "(it stopped, or died: `journalctl -u lbd`)",
                                     path));
  }
  return fail(EBADMSG, fmt::format("what answers on {} is not lbd: {}", path, error.message()));
}

}  // namespace

Result<ApiReply> ApiClient::call(std::string_view method, std::string_view target, std::string body,
                                 std::string_view content_type) const {
  auto fd = connect_to(socket_, timeout_s_);
  if (!fd) return no_connection(socket_, fd.error());
  SocketStream stream(fd->get());
  http::request<http::string_body> request;
  request.version(11);
  request.method_string({method.data(), method.size()});
  request.target({target.data(), target.size()});
  request.set(http::field::host, "lbd");
  request.set(http::field::user_agent, "lbctl/" LB_VERSION);
  request.keep_alive(false);
  if (!body.empty()) {
    request.set(http::field::content_type,
                beast::string_view(content_type.data(), content_type.size()));
  }
  request.body() = std::move(body);
  request.prepare_payload();
  boost::system::error_code error;
  http::write(stream, request, error);
  // A server that refuses a body early answers and closes: its answer tells more than our EPIPE.
  auto write_error = error;
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kBodyLimit);
  http::read(stream, buffer, parser, error);
  if (error) return broken_talk(socket_, timeout_s_, write_error ? write_error : error);
  auto response = parser.release();
  return ApiReply{response.result_int(), std::move(response.body())};
}

bool socket_answers(const std::string& path) {
  auto fd = connect_to(path, 1);
  // Anything but "nobody listens" (no permission, a full backlog) means that somebody may.
  return fd || (fd.error() != ENOENT && fd.error() != ECONNREFUSED && fd.error() != ENOTDIR);
}

}  // namespace lb::client
