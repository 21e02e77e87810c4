// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "control/client/rs_setup.h"

namespace lb::client {
namespace {

int value_of(const std::map<std::string, int>& values, const std::string& name) {
  auto it = values.find(name);
  return it == values.end() ? 0 : it->second;
}

/// The kernel takes the larger of conf.all and conf.INTERFACE (IN_DEV_MAXCONF), so that is what is
/// judged.
RsCheck judge_sysctl(std::string_view key, const std::map<std::string, int>& values, int wanted,
                     std::string_view meaning) {
  RsCheck check;
  check.what = fmt::format("{} is {} ({})", key, wanted, meaning);
  int all = value_of(values, "all");
  std::vector<std::string> low;
  for (const auto& [interface, own] : values) {
    if (interface == "all" || interface == "default" || interface == "lo") continue;
    if (std::max(all, own) < wanted) low.push_back(interface);
  }
  check.good = low.empty();
  check.found = check.good ? fmt::format("net.ipv4.conf.all.{} = {}", key, all)
                           : fmt::format("too low on {}", fmt::join(low, ", "));
  if (!check.good) check.fix = fmt::format("sysctl -w net.ipv4.conf.all.{}={}", key, wanted);
  return check;
}

std::string on(const HeldAddress& held) {
  return fmt::format("{}/{} on {}", held.address.to_string(), held.prefix_length, held.interface);
}

RsCheck judge_on_lo(const IpAddr& vip, const RsState& state) {
  unsigned full = vip.is_v4() ? 32 : 128;
  auto text = vip.to_string();
  RsCheck check{
      .what = fmt::format("{}/{} is on lo", text, full), .good = false, .found = "", .fix = ""};
  for (const auto& held : state.addresses) {
    if (held.interface != "lo" || held.address != vip) continue;
    check.good = held.prefix_length == full;
    check.found = on(held);
    if (!check.good) {
      // A shorter prefix on lo makes the whole network local: this RS could no longer reach it.
      check.fix = fmt::format("ip address del {}/{} dev lo", text, held.prefix_length);
      return check;
    }
  }
  if (check.good) return check;
  check.found = "it is not there";
  check.fix = vip.is_v4() ? fmt::format("ip address add {}/32 dev lo", text)
                          : fmt::format("ip address add {}/128 dev lo nodad preferred_lft 0", text);
  return check;
}

RsCheck judge_nowhere_else(const IpAddr& vip, const RsState& state) {
  RsCheck check{.what = fmt::format("{} is on no other interface", vip.to_string()),
                .good = true,
                .found = "",
                .fix = ""};
  for (const auto& held : state.addresses) {
    if (held.interface == "lo" || held.address != vip) continue;
    check.good = false;
    check.found = on(held) + ": this machine answers for the VIP in the director's place";
    check.fix = fmt::format("ip address del {}/{} dev {}", vip.to_string(), held.prefix_length,
                            held.interface);
  }
  return check;
}

}  // namespace

std::vector<RsCheck> judge(const IpAddr& vip, const RsState& state) {
  std::vector<RsCheck> checks;
  checks.push_back({.what = "lo is up",
                    .good = state.lo_up,
                    .found = state.lo_up ? "up" : "down",
                    .fix = state.lo_up ? "" : "ip link set lo up"});
  if (vip.is_v4()) {
    checks.push_back(judge_sysctl("arp_ignore", state.arp_ignore, 1,
                                  "answers ARP for the receiving interface's addresses alone"));
    checks.push_back(
        judge_sysctl("arp_announce", state.arp_announce, 2, "never asks by ARP in the VIP's name"));
  }
  checks.push_back(judge_on_lo(vip, state));
  checks.push_back(judge_nowhere_else(vip, state));
  return checks;
}

std::string rs_setup_text(const IpAddr& vip) {
  auto text = vip.to_string();
  if (vip.is_v4()) {
    return fmt::format(
        "# {0} on a real server, for DR (as root; `lbctl rs-setup {0} --apply` does the same):\n"
        "sysctl -w net.ipv4.conf.all.arp_ignore=1    # answer ARP for the receiving interface's "
        "addresses alone\n"
        "sysctl -w net.ipv4.conf.all.arp_announce=2  # never ask by ARP in the VIP's name\n"
        "ip address add {0}/32 dev lo                # take packets for the VIP\n"
        "#\n"
        "# To keep it over a restart:\n"
        "#   /etc/sysctl.d/60-sluice.conf      net.ipv4.conf.all.arp_ignore = 1\n"
        "#                                     net.ipv4.conf.all.arp_announce = 2\n"
        "#   /etc/network/interfaces           auto lo:sluice\n"
        "#                                     iface lo:sluice inet static\n"
        "#                                       address {0}/32\n"
        "# `lbctl rs-setup {0} --check` tells whether it is right.\n",
        text);
  }
  return fmt::format(
      "# {0} on a real server, for DR (as root; `lbctl rs-setup {0} --apply` does the same):\n"
      "ip address add {0}/128 dev lo nodad preferred_lft 0  # take packets for the VIP, never "
      "start "
      "one from it\n"
      "#\n"
      "# IPv6 needs no sysctl: a neighbour solicitation is answered for addresses of the "
      "receiving\n"
      "# interface alone, and the VIP is on lo.\n"
      "# To keep it over a restart, in /etc/network/interfaces:\n"
      "#   iface lo inet6 loopback\n"
      "#     up ip address add {0}/128 dev lo nodad preferred_lft 0\n"
      "# `lbctl rs-setup {0} --check` tells whether it is right.\n",
      text);
}

}  // namespace lb::client
