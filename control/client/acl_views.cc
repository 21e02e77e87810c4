// SPDX-License-Identifier: Apache-2.0
// The tables of access lists.
#include <fmt/format.h>

#include "control/client/escape.h"
#include "control/client/show_views.h"
#include "control/client/table.h"
#include "dataplane/base/units.h"

namespace lb::client {
namespace {

constexpr Align kRight = Align::Right;

Cell action_of(JsonView entry) {
  const std::string action = entry.text("action");
  if (action == "limit") {
    return {fmt::format("limit {}/s, burst {}", entry.text("limit"), entry.text("burst")),
            Tone::Warn};
  }
  return {action, action == "deny" ? Tone::Bad : Tone::Good};
}

std::string acl_table(JsonView answer, const Style& style) {
  Table table({{"SERVICE"},
               {"PREFIX"},
               {"ACTION"},
               {"PACKETS", kRight},
               {"BYTES", kRight},
               {"PASSED", kRight},
               {"DROPPED", kRight}});
  for (auto entry : answer.items("entries")) {
    auto count = [&](std::string_view key) { return format_count(entry.number(key), style.human); };
    table.row({entry.text("service"), entry.text("prefix"), action_of(entry), count("packets"),
               format_bytes(entry.number("bytes"), style.human), count("passed"),
               count("dropped")});
  }
  return table.empty() ? std::string() : table.render(style.colour);
}

}  // namespace

std::string acl_view(JsonView answer, const Style& style) {
  auto text = acl_table(answer, style);
  if (text.empty()) return "no access list has an entry: every client is allowed\n";
  const std::uint64_t shown = answer.number("shown"), total = answer.number("total");
  if (shown < total) {
    text += fmt::format("{} of {} entries; --limit N shows more\n", shown, total);
  }
  return text + "a client that no entry covers is allowed\n";
}

std::string acl_match_view(JsonView answer, std::string_view client, const Style& style) {
  auto text = acl_table(answer, style);
  if (text.empty()) return fmt::format("{} is allowed: no entry covers it\n", printable(client));
  return text;
}

}  // namespace lb::client
