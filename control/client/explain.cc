// SPDX-License-Identifier: Apache-2.0
#include "control/client/explain.h"

#include <fmt/format.h>

#include "control/client/escape.h"

namespace lb::client {
namespace {

std::string target_of(const ExplainOptions& options) {
  std::string target = fmt::format("/v1/explain?client={}&vip={}", percent_encode(options.client),
                                   percent_encode(options.vip));
  auto add_text = [&](std::string_view key, const std::optional<std::string>& value) {
    if (value) target += fmt::format("&{}={}", key, percent_encode(*value));
  };
  auto add = [&](std::string_view key, const std::optional<std::uint64_t>& value) {
    if (value) target += fmt::format("&{}={}", key, *value);
  };
  add_text("flags", options.flags);
  add_text("port", options.port);
  add("queue", options.queue);
  add("ttl", options.ttl);
  add("length", options.length);
  add("vlan", options.vlan);
  return target;
}

}  // namespace

ExitCode explain(Session& session, const ExplainOptions& options) {
  auto answer = session.get(target_of(options));
  if (!answer) return ExitCode::Failed;
  const Style style{.human = session.human(), .colour = session.colour()};
  session.print(session.json() ? answer->text() + "\n" : explain_view(answer->root(), style));
  return answer->root().has("reason") ? ExitCode::Unhealthy : ExitCode::Done;
}

std::string explain_view(JsonView answer, const Style& /*style*/) {
  std::string text;
  for (JsonView step : answer.items("steps")) text += printable(step.text()) + "\n";
  return text.empty() ? "lbd explains nothing\n" : text;
}

}  // namespace lb::client
