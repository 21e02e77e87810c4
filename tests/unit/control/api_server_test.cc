// SPDX-License-Identifier: Apache-2.0
// ApiServer over a real Unix socket, with blocking clients in threads of their own: what hostile
// and slow ones do.
#include "control/api_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "control/unix_socket.h"

namespace lb {
namespace {

class ApiServerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder = std::filesystem::temp_directory_path() / ("lbd-api-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    path = (folder / "lbd.sock").string();
  }
  void TearDown() override {
    stop();
    std::filesystem::remove_all(folder);
  }
  void serve(ApiLimits limits = {}) {
    auto listener = listen_unix(path);
    ASSERT_TRUE(listener) << listener.error().message;
    server = std::make_unique<ApiServer>(
        io, std::move(*listener), path,
        [this](const ApiRequest& request) {
          ++calls;
          if (request.target == "/throw") throw std::runtime_error("broken");
          return ApiResponse{.status = 200,
                             .body = request.method + " " + std::to_string(request.body.size()),
                             .content_type = "text/plain"};
        },
        limits);
    thread = std::thread([this] { io.run(); });
  }
  void stop() {
    if (!thread.joinable()) return;
    boost::asio::post(io, [this] { server.reset(); });
    thread.join();
  }
  [[nodiscard]] Fd connect() const {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return {};
    timeval timeout{.tv_sec = 20, .tv_usec = 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    return fd;
  }
  static bool send(const Fd& fd, std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t sent = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// All until the server closes.
  static std::string read_all(const Fd& fd) {
    std::string text;
    std::array<char, 4096> buffer;
    for (;;) {
      ssize_t bytes = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
      if (bytes <= 0) return text;
      text.append(buffer.data(), static_cast<std::size_t>(bytes));
    }
  }
  [[nodiscard]] std::string exchange(std::string_view bytes) const {
    Fd fd = connect();
    send(fd, bytes);
    return read_all(fd);
  }
  static constexpr std::string_view kGet =
      "GET / HTTP/1.1\r\nHost: lbd\r\nConnection: close\r\n\r\n";

  std::filesystem::path folder;
  std::string path;
  boost::asio::io_context io;
  std::unique_ptr<ApiServer> server;
  std::thread thread;
  std::atomic<int> calls = 0;
};

TEST_F(ApiServerTest, AnswersAndClosesWhenAsked) {
  serve();
  std::string answer = exchange(kGet);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nGET 0")) << answer;
}

TEST_F(ApiServerTest, KeepsTheConnectionForTheNextRequest) {
  serve();
  Fd fd = connect();
  std::string pipelined = "GET /a HTTP/1.1\r\nHost: lbd\r\n\r\n" + std::string(kGet);
  ASSERT_TRUE(send(fd, pipelined));
  std::string answers = read_all(fd);
  EXPECT_EQ(calls, 2);
  EXPECT_NE(answers.find("200 OK", answers.find("200 OK") + 1), std::string::npos) << answers;
}

TEST_F(ApiServerTest, RefusesGarbageWithAReason) {
  serve();
  for (std::string_view garbage : {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "hello\r\n\r\n",
                                   "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"}) {
    std::string answer = exchange(std::string(garbage) + std::string(64, '\n'));
    EXPECT_NE(answer.find("400 Bad Request"), std::string::npos) << garbage << " -> " << answer;
  }
  EXPECT_EQ(calls, 0);
  EXPECT_NE(exchange(kGet).find("200 OK"), std::string::npos);
}

TEST_F(ApiServerTest, TakesABodyOfOneMebibyteAndRefusesOneByteMore) {
  serve();
  auto post = [](std::size_t bytes) {
    return "POST / HTTP/1.1\r\nHost: lbd\r\nConnection: close\r\nContent-Length: " +
           std::to_string(bytes) + "\r\n\r\n" + std::string(bytes, 'x');
  };
  EXPECT_TRUE(exchange(post(1 << 20)).ends_with("POST 1048576"));
  std::string refused = exchange(post((1 << 20) + 1));
  EXPECT_NE(refused.find("413"), std::string::npos) << refused;
  EXPECT_NE(refused.find("larger than 1 MiB"), std::string::npos) << refused;
}

TEST_F(ApiServerTest, RefusesAChunkedBodyThatGrowsTooLarge) {
  serve();
  Fd fd = connect();
  ASSERT_TRUE(send(fd, "POST / HTTP/1.1\r\nHost: lbd\r\nTransfer-Encoding: chunked\r\n\r\n"));
  for (int i = 0; i < 40; ++i) {
    if (!send(fd, "10000\r\n" + std::string(0x10000, 'x') + "\r\n")) break;
  }
  EXPECT_NE(read_all(fd).find("413"), std::string::npos);
}

TEST_F(ApiServerTest, RefusesAHeaderOverItsLimit) {
  serve();
  std::string answer =
      exchange("GET / HTTP/1.1\r\nHost: lbd\r\nX: " + std::string(64 * 1024, 'x') + "\r\n\r\n");
  EXPECT_NE(answer.find("431"), std::string::npos) << answer;
}

TEST_F(ApiServerTest, SaysContinueToAClientThatAsks) {
  serve();
  Fd fd = connect();
  ASSERT_TRUE(send(fd,
                   "POST / HTTP/1.1\r\nHost: lbd\r\nConnection: close\r\nExpect: 100-continue\r\n"
                   "Content-Length: 3\r\n\r\n"));
  std::array<char, 25> line{};
  ASSERT_EQ(::recv(fd.get(), line.data(), line.size(), MSG_WAITALL), 25);
  EXPECT_EQ(std::string(line.data(), 21), "HTTP/1.1 100 Continue");
  ASSERT_TRUE(send(fd, "abc"));
  EXPECT_TRUE(read_all(fd).ends_with("POST 3"));
}

TEST_F(ApiServerTest, ClosesAHalfRequestWhenItsTimeIsOver) {
  serve({.request_ms = 100, .idle_ms = 100});
  for (std::string_view half : {"", "G", "GET / HTTP/1.1\r\nHo",
                                "POST / HTTP/1.1\r\nHost: lbd\r\nContent-Length: 10\r\n\r\nabc"}) {
    EXPECT_EQ(exchange(half), "") << half;
  }
  EXPECT_EQ(calls, 0);
}

TEST_F(ApiServerTest, SurvivesAClientThatHangsUpAtEveryByte) {
  serve();
  constexpr std::string_view kPost = "POST /a HTTP/1.1\r\nHost: lbd\r\nContent-Length: 2\r\n\r\n{}";
  for (std::size_t length = 0; length < kPost.size(); ++length) {
    Fd fd = connect();
    ASSERT_TRUE(fd);
    send(fd, kPost.substr(0, length));
  }
  EXPECT_NE(exchange(kGet).find("200 OK"), std::string::npos);
  EXPECT_EQ(calls, 1);
}

TEST_F(ApiServerTest, ServesAHundredClientsAtOnce) {
  serve();
  std::vector<std::thread> clients;
  std::atomic<int> good = 0;
  for (int i = 0; i < 100; ++i) {
    clients.emplace_back([&] {
      for (int round = 0; round < 5; ++round) {
        if (exchange(kGet).find("200 OK") != std::string::npos) ++good;
      }
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(good, 500);
}

TEST_F(ApiServerTest, MoreConnectionsThanItsLimitWaitForTheirTurn) {
  serve({.connections = 4});
  std::vector<Fd> idle;
  for (int i = 0; i < 4; ++i) idle.push_back(connect());
  Fd waiting = connect();
  ASSERT_TRUE(send(waiting, kGet));
  idle.clear();
  EXPECT_NE(read_all(waiting).find("200 OK"), std::string::npos);
}

TEST_F(ApiServerTest, AHandlerThatThrowsIsAnError500) {
  serve();
  std::string answer = exchange("GET /throw HTTP/1.1\r\nHost: lbd\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("500 Internal Server Error"), std::string::npos) << answer;
}

TEST_F(ApiServerTest, RemovesItsSocketAndHangsUpWhenItStops) {
  serve();
  Fd fd = connect();
  send(fd, "GET / HTTP/1.1\r\n");
  stop();
  EXPECT_EQ(read_all(fd), "");
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace lb
