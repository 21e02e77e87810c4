// SPDX-License-Identifier: Apache-2.0
#include "control/client/show.h"

#include <fmt/format.h>

#include "control/client/escape.h"
#include "control/client/show_views.h"

namespace lb::client {
namespace {

using View = std::string (*)(JsonView answer, const Style& style);

Style style_of(const Session& session) {
  return {.human = session.human(), .colour = session.colour()};
}

ExitCode show(Session& session, std::string_view target, View view) {
  auto answer = session.get(target);
  if (!answer) return ExitCode::Failed;
  session.print(session.json() ? answer->text() + "\n" : view(answer->root(), style_of(session)));
  return ExitCode::Done;
}

std::string flow_query(const FlowFilter& filter) {
  std::string query = fmt::format("/v1/flows?limit={}", filter.limit);
  auto add = [&](std::string_view key, const std::optional<std::string>& value) {
    if (value) query += fmt::format("&{}={}", key, percent_encode(*value));
  };
  add("service", filter.service);
  add("rs", filter.rs);
  add("client", filter.client);
  return query;
}

}  // namespace

ExitCode show_vips(Session& session) { return show(session, "/v1/services", vips_view); }

ExitCode show_rs(Session& session, const std::optional<std::string>& service) {
  if (!service) return show(session, "/v1/services", rs_view);
  return show(session, service_path(*service), rs_of_service_view);
}

ExitCode show_flows(Session& session, const FlowFilter& filter) {
  return show(session, flow_query(filter), flows_view);
}

ExitCode show_ports(Session& session) { return show(session, "/v1/ports", ports_view); }
ExitCode show_workers(Session& session) { return show(session, "/v1/workers", workers_view); }
ExitCode show_neighbours(Session& session) {
  return show(session, "/v1/neighbours", neighbours_view);
}
ExitCode show_drops(Session& session, bool all) {
  return show(session, "/v1/drops", all ? drops_all_view : drops_view);
}
ExitCode show_handovers(Session& session, bool all) {
  return show(session, "/v1/handovers", all ? handovers_all_view : handovers_view);
}
ExitCode show_slots(Session& session, const std::string& service) {
  return show(session, service_path(service) + "/slots", slots_view);
}
ExitCode show_bpf(Session& session) { return show(session, "/v1/bpf", bpf_view); }
ExitCode show_memory(Session& session) { return show(session, "/v1/memory", memory_view); }

ExitCode show_version(Session& session) {
  auto reply = session.try_call("GET", "/v1/version");
  auto doc = reply && reply->ok() ? JsonDoc::parse(reply->body) : Result<JsonDoc>(fail(ENOENT, ""));
  const auto outcome = doc ? ExitCode::Done : ExitCode::Partly;
  if (session.json()) {
    JsonObject both;
    both.set("lbctl", LB_VERSION);
    if (doc) {
      both.set_view("lbd", doc->root());
    } else {
      both.set_null("lbd");
    }
    session.print(both.to_string() + "\n");
    return outcome;
  }
  session.print("lbctl  " LB_VERSION "\n");
  session.print(doc ? version_view(doc->root(), style_of(session))
                    : fmt::format("lbd    {}\n",
                                  reply ? "does not answer as it should" : reply.error().message));
  return outcome;
}

}  // namespace lb::client
