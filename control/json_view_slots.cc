// SPDX-License-Identifier: Apache-2.0
// The answer about the slots of a service.
#include <boost/json.hpp>
#include <cmath>
#include <utility>

#include "control/json_settings.h"
#include "control/json_view.h"
#include "control/slot_shares.h"

namespace lb {
namespace {

namespace json = boost::json;

/// To hundredths: a slot of 65537 is less than that.
double rounded(double percent) { return std::round(percent * 100) / 100; }

json::object member_object(const SlotShare& share) {
  json::object out;
  out["address"] = json_text(share.address.to_string());
  out["sorry"] = share.sorry;
  out["up"] = share.up;
  out["draining"] = share.drains;
  out["weight"] = share.weight;
  out["slots"] = share.slots;
  out["percent"] = rounded(share.percent);
  out["percent_wanted"] = rounded(share.percent_wanted);
  out["gained_slots"] = share.gained;
  out["leaving_slots"] = share.leaving;
  out["exception_slots"] = share.exceptions;
  return out;
}

json::value seconds_json(const std::optional<std::uint32_t>& seconds) {
  if (!seconds) return nullptr;
  return *seconds;
}

}  // namespace

std::string slots_json(const ServiceAddr& service, const ServiceSettings& settings,
                       const TableObject* table, std::uint32_t boot_s) {
  SlotShares shares;
  if (table != nullptr) shares = slot_shares(*table, boot_s);
  json::array members;
  for (const SlotShare& share : shares.members) members.push_back(member_object(share));
  json::object out;
  out["service"] = json_text(service.to_string());
  out["scheduler"] = json_text(scheduler_name(settings.scheduler));
  out["hashed"] = is_hashed(settings.scheduler);
  out["slots"] = shares.slots;
  out["open_slots"] = shares.open;
  out["exception_slots"] = shares.exceptions;
  out["unowned_slots"] = shares.unowned;
  out["window_s"] = (transition_window_ms(service, settings) + 999) / 1000;
  out["next_deadline_s"] = seconds_json(shares.first_s);
  out["last_deadline_s"] = seconds_json(shares.last_s);
  out["real_servers"] = std::move(members);
  return json::serialize(out);
}

}  // namespace lb
