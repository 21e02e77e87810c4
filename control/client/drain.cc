// SPDX-License-Identifier: Apache-2.0
#include "control/client/drain.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "dataplane/base/units.h"

namespace lb::client {
namespace {

/// What the last look at the RS showed.
struct Seen {
  bool there = false;
  bool draining = false;
  std::uint64_t active = 0;
  std::uint64_t inactive = 0;
  std::uint64_t left_ms = 0;
  bool has_deadline = false;
  std::string line;
};

/// Looks once. Nothing when lbd could not be asked (reported).
std::optional<Seen> look(Session& session, const DrainOptions& options) {
  auto reply = session.try_call("GET", service_path(options.service));
  if (!reply) {
    session.report("no_connection", reply.error().message);
    return std::nullopt;
  }
  Seen seen;
  if (reply->status == 404) return seen;  // the whole service went away, the RS with it
  auto doc = JsonDoc::parse(reply->body);
  if (!reply->ok() || !doc) {
    session.report_refusal(*reply);
    return std::nullopt;
  }
  for (auto rs : doc->root().items("real_servers")) {
    if (rs.text("address") != options.address) continue;
    seen.there = true;
    seen.draining = rs.flag("draining");
    seen.active = rs.number("active");
    seen.inactive = rs.number("inactive");
    seen.has_deadline = rs.has("drain_left_ms");
    seen.left_ms = rs.number("drain_left_ms");
    seen.line = drain_line(rs);
  }
  return seen;
}

ExitCode finished(Session& session, const DrainOptions& options, const Seen& last) {
  // Flows seen just before the deadline did not end by themselves; those that the client had closed
  // already have lost nothing.
  bool timed_out = last.active + last.inactive > 0 && last.has_deadline &&
                   last.left_ms <= 2 * static_cast<std::uint64_t>(options.poll_ms);
  auto cut = timed_out ? last.active : 0;
  if (session.json()) {
    JsonObject answer;
    answer.set("address", options.address).set("service", options.service);
    answer.set_flag("removed", true).set_number("flows_cut", cut);
    session.print(answer.to_string() + "\n");
  } else {
    auto what = !timed_out
                    ? std::string("its last flow has ended")
                    : fmt::format("at the timeout of {}, with {} still active and {} closing",
                                  options.timeout, counted(last.active, "flow"),
                                  counted(last.inactive, "flow"));
    session.print(fmt::format("removed {} from {}: {}\n", options.address, options.service, what));
  }
  return cut > 0 ? ExitCode::Partly : ExitCode::Done;
}

ExitCode wait_until_gone(Session& session, const DrainOptions& options, Seen last) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kTellAgain = std::chrono::seconds(10);
  auto told = Clock::now();
  for (;;) {
    auto seen = look(session, options);
    if (!seen) return ExitCode::Failed;
    if (!seen->there) return finished(session, options, last);
    if (!seen->draining) {
      return session.report("drain_ended", fmt::format("{} in {} is no longer being drained: "
                                                       "somebody took it back (lbctl show rs)",
                                                       options.address, options.service));
    }
    bool news = seen->active != last.active || seen->inactive != last.inactive;
    if (!session.json() && (news || Clock::now() - told >= kTellAgain)) {
      session.note(seen->line + "\n");
      told = Clock::now();
    }
    last = *seen;
    // lbd has no call that waits, so ask again after a while.
    std::this_thread::sleep_for(std::chrono::milliseconds(options.poll_ms));
  }
}

}  // namespace

std::string drain_line(JsonView rs) {
  auto active = rs.number("active");
  auto inactive = rs.number("inactive");
  auto line = fmt::format("draining {}: {} active and {} closing flows left", rs.text("address"),
                          active, inactive);
  if (rs.has("drain_left_ms")) {
    line +=
        fmt::format(", removed in {} at the latest", rough_duration(rs.number("drain_left_ms")));
  }
  return line;
}

ExitCode drain_rs(Session& session, const DrainOptions& options) {
  auto timeout = parse_duration(options.timeout);
  if (!timeout) {
    session.report("usage", "--timeout " + timeout.error().message);
    return ExitCode::Usage;
  }
  JsonObject body;
  body.set_number("timeout_ms", *timeout);
  auto answer =
      session.ask("POST", rs_path(options.service, options.address) + "/drain", body.to_string());
  if (!answer) return ExitCode::Failed;
  auto line = drain_line(answer->root());
  if (!options.wait) return session.done(*answer, line);
  if (!session.json()) session.note(line + "\n");
  Seen first;
  first.active = answer->root().number("active");
  first.inactive = answer->root().number("inactive");
  return wait_until_gone(session, options, first);
}

}  // namespace lb::client
