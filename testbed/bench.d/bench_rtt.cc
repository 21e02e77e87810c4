// SPDX-License-Identifier: Apache-2.0
// bench-rtt: UDP ping-pong of one flow, and the percentiles of its round-trip times as one line of
// JSON.
//
// --serve answers each datagram with itself; --to sends the next one when the last has come back,
// or after 100 ms, when it counts as lost. Both spin on their sockets, so what is measured is the
// path and not a wakeup.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"
#include "testbed/bench.d/xdp_tools.h"

namespace lb::bench {
namespace {

constexpr long kLostNs = 100'000'000;
constexpr std::uint32_t kWarmUp = 200;

struct Arguments {
  std::string serve;
  std::string to;
  std::string from = "0.0.0.0";
  std::uint32_t count = 10000;
  std::uint32_t pause_us = 20;
};

Result<sockaddr_in> parse_address(const std::string& text, bool with_port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const auto colon = text.rfind(':');
  if (with_port && colon == std::string::npos) {
    return fail(EINVAL, text + " has no port");
  }
  const std::string host = with_port ? text.substr(0, colon) : text;
  if (with_port) {
    const auto port = std::strtoul(text.c_str() + colon + 1, nullptr, 10);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
  }
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    return fail(EINVAL, text + " is not an IPv4 address");
  }
  return address;
}

Result<Fd> udp_socket(const sockaddr_in& local) {
  Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "socket");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&local), sizeof(local)) != 0) {
    return fail_errno(errno, "bind");
  }
  return fd;
}

/// Ends by a signal.
Status serve(const Arguments& arguments) {
  LB_TRY_ASSIGN(const sockaddr_in local, parse_address(arguments.serve, true));
  LB_TRY_ASSIGN(const Fd fd, udp_socket(local));
  std::puts("ready");
  std::fflush(stdout);
  for (char datagram[2048];;) {
    sockaddr_in peer{};
    socklen_t length = sizeof(peer);
    const ssize_t bytes = recvfrom(fd.get(), datagram, sizeof(datagram), 0,
                                   reinterpret_cast<sockaddr*>(&peer), &length);
    if (bytes >= 0) {
      (void)sendto(fd.get(), datagram, static_cast<std::size_t>(bytes), 0,
                   reinterpret_cast<const sockaddr*>(&peer), length);
    }
  }
}

/// Nanoseconds until `number` came back; 0 if it did not.
unsigned long long round_trip(int fd, std::uint32_t number) {
  const auto start = monotonic_ns();
  if (send(fd, &number, sizeof(number), 0) < 0) return 0;
  for (auto now = start; now - start < static_cast<unsigned long long>(kLostNs);
       now = monotonic_ns()) {
    std::uint32_t answer = 0;
    if (recv(fd, &answer, sizeof(answer), 0) == sizeof(answer) && answer == number) {
      return monotonic_ns() - start;
    }
  }
  return 0;
}

Status ping(const Arguments& arguments) {
  LB_TRY_ASSIGN(const sockaddr_in local, parse_address(arguments.from, false));
  LB_TRY_ASSIGN(const sockaddr_in remote, parse_address(arguments.to, true));
  LB_TRY_ASSIGN(const Fd fd, udp_socket(local));
  const timeval limit{.tv_sec = 0, .tv_usec = kLostNs / 1000};
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0) {
    return fail_errno(errno, "SO_RCVTIMEO");
  }
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&remote), sizeof(remote)) != 0) {
    return fail_errno(errno, "connect");
  }
  std::vector<unsigned long long> times;
  times.reserve(arguments.count);
  std::uint32_t lost = 0;
  for (std::uint32_t i = 0; i < arguments.count + kWarmUp && lost < 50; ++i) {
    const auto ns = round_trip(fd.get(), i);
    if (i >= kWarmUp && ns > 0) times.push_back(ns);
    lost += ns == 0 ? 1 : 0;
    for (const auto next = monotonic_ns() + arguments.pause_us * 1000ULL; monotonic_ns() < next;) {
    }
  }
  if (times.empty()) return fail(ETIMEDOUT, "no datagram came back from " + arguments.to);
  std::sort(times.begin(), times.end());
  const auto at = [&times](double share) {
    const auto last = static_cast<double>(times.size() - 1);
    return static_cast<double>(times[static_cast<std::size_t>(share * last)]) / 1000.0;
  };
  std::printf(
      "{\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"max\": %.1f, "
      "\"count\": %zu, \"lost\": %u}\n",
      at(0.5), at(0.9), at(0.99), at(0.999), at(1), times.size(), lost);
  return {};
}

}  // namespace
}  // namespace lb::bench

int main(int argc, char** argv) {
  lb::bench::Arguments arguments;
  CLI::App app("round-trip times of one UDP flow");
  app.add_option("--serve", arguments.serve, "answer at ADDRESS:PORT");
  app.add_option("--to", arguments.to, "ask ADDRESS:PORT");
  app.add_option("--from", arguments.from, "own address");
  app.add_option("--count", arguments.count, "round trips to measure");
  app.add_option("--pause-us", arguments.pause_us, "from an answer to the next question");
  app.require_option(1, 0);
  CLI11_PARSE(app, argc, argv);
  const auto status =
      arguments.serve.empty() ? lb::bench::ping(arguments) : lb::bench::serve(arguments);
  if (!status) {
    std::fprintf(stderr, "bench-rtt: %s\n", status.error().message.c_str());
    return 1;
  }
  return 0;
}
