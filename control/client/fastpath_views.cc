// SPDX-License-Identifier: Apache-2.0
// The tables of what the XDP program does by itself: slots, and what it hands to the workers.
#include <fmt/format.h>

#include "control/client/escape.h"
#include "control/client/show_views.h"
#include "control/client/table.h"
#include "dataplane/base/units.h"

namespace lb::client {
namespace {

constexpr Align kRight = Align::Right;

std::string percent(JsonView object, std::string_view key) {
  return object.has(key) ? fmt::format("{:.2f}%", object.real(key)) : "";
}

std::string seconds(JsonView object, std::string_view key) {
  return rough_duration(object.number(key) * 1000);
}

/// "65537 slots; 120 are open (the first closes in 2m, the last in 15m), 3 have exceptions ..."
std::string slots_sentence(JsonView answer, const Style& style) {
  auto count = [&](std::string_view key) { return format_count(answer.number(key), style.human); };
  auto text = fmt::format("{} slots; {} open", count("slots"), count("open_slots"));
  if (answer.number("open_slots") > 0) {
    text += fmt::format(" (the first closes in {}, the last in {}; each after {})",
                        seconds(answer, "next_deadline_s"), seconds(answer, "last_deadline_s"),
                        seconds(answer, "window_s"));
  }
  text += fmt::format(", {} with exceptions", count("exception_slots"));
  if (answer.number("unowned_slots") > 0) {
    text += fmt::format(", {} that nobody owns", count("unowned_slots"));
  }
  return text + "\n";
}

Cell note_of(JsonView member) {
  if (member.flag("sorry")) return {"sorry"};
  if (!member.flag("up")) return {"down", Tone::Bad};
  return {member.flag("draining") ? "takes no new flows" : "", Tone::Warn};
}

std::string handovers_table(JsonView answer, const Style& style, bool all) {
  auto count = [&](JsonView object, std::string_view key) {
    return format_count(object.number(key), style.human);
  };
  const std::uint64_t handed = answer.number("handed");
  Table table({{"REASON"}, {"PACKETS", kRight}, {"SHARE", kRight}, {"WHAT IT MEANS"}});
  for (auto row : answer.items("handovers")) {
    auto packets = row.number("packets");
    if (!all && packets == 0) continue;
    auto share =
        handed == 0 ? 0 : 100.0 * static_cast<double>(packets) / static_cast<double>(handed);
    table.row({row.text("reason"), count(row, "packets"), fmt::format("{:.2f}%", share),
               row.text("help")});
  }
  auto text = table.empty()
                  ? std::string(
                        "nothing was handed to the workers (lbctl show handovers --all lists the "
                        "reasons)\n")
                  : table.render(style.colour);
  const std::uint64_t own = answer.number("sent") + answer.number("forwarded");
  if (own + handed == 0) return text;
  text += fmt::format(
      "XDP forwarded {} of {} packets by itself ({:.2f}%): {} out of the port they came in by, {} "
      "out of another\n",
      format_count(own, style.human), format_count(own + handed, style.human),
      100.0 * static_cast<double>(own) / static_cast<double>(own + handed), count(answer, "sent"),
      count(answer, "forwarded"));
  if (answer.number("alone") > 0) {
    text += fmt::format("{} of them without the worker that should have decided\n",
                        count(answer, "alone"));
  }
  return text;
}

}  // namespace

std::string slots_view(JsonView answer, const Style& style) {
  auto service = printable(answer.text("service", "the service"));
  Table table({{"REAL SERVER"},
               {"WEIGHT", kRight},
               {"SLOTS", kRight},
               {"SHARE", kRight},
               {"WANTED", kRight},
               {"GAINED", kRight},
               {"LEAVING", kRight},
               {"EXCEPTIONS", kRight},
               {"NOTE"}});
  for (auto member : answer.items("real_servers")) {
    auto count = [&](std::string_view key) {
      return format_count(member.number(key), style.human);
    };
    table.row({member.text("address"), member.text("weight"), count("slots"),
               percent(member, "percent"), percent(member, "percent_wanted"), count("gained_slots"),
               count("leaving_slots"), count("exception_slots"), note_of(member)});
  }
  if (table.empty()) {
    return fmt::format("no slots: no real server of {} has been up yet (lbctl show rs tells why)\n",
                       service);
  }
  auto text = table.render(style.colour) + slots_sentence(answer, style);
  if (!answer.flag("hashed")) {
    text += fmt::format(
        "its scheduler is {}: every flow is remembered, and slots decide for new ones only while "
        "lbd does not run\n",
        printable(answer.text("scheduler", "no hash")));
  }
  return text;
}

std::string handovers_view(JsonView answer, const Style& style) {
  return handovers_table(answer, style, false);
}
std::string handovers_all_view(JsonView answer, const Style& style) {
  return handovers_table(answer, style, true);
}

bool counts_flows(JsonView service) { return !service.flag("stateless"); }

std::string_view uncounted_note(bool any) {
  return any ? "ACTIVE and INACTIVE are not counted with mh, sh and dh: their flows are not "
               "remembered (lbctl stats counts new ones)\n"
             : "";
}

}  // namespace lb::client
