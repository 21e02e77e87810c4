// SPDX-License-Identifier: Apache-2.0
// HealthChecker: one coroutine per check; a shared Check is its handle, and stopping it cancels
// whatever it awaits.
#include "control/health.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <map>
#include <random>

#include "dataplane/base/log.h"

namespace lb {
namespace asio = boost::asio;
namespace {

using asio::ip::tcp;
using std::chrono::milliseconds;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t kFirstCheckWithinMs = 100;

struct Check {
  Check(asio::io_context& io, const CheckTarget& to)
      : target(to), pause(io), watchdog(io), socket(io) {}
  void stop() {
    stopped = true;
    pause.cancel();
    watchdog.cancel();
    boost::system::error_code ignored;
    socket.close(ignored);
  }
  CheckTarget target;
  asio::steady_timer pause, watchdog;
  tcp::socket socket;
  bool stopped = false;
  bool timed_out = false;
};

tcp::endpoint endpoint_of(const CheckTarget& target) {
  if (target.address.is_v4()) {
    return {asio::ip::address_v4(target.address.as_v4().host()), target.port};
  }
  asio::ip::address_v6::bytes_type bytes;
  std::copy_n(target.address.data(), bytes.size(), bytes.begin());
  return {asio::ip::address_v6(bytes), target.port};
}

/// Failures of the director, which say nothing of the real server.
bool is_our_own(const boost::system::error_code& error) {
  int value = error.value();
  return value == EMFILE || value == ENFILE || value == ENOBUFS || value == ENOMEM ||
         value == EADDRNOTAVAIL;
}

std::string in_words(const boost::system::error_code& error) {
  std::string text = error.message();
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return text;
}

std::uint32_t random_below(std::uint32_t bound) {
  static std::minstd_rand random{std::random_device{}()};
  return bound == 0 ? 0 : static_cast<std::uint32_t>(random()) % bound;
}

asio::awaitable<boost::system::error_code> connect_once(const std::shared_ptr<Check>& check) {
  check->timed_out = false;
  check->watchdog.expires_after(milliseconds(check->target.timeout_ms));
  check->watchdog.async_wait([check](boost::system::error_code error) {
    if (error) return;
    check->timed_out = true;
    boost::system::error_code ignored;
    check->socket.close(ignored);
  });
  auto [error] = co_await check->socket.async_connect(endpoint_of(check->target), kAwait);
  check->watchdog.cancel();
  boost::system::error_code ignored;
  check->socket.close(ignored);
  co_return error;
}

asio::awaitable<void> run(std::shared_ptr<Check> check, const HealthChecker::Report& report) {
  std::uint32_t interval = check->target.interval_ms;
  check->pause.expires_after(milliseconds(random_below(std::min(kFirstCheckWithinMs, interval))));
  while (!check->stopped) {
    co_await check->pause.async_wait(kAwait);
    if (check->stopped) break;
    auto started = std::chrono::steady_clock::now();
    boost::system::error_code error;
    try {
      error = co_await connect_once(check);
    } catch (const std::exception&) {  // as a check that cannot be made: left out
      error = boost::system::errc::make_error_code(boost::system::errc::not_enough_memory);
    }
    if (check->stopped) break;
    if (error && !check->timed_out && is_our_own(error)) {
      spdlog::warn("health check of {}: {} on the director; the result is left out",
                   check->target.address.to_string(), in_words(error));
    } else if (check->timed_out) {
      report(check->target, false,
             "no answer in " + std::to_string(check->target.timeout_ms) + " ms");
    } else {
      report(check->target, !error, error ? in_words(error) : std::string{});
    }
    if (check->stopped) break;
    auto pause = milliseconds(interval - interval / 10 + random_below(interval / 5 + 1));
    check->pause.expires_at(started + pause);
  }
}

}  // namespace

struct HealthChecker::Impl {
  asio::io_context& io;
  Report report;
  std::map<CheckTarget, std::shared_ptr<Check>> checks;
};

HealthChecker::HealthChecker(asio::io_context& io, Report report)
    : impl_(std::make_unique<Impl>(Impl{.io = io, .report = std::move(report), .checks = {}})) {}

HealthChecker::~HealthChecker() { set_targets({}); }

void HealthChecker::set_targets(const std::set<CheckTarget>& targets) {
  std::erase_if(impl_->checks, [&](const auto& item) {
    if (targets.contains(item.first)) return false;
    if (item.second) item.second->stop();
    return true;
  });
  for (const CheckTarget& target : targets) {
    auto& check = impl_->checks[target];
    if (check) continue;
    auto started = std::make_shared<Check>(impl_->io, target);
    // The report is only called while the check is not stopped, so while Impl lives.
    asio::co_spawn(impl_->io, run(started, impl_->report), asio::detached);
    check = std::move(started);  // last: what cannot be started now is started by the next call
  }
}

std::size_t HealthChecker::size() const { return impl_->checks.size(); }

}  // namespace lb
