// SPDX-License-Identifier: Apache-2.0
// FakeLbd: an API server of canned answers on a Unix socket of its own, for tests of lbctl.
// One thread, one connection at a time; every request is kept to be looked at. And RunResult: one
// run of lbctl.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "control/client/cli.h"
#include "dataplane/base/fd.h"

namespace lb::client {

struct SeenRequest {
  std::string line;  ///< "GET /v1/services"
  std::string head, body;
};

/// A directory that goes with the test.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "lbctl-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

class FakeLbd {
 public:
  FakeLbd() : socket_path_(dir_.file("lbd.sock")), listener_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const void* generic = &address;
    if (::bind(listener_.get(), static_cast<const sockaddr*>(generic), sizeof(address)) != 0 ||
        ::listen(listener_.get(), 16) != 0) {
      std::abort();
    }
    thread_ = std::thread([this] { serve(); });
  }
  FakeLbd(const FakeLbd&) = delete;
  FakeLbd& operator=(const FakeLbd&) = delete;
  ~FakeLbd() {
    ::shutdown(listener_.get(), SHUT_RDWR);  // ends accept()
    thread_.join();
  }

  /// Answers `line` ("GET /v1/ports") so; several answers to one line are given in turn, the last
  /// for good.
  void answer(const std::string& line, std::string body, int status = 200) {
    std::string reply = "HTTP/1.1 " + std::to_string(status) +
                        " X\r\nContent-Length: " + std::to_string(body.size()) +
                        "\r\nConnection: close\r\n\r\n" + body;
    answer_raw(line, std::move(reply));
  }
  /// As answer(), with bytes that need not be HTTP.
  void answer_raw(const std::string& line, std::string bytes) {
    std::lock_guard lock(mutex_);
    answers_[line].push_back(std::move(bytes));
  }
  [[nodiscard]] std::vector<SeenRequest> seen() {
    std::lock_guard lock(mutex_);
    return seen_;
  }
  [[nodiscard]] const std::string& socket() const { return socket_path_; }
  [[nodiscard]] const TempDir& dir() const { return dir_; }

 private:
  void serve() {
    for (;;) {
      Fd client(::accept(listener_.get(), nullptr, nullptr));
      if (!client) return;
      auto request = read_request(client.get());
      auto reply = reply_to(request);
      (void)!::send(client.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
    }
  }
  static SeenRequest read_request(int fd) {
    std::string all;
    char chunk[4096];
    std::size_t head_end = std::string::npos;
    std::size_t want = 0;
    while (head_end == std::string::npos || all.size() < want) {
      ssize_t got = ::recv(fd, chunk, sizeof(chunk), 0);
      if (got <= 0) break;
      all.append(chunk, static_cast<std::size_t>(got));
      if (head_end != std::string::npos) continue;
      head_end = all.find("\r\n\r\n");
      if (head_end == std::string::npos) continue;
      auto length = all.find("Content-Length: ");
      want = head_end + 4 + (length < head_end ? std::stoul(all.substr(length + 16)) : 0);
    }
    SeenRequest request;
    request.line = all.substr(0, all.find(" HTTP/"));
    request.head = all.substr(0, head_end);
    if (head_end != std::string::npos) request.body = all.substr(head_end + 4);
    return request;
  }
  std::string reply_to(const SeenRequest& request) {
    std::lock_guard lock(mutex_);
    seen_.push_back(request);
    auto found = answers_.find(request.line);
    if (found == answers_.end()) return "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n";
    auto reply = found->second.front();
    if (found->second.size() > 1) found->second.pop_front();
    return reply;
  }

  TempDir dir_;
  std::string socket_path_;
  Fd listener_;
  std::mutex mutex_;
  std::map<std::string, std::deque<std::string>> answers_;
  std::vector<SeenRequest> seen_;
  std::thread thread_;
};

struct RunResult {
  int code = -1;
  std::string out, err;
};

inline RunResult run_lbctl(const std::string& socket, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--socket", socket});
  std::ostringstream out;
  std::ostringstream err;
  RunResult result;
  result.code = run(arguments, out, err, false);
  result.out = out.str();
  result.err = err.str();
  return result;
}

}  // namespace lb::client
