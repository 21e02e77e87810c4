// SPDX-License-Identifier: Apache-2.0
// plan_text(): what --dry-run prints.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "dataplane/base/units.h"
#include "observe/frame/command.h"

namespace lb::observe {
namespace {

std::string as_json(const std::string& tracer, const std::string& target, const Plan& plan) {
  boost::json::array sites;
  for (const auto& site : plan.sites) {
    boost::json::object one{{"where", site.where}, {"how", site.how}, {"note", site.note}};
    if (site.cost_ns > 0) one["cost_ns"] = site.cost_ns;
    if (site.taken_ns > 0) one["taken_ns"] = site.taken_ns;
    sites.push_back(std::move(one));
  }
  boost::json::array notes;
  for (const auto& note : plan.notes) notes.push_back(boost::json::string(note));
  const boost::json::object object{
      {"tracer", tracer},
      {"target", target},
      {"sites", std::move(sites)},
      {"memory_bytes", static_cast<std::uint64_t>(plan.memory_bytes)},
      {"memory_max_bytes", static_cast<std::uint64_t>(plan.memory_max_bytes)},
      {"notes", std::move(notes)}};
  return boost::json::serialize(object) + "\n";
}

}  // namespace

std::string plan_text(const std::string& tracer, const std::string& target, const Plan& plan,
                      bool json) {
  if (json) return as_json(tracer, target, plan);
  std::string text = fmt::format("observe {}, {}: nothing is attached\n", tracer, target);
  if (plan.sites.empty()) text += "  attaches to nothing\n";
  for (const auto& site : plan.sites) {
    text += fmt::format("  {:<34} {}", site.where, site.how);
    if (site.cost_ns > 0) text += fmt::format(", {:.0f} ns a hit", site.cost_ns);
    if (site.taken_ns > 0) text += fmt::format(", {:.0f} ns if sampled", site.taken_ns);
    if (!site.note.empty()) text += fmt::format(" ({})", site.note);
    text += '\n';
  }
  text += fmt::format("  memory: {} before the first event, {} when every map is full\n",
                      format_bytes(static_cast<std::uint64_t>(plan.memory_bytes)),
                      format_bytes(static_cast<std::uint64_t>(plan.memory_max_bytes)));
  for (const auto& note : plan.notes) text += fmt::format("  note: {}\n", note);
  return text;
}

}  // namespace lb::observe
