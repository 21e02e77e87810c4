// SPDX-License-Identifier: Apache-2.0
#include "control/explain_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "control/refusal.h"

namespace lb {
namespace {

using Query = std::map<std::string, std::string>;

constexpr std::array<std::pair<std::string_view, std::uint8_t>, 6> kFlags{
    {{"fin", 1}, {"syn", 2}, {"rst", 4}, {"psh", 8}, {"ack", 16}, {"urg", 32}}};

Result<std::uint32_t> number(const std::string& key, const std::string& text, std::uint32_t least,
                             std::uint32_t most) {
  std::uint32_t value = 0;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || value < least || value > most) {
    return refuse(Refusal::BadRequest,
                  fmt::format("{}: \"{}\" is no number from {} to {}", key, text, least, most));
  }
  return value;
}

Result<std::uint8_t> parse_flags(std::string_view text) {
  std::uint8_t flags = 0;
  if (text == "none") return flags;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    auto found = std::ranges::find(kFlags, word, &std::pair<std::string_view, std::uint8_t>::first);
    if (found == kFlags.end()) {
      return refuse(Refusal::BadRequest,
                    fmt::format("flags: there is no TCP flag \"{}\"; there are fin, syn, rst, psh, "
                                "ack and urg, with a comma between them, or none",
                                word));
    }
    flags |= found->second;
    if (comma == std::string_view::npos) return flags;
    text.remove_prefix(comma + 1);
  }
}

Status parse_client(const std::string& text, ExplainRequest& to) {
  auto address = ServiceAddr::parse(text + "/tcp");
  if (!address || address->is_range()) {
    return refuse(Refusal::BadRequest,
                  fmt::format("client: \"{}\" is no ADDRESS:PORT such as 198.51.100.7:51234 or "
                              "[2001:db8::7]:51234",
                              text));
  }
  to.client = address->vip;
  to.client_port = address->port_first;
  return {};
}

Status parse_vip(const std::string& text, ExplainRequest& to) {
  auto address = ServiceAddr::parse(text);
  if (!address) return refuse(Refusal::BadRequest, "vip: " + address.error().message);
  if (address->is_range()) {
    return refuse(Refusal::BadRequest,
                  fmt::format("vip: a packet goes to one port, not to {}: write one of them, as in "
                              "192.0.2.10:80/tcp",
                              text));
  }
  to.vip = address->vip;
  to.vip_port = address->port_first;
  to.proto = address->proto;
  if (to.client.family() == to.vip.family()) return {};
  return refuse(Refusal::BadRequest, fmt::format("client {} and VIP {} are of two address families",
                                                 to.client.to_string(), to.vip.to_string()));
}

Status parse_place(const Query& query, std::span<const PortInfo> ports, ExplainRequest& to) {
  std::size_t index = 0;
  if (auto port = query.find("port"); port != query.end()) {
    auto found = std::ranges::find(ports, port->second, &PortInfo::interface);
    if (found == ports.end()) {
      std::string names;
      for (const PortInfo& each : ports) {
        names += (names.empty() ? "" : ", ") + each.interface;
      }
      return refuse(Refusal::BadRequest,
                    fmt::format("port: lbd has no port \"{}\"; it has {}", port->second, names));
    }
    index = static_cast<std::size_t>(found - ports.begin());
  }
  if (index >= ports.size()) return refuse(Refusal::BadRequest, "port: lbd has none");
  to.port = static_cast<PortIndex>(index);
  auto queue = query.find("queue");
  if (queue == query.end()) return {};
  const std::uint32_t queues = std::max(1U, ports[index].queues);
  LB_TRY_ASSIGN(to.queue, number("queue", queue->second, 0, queues - 1));
  return {};
}

Status parse_header(const Query& query, ExplainRequest& to) {
  for (const auto& [key, value] : query) {
    if (key == "flags") {
      if (to.proto != Proto::Tcp) {
        return refuse(Refusal::BadRequest,
                      fmt::format("flags: only TCP has them, not {}", proto_name(to.proto)));
      }
      LB_TRY_ASSIGN(to.tcp_flags, parse_flags(value));
    } else if (key == "ttl") {
      LB_TRY_ASSIGN(const std::uint32_t ttl, number(key, value, 0, 255));
      to.ttl = static_cast<std::uint8_t>(ttl);
    } else if (key == "length") {
      LB_TRY_ASSIGN(to.ip_bytes,
                    number(key, value, to.ip_bytes_min(), ExplainRequest::kIpBytesMax));
    } else if (key == "vlan") {
      LB_TRY_ASSIGN(const std::uint32_t vlan, number(key, value, 1, 4094));
      to.vlan = static_cast<std::uint16_t>(vlan);
    } else if (key != "client" && key != "vip" && key != "port" && key != "queue") {
      return refuse(Refusal::BadRequest, "explain has no \"" + key +
                                             "\"; it has client, vip, flags, ttl, length, vlan, "
                                             "port and queue");
    }
  }
  return {};
}

}  // namespace

Result<ExplainRequest> parse_explain(const Query& query, std::span<const PortInfo> ports) {
  ExplainRequest request;
  auto client = query.find("client");
  auto vip = query.find("vip");
  if (client == query.end() || vip == query.end()) {
    return refuse(Refusal::BadRequest,
                  "explain needs client=ADDRESS:PORT and vip=ADDRESS:PORT/PROTO");
  }
  LB_TRY(parse_client(client->second, request));
  LB_TRY(parse_vip(vip->second, request));
  LB_TRY(parse_header(query, request));
  LB_TRY(parse_place(query, ports, request));
  return request;
}

std::string tcp_flags_text(std::uint8_t flags) {
  std::string text;
  for (const auto& [name, bit] : kFlags) {
    if ((flags & bit) == 0) continue;
    if (!text.empty()) text += ',';
    text += name;
  }
  return text.empty() ? "none" : text;
}

}  // namespace lb
