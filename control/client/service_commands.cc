// SPDX-License-Identifier: Apache-2.0
#include "control/client/service_commands.h"

#include <fmt/format.h>

#include <vector>

#include "control/client/escape.h"
#include "dataplane/base/units.h"

namespace lb::client {
namespace {

void put(JsonObject& body, std::string_view key, const std::optional<std::string>& value) {
  if (value) body.set(key, *value);
}
void put(JsonObject& body, std::string_view key, const std::optional<std::uint64_t>& value) {
  if (value) body.set_number(key, *value);
}
/// "auto" on the command line is null in the API.
void put_or_auto(JsonObject& body, std::string_view key, const std::optional<std::string>& value) {
  if (!value) return;
  if (*value == "auto") {
    body.set_null(key);
  } else {
    body.set(key, *value);
  }
}

Status put_duration(JsonObject& body, std::string_view key, std::string_view option,
                    const std::optional<std::string>& value) {
  if (!value) return {};
  auto ms = parse_duration(*value);
  if (!ms) return fail_in(std::string(option), ms.error());
  body.set_number(key, *ms);
  return {};
}

Status put_health(JsonObject& body, const VipOptions& options) {
  JsonObject health;
  put(health, "type", options.health);
  put(health, "port", options.health_port);
  LB_TRY(put_duration(health, "interval_ms", "--health-interval", options.health_interval));
  LB_TRY(put_duration(health, "timeout_ms", "--health-timeout", options.health_timeout));
  put(health, "rise", options.health_rise);
  put(health, "fall", options.health_fall);
  if (!health.empty()) body.set_object("health", health);
  return {};
}

Status put_sorry(JsonObject& body, const VipOptions& options) {
  if (!options.sorry) {
    if (options.sorry_mac || options.sorry_vlan) {
      return fail(EINVAL, "--sorry-mac and --sorry-vlan need --sorry ADDRESS beside them");
    }
    return {};
  }
  if (*options.sorry == "none") {
    body.set_null("sorry");
    return {};
  }
  JsonObject sorry;
  sorry.set("address", *options.sorry);
  put_or_auto(sorry, "mac", options.sorry_mac);
  put(sorry, "vlan", options.sorry_vlan);
  body.set_object("sorry", sorry);
  return {};
}

Status put_timeouts(JsonObject& body, const VipOptions& options) {
  JsonObject timeouts;
  for (const auto& text : options.timeouts) {
    auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(EINVAL,
                  fmt::format("--timeout {}: write NAME=DURATION, as in established=15m", text));
    }
    auto name = text.substr(0, equals);
    LB_TRY(put_duration(timeouts, name + "_ms", "--timeout " + name, text.substr(equals + 1)));
  }
  if (!timeouts.empty()) body.set_object("timeouts", timeouts);
  return {};
}

/// Living flows of one RS object, or of all RS of a service object.
std::uint64_t living_flows(JsonView object) {
  std::uint64_t sum = object.number("active") + object.number("inactive");
  for (auto rs : object.items("real_servers")) sum += living_flows(rs);
  return sum;
}

/// Living flows of a service, or of its RS `rs` if that is not empty; 0 when it cannot be told.
std::uint64_t flows_of(const Session& session, const std::string& service, std::string_view rs) {
  auto reply = session.try_call("GET", service_path(service));
  auto doc = reply && reply->ok() ? JsonDoc::parse(reply->body) : Result<JsonDoc>(fail(ENOENT, ""));
  if (!doc) return 0;
  if (rs.empty()) return living_flows(doc->root());
  for (auto item : doc->root().items("real_servers")) {
    if (item.text("address") == rs) return living_flows(item);
  }
  return 0;
}

std::string cut(std::uint64_t flows) {
  if (flows == 0) return "";
  return fmt::format(" ({} went with it; lbctl drain-rs lets them end first)",
                     counted(flows, "flow"));
}

ExitCode nothing_to_set(Session& session, std::string_view command) {
  session.report("usage",
                 fmt::format("nothing to change is given (see `lbctl {} --help`)", command));
  return ExitCode::Usage;
}

std::string rs_sentence(JsonView rs, std::string_view service, std::string_view verb) {
  auto text = fmt::format("{} {} in {}: weight {}", verb, rs.text("address"), service,
                          rs.text("weight", "1"));
  auto reason = rs.text("reason");
  if (!reason.empty()) text += fmt::format(" (no new flows: {})", printable(reason));
  return text;
}

}  // namespace

Result<JsonObject> vip_body(const VipOptions& options) {
  JsonObject body;
  put(body, "name", options.name);
  put(body, "scheduler", options.scheduler);
  put(body, "mh_slots", options.mh_slots);
  LB_TRY(put_duration(body, "transition_ms", "--transition", options.transition));
  put(body, "affinity", options.affinity);
  put(body, "flow_rate", options.flow_rate);
  put(body, "vip_owner", options.vip_owner);
  put(body, "vip_unmatched", options.vip_unmatched);
  put(body, "icmp_echo", options.icmp_echo);
  LB_TRY(put_sorry(body, options));
  LB_TRY(put_health(body, options));
  LB_TRY(put_timeouts(body, options));
  return body;
}

JsonObject rs_body(const RsOptions& options) {
  JsonObject body;
  put(body, "weight", options.weight);
  put(body, "vlan", options.vlan);
  put_or_auto(body, "mac", options.mac);
  put_or_auto(body, "port", options.port);
  put(body, "state", options.state);
  return body;
}

ExitCode add_vip(Session& session, const VipOptions& options) {
  auto body = vip_body(options);
  if (!body) {
    session.report("usage", body.error().message);
    return ExitCode::Usage;
  }
  body->set("address", options.address);
  auto answer = session.ask("POST", "/v1/services", body->to_string());
  if (!answer) return ExitCode::Failed;
  auto service = answer->root();
  return session.done(
      *answer, fmt::format("added {}: scheduler {} (next: lbctl add-rs {} REAL-SERVER)",
                           service.text("address", options.address), service.text("scheduler", "?"),
                           options.address));
}

ExitCode set_vip(Session& session, const VipOptions& options) {
  auto body = vip_body(options);
  if (!body) {
    session.report("usage", body.error().message);
    return ExitCode::Usage;
  }
  if (body->empty()) return nothing_to_set(session, "set-vip");
  auto answer = session.ask("PATCH", service_path(options.address), body->to_string());
  if (!answer) return ExitCode::Failed;
  return session.done(*answer,
                      fmt::format("changed {}", answer->root().text("address", options.address)));
}

ExitCode del_vip(Session& session, const std::string& address) {
  auto flows = flows_of(session, address, "");
  auto answer = session.ask("DELETE", service_path(address));
  if (!answer) return ExitCode::Failed;
  return session.done(*answer, fmt::format("removed {}{}", address, cut(flows)));
}

ExitCode add_rs(Session& session, const RsOptions& options) {
  auto body = rs_body(options);
  body.set("address", options.address);
  auto answer =
      session.ask("POST", service_path(options.service) + "/real-servers", body.to_string());
  if (!answer) return ExitCode::Failed;
  return session.done(*answer, rs_sentence(answer->root(), options.service, "added"));
}

ExitCode set_rs(Session& session, const RsOptions& options) {
  auto body = rs_body(options);
  if (body.empty()) return nothing_to_set(session, "set-rs");
  auto answer = session.ask("PATCH", rs_path(options.service, options.address), body.to_string());
  if (!answer) return ExitCode::Failed;
  return session.done(*answer, rs_sentence(answer->root(), options.service, "changed"));
}

ExitCode del_rs(Session& session, const RsOptions& options) {
  auto flows = flows_of(session, options.service, options.address);
  auto answer = session.ask("DELETE", rs_path(options.service, options.address));
  if (!answer) return ExitCode::Failed;
  return session.done(
      *answer, fmt::format("removed {} from {}{}", options.address, options.service, cut(flows)));
}

}  // namespace lb::client
