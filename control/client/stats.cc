// SPDX-License-Identifier: Apache-2.0
#include "control/client/stats.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "dataplane/base/addr.h"

namespace lb::client {
namespace {

/// Clears the screen and goes to its top left corner, as `watch` does.
constexpr std::string_view kHome = "\x1b[H\x1b[2J";

void sleep_s(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// The canonical text of a service, so that it equals what lbd answers; as given when it is not
/// one.
std::string canonical(const std::string& service) {
  auto parsed = ServiceAddr::parse(service);
  return parsed ? parsed->to_string() : service;
}

/// One answer of /v1/stats, cut down to the wanted service. Nothing when that failed (reported).
std::optional<JsonDoc> sample(Session& session, const StatsOptions& options) {
  auto answer = session.get("/v1/stats");
  if (!answer || !options.service) return answer;
  auto one = only_service(answer->root(), canonical(*options.service));
  auto doc = JsonDoc::parse(one.to_string());
  if (doc && !doc->root().items("services").empty()) return std::move(*doc);
  session.report(
      "no_such_service",
      fmt::format("there is no service {} (lbctl show vips lists them)", *options.service));
  return std::nullopt;
}

void print_one(Session& session, const StatsOptions& options, const JsonDoc* before,
               const JsonDoc& now) {
  Style style{.human = session.human(), .colour = session.colour()};
  if (session.json()) {
    session.print(before != nullptr ? rates_json(before->root(), now.root()).to_string()
                                    : now.text());
    session.print("\n");
    return;
  }
  session.print(before != nullptr ? rates_view(before->root(), now.root(), style)
                                  : counters_view(now.root(), style));
  if (options.workers) session.print("\n" + worker_counters_view(now.root(), style));
}

}  // namespace

ExitCode stats(Session& session, const StatsOptions& options) {
  double interval_s = options.watch_s.value_or(1);
  auto last = sample(session, options);
  if (!last) return ExitCode::Failed;
  std::uint64_t printed = 0;
  std::uint64_t wanted = options.watch_s ? options.count : 1;
  if (!options.rate) {
    print_one(session, options, nullptr, *last);
    if (++printed == wanted) return ExitCode::Done;
  }
  for (;;) {
    sleep_s(interval_s);
    auto now = sample(session, options);
    if (!now) return ExitCode::Failed;
    if (options.watch_s && !session.json()) session.print(session.colour() ? kHome : "\n");
    print_one(session, options, options.rate ? &*last : nullptr, *now);
    last = std::move(now);
    if (++printed == wanted) return ExitCode::Done;
  }
}

}  // namespace lb::client
