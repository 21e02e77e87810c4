// SPDX-License-Identifier: Apache-2.0
// The answer to GET /v1/explain: every decision as a field, and the same in sentences.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "control/explain_query.h"
#include "control/json_settings.h"
#include "control/json_view.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/units.h"
#include "dataplane/table/slot_decision.h"
#include "dataplane/table/tcp_state.h"

namespace lb {
namespace {

namespace json = boost::json;

std::string endpoint(const IpAddr& address, std::uint16_t port) {
  auto host = address.is_v4() ? address.to_string() : "[" + address.to_string() + "]";
  return fmt::format("{}:{}", host, port);
}

json::value text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return json_text(text);
}

constexpr std::array<std::string_view, 4> kVerdicts{"pass", "drop", "forward", "answer"};

class Explainer {
 public:
  explicit Explainer(const ExplainView& view)
      : view_(view), answer_(view.answer), look_(view.answer.worker), by_worker_(is_handed()) {}

  std::string serialize() {
    arrival();
    service();
    slot();
    flow();
    decision();
    out_["steps"] = std::move(steps_);
    return json::serialize(out_);
  }

 private:
  [[nodiscard]] bool is_handed() const { return answer_.handed != HandReason::None; }
  void say(std::string sentence) { steps_.emplace_back(json_text(sentence)); }

  [[nodiscard]] std::string name_of(std::uint32_t rs_id) const {
    const auto id = static_cast<RsId>(rs_id);
    const Registry::RsRef rs = view_.registry.rs_at_slot(slot_of(id));
    const bool current = rs.address != nullptr && (rs.entry == nullptr || rs.entry->id == id);
    return rs_id != 0 && current ? rs.address->to_string() : std::string();
  }
  [[nodiscard]] static std::string or_nobody(const std::string& name) {
    return name.empty() ? "nobody" : name;
  }

  void arrival() {
    const ExplainRequest& r = view_.request;
    const bool tcp = r.proto == Proto::Tcp;
    const std::string interface = view_.ports[raw(r.port)].interface;
    const std::string flags = tcp ? tcp_flags_text(r.tcp_flags) : std::string();
    const std::uint32_t bytes = r.ip_bytes == 0 ? r.ip_bytes_min() : r.ip_bytes;
    json::object packet;
    packet["client"] = json_text(endpoint(r.client, r.client_port));
    packet["vip"] = json_text(endpoint(r.vip, r.vip_port));
    packet["proto"] = json_text(proto_name(r.proto));
    packet["flags"] = text_or_null(flags);
    packet["ttl"] = r.ttl;
    packet["bytes"] = bytes;
    packet["vlan"] = r.vlan == 0 ? json::value(nullptr) : json::value(r.vlan);
    out_["packet"] = std::move(packet);
    out_["port"] = json_text(interface);
    out_["queue"] = r.queue;
    out_["generation"] = raw(answer_.generation);
    say(fmt::format("{} > {} {}{}, ttl {}, {} bytes{}, in by {}, queue {}",
                    endpoint(r.client, r.client_port), endpoint(r.vip, r.vip_port),
                    proto_name(r.proto), tcp ? " " + flags : "", r.ttl, bytes,
                    r.vlan == 0 ? "" : fmt::format(", VLAN {}", r.vlan), interface, r.queue));
  }

  void service() {
    out_["service"] = nullptr;
    out_["scheduler"] = nullptr;
    const IpAddr& vip = view_.request.vip;
    if (look_.service == nullptr) {
      const bool is_vip = view_.registry.vips().contains(vip);
      return say(is_vip
                     ? fmt::format("{} is a VIP, but no service takes port {}/{}", vip.to_string(),
                                   view_.request.vip_port, proto_name(view_.request.proto))
                     : fmt::format("{} is no VIP", vip.to_string()));
    }
    const std::string name = look_.service->address.to_string();
    const std::string_view scheduler = scheduler_name(look_.service->scheduler);
    out_["service"] = json_text(name);
    out_["scheduler"] = json_text(scheduler);
    say(fmt::format("service {}, scheduler {}, generation {}", name, scheduler,
                    raw(answer_.generation)));
  }

  // The slot that had a say: as the program found it, else where the worker would look.
  void slot() {
    out_["slot"] = nullptr;
    const bool traced = (answer_.trace.steps & LB_TRACE_SLOT) != 0;
    if (look_.service == nullptr || !look_.service->table || (!traced && !look_.slot)) return;
    const TableObject& table = *look_.service->table;
    const std::uint32_t index = traced ? answer_.trace.slot : *look_.slot;
    if (index >= table.head().slots) return;
    const std::uint32_t word = traced ? answer_.trace.word : table.hot(index);
    const std::uint32_t state = traced ? answer_.trace.state : table.state(index);
    const bool asks = (word & LB_SLOT_ASK) != 0;
    const bool open = asks && (state & LB_STATE_OPEN) != 0;
    const std::string owner = member_name(word & LB_SLOT_OWNER);
    const std::string old = open ? member_name(state & LB_STATE_OLD) : std::string();
    const std::string_view kind = open ? "open" : asks ? "exceptions" : "steady";
    json::object out;
    out["index"] = index;
    out["slots"] = table.head().slots;
    out["state"] = json_text(kind);
    out["owner"] = text_or_null(owner);
    out["old"] = text_or_null(old);
    out["closes_in_s"] = nullptr;
    std::string sentence = fmt::format("slot {} of {}, {}: its owner is {}", index,
                                       table.head().slots, kind, or_nobody(owner));
    if (open) {
      const std::uint32_t at = state >> LB_STATE_DEADLINE_SHIFT & LB_STATE_DEADLINE;
      const std::uint32_t deadline = table.head().deadline_s[at];
      const std::uint32_t left = deadline > view_.boot_s ? deadline - view_.boot_s : 0;
      out["closes_in_s"] = left;
      sentence += fmt::format(", before the change it was {}; it closes in {}", or_nobody(old),
                              rough_duration(std::uint64_t{left} * 1000));
    }
    out_["slot"] = std::move(out);
    say(std::move(sentence));
  }
  [[nodiscard]] std::string member_name(std::uint32_t member) const {
    const std::vector<RsId>& members = look_.service->members;
    return member < members.size() ? name_of(raw(members[member])) : std::string();
  }

  void flow() {
    out_["flow"] = nullptr;
    const lb_trace& t = answer_.trace;
    const bool asked = (t.steps & LB_TRACE_MEMORY) != 0 || (by_worker_ && look_.remembers);
    std::optional<FlowData> known;
    bool follows = look_.follows;
    if ((t.steps & LB_TRACE_FLOW) != 0) {
      known = {static_cast<RsId>(t.flow_rs_id), static_cast<ServiceId>(t.flow_service_id),
               t.flow_seen, static_cast<FlowState>(t.flow_state)};
      if (!by_worker_) follows = (t.steps & LB_TRACE_FOLLOWS) != 0;
    } else if (by_worker_) {
      known = look_.flow;
    }
    if (!known) {
      if (asked) say("the flow memory does not know this flow");
      return;
    }
    const std::string name = name_of(raw(known->rs));
    const auto idle =
        static_cast<std::uint64_t>(std::max(ms_since(view_.now, known->last_seen), 0));
    json::object out;
    out["real_server"] = text_or_null(name);
    out["state"] = json_text(flow_state_name(known->state));
    out["idle_ms"] = idle;
    out["follows"] = follows;
    out_["flow"] = std::move(out);
    say(fmt::format("the flow memory has this flow: {}, {}, last seen {} ago{}",
                    name.empty() ? "a real server that is gone" : name,
                    flow_state_name(known->state), rough_duration(idle),
                    follows ? ""
                            : "; that is of no use to this packet (too old, over, or its "
                              "real server is down or drains)"));
  }

  void decision() {
    const bool pass = !by_worker_ && answer_.verdict == ExplainVerdict::Pass;
    const ExplainVerdict verdict = by_worker_ ? look_.verdict : answer_.verdict;
    out_["decided_by"] = by_worker_ ? "worker" : "xdp";
    out_["handover"] = by_worker_ ? json::value(json_text(hand_reason_name(answer_.handed)))
                                  : json::value(nullptr);
    out_["alone"] = answer_.alone;
    out_["verdict"] = json_text(kVerdicts[static_cast<std::size_t>(verdict)]);
    for (const char* key : {"reason", "real_server", "mac", "vlan", "out"}) out_[key] = nullptr;
    out_["candidates"] = json::array();
    out_["remembers"] = by_worker_ && look_.remembers;
    if (by_worker_) {
      say(fmt::format("XDP hands it to worker {}: {} ({})", view_.request.queue,
                      hand_reason_name(answer_.handed), hand_reason_help(answer_.handed)));
    } else if (answer_.alone) {
      say("the worker that should decide does not run: XDP decides by itself");
    }
    if (pass) {
      return say(answer_.panic ? "it passes to the kernel: panic is on (lbctl panic off)"
                               : "it passes to the kernel of the director");
    }
    if (verdict == ExplainVerdict::Forward) return forward();
    const DropReason reason = by_worker_ ? look_.drop : answer_.drop;
    out_["reason"] = json_text(drop_reason_name(reason));
    say(fmt::format(
        "it is {}: {} ({})",
        verdict == ExplainVerdict::Answer ? "answered by an ICMP message and dropped" : "dropped",
        drop_reason_name(reason), drop_reason_help(reason)));
  }

  void forward() {
    if (by_worker_ && look_.rs == nullptr) return one_of_several();
    std::string name, mac, out;
    std::uint16_t vlan = 0;
    if (by_worker_) {
      const RealServer& rs = *look_.rs;
      name = rs.address.to_string();
      mac = rs.mac.to_string();
      vlan = rs.vlan;
      out = view_.ports[raw(rs.egress)].interface;
    } else {
      name = name_of(answer_.trace.rs_id);
      read_frame(mac, vlan, out);
    }
    out_["real_server"] = text_or_null(name);
    out_["mac"] = json_text(mac);
    out_["vlan"] = vlan == 0 ? json::value(nullptr) : json::value(vlan);
    out_["out"] = text_or_null(out);
    say(fmt::format("{} sends it to {}: MAC {}{}, out by {}{}", by_worker_ ? "the worker" : "XDP",
                    or_nobody(name), mac, vlan == 0 ? "" : fmt::format(", VLAN {}", vlan), out,
                    by_worker_ && look_.remembers ? "; the flow is remembered" : ""));
  }
  // What XDP wrote into the frame.
  void read_frame(std::string& mac, std::uint16_t& vlan, std::string& out) const {
    const std::vector<std::uint8_t>& frame = answer_.frame;
    MacAddr to, from;
    if (frame.size() < 18) return;
    std::copy_n(frame.begin(), 6, to.bytes.begin());
    std::copy_n(frame.begin() + 6, 6, from.bytes.begin());
    mac = to.to_string();
    if (frame[12] == 0x81 && frame[13] == 0) {
      vlan = static_cast<std::uint16_t>((frame[14] << 8 | frame[15]) & 0xfff);
    }
    const bool agree = look_.rs != nullptr && raw(look_.rs->id) == answer_.trace.rs_id;
    auto port = std::ranges::find(view_.ports, from, &PortInfo::mac);
    if (agree) {
      out = view_.ports[raw(look_.rs->egress)].interface;
    } else if (port != view_.ports.end()) {
      out = port->interface;
    }
  }
  void one_of_several() {
    json::array names;
    std::string listed;
    for (const RealServer* rs : look_.candidates) {
      names.emplace_back(json_text(rs->address.to_string()));
      listed += (listed.empty() ? "" : ", ") + rs->address.to_string();
    }
    out_["candidates"] = std::move(names);
    say(
        fmt::format("the worker sends it to the one whose turn it is by {}: {}; the flow is "
                    "remembered",
                    scheduler_name(look_.service->scheduler), listed));
  }

  const ExplainView& view_;
  const Explanation& answer_;
  const WorkerLook& look_;
  bool by_worker_;
  json::object out_;
  json::array steps_;
};

}  // namespace

std::string explain_json(const ExplainView& view) { return Explainer(view).serialize(); }

}  // namespace lb
