// SPDX-License-Identifier: Apache-2.0
#include "control/client/rs_setup.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

#include "control/client/table.h"
#include "control/netlink.h"
#include "dataplane/base/fd.h"

namespace lb::client {
namespace {

constexpr std::string_view kConf = "/proc/sys/net/ipv4/conf";

std::string sysctl_path(std::string_view interface, std::string_view key) {
  return fmt::format("{}/{}/{}", kConf, interface, key);
}

Result<int> read_int(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot read " + path);
  std::array<char, 32> text{};
  ssize_t got = ::read(fd.get(), text.data(), text.size());
  if (got < 0) return fail_errno(errno, "cannot read " + path);
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + got, value);
  if (error != std::errc{}) return fail(EBADMSG, path + " holds no number");
  return value;
}

Status write_int(const std::string& path, int value) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  auto text = fmt::format("{}\n", value);
  if (!fd || ::write(fd.get(), text.data(), text.size()) < 0) {
    return fail_errno(errno, fmt::format("cannot write {} to {} (this needs root)", value, path));
  }
  return {};
}

Result<std::vector<std::string>> configured_interfaces() {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(std::string(kConf).c_str()), ::closedir);
  if (!dir) return fail_errno(errno, fmt::format("cannot read {}", kConf));
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

/// Applies or removes step by step and remembers what it did.
class Doer {
 public:
  Doer(Netlink& netlink, const IpAddr& vip, int lo) : netlink_(netlink), vip_(vip), lo_(lo) {}

  /// Sysctls first: between the address and them this machine would answer ARP for the VIP.
  Status apply(const RsState& state) {
    if (vip_.is_v4()) {
      LB_TRY(raise("arp_ignore", state.arp_ignore, 1));
      LB_TRY(raise("arp_announce", state.arp_announce, 2));
    }
    auto status = netlink_.add_address(on_lo());
    if (!status && status.error().code.value() == EEXIST) return {};
    if (!status) return fail_in("cannot put the VIP on lo (this needs root)", status.error());
    done_.push_back(fmt::format("put {} on lo", vip_.to_string()));
    return {};
  }

  Status remove(const RsState& state) {
    auto status = netlink_.remove_address(on_lo());
    if (status) {
      done_.push_back(fmt::format("took {} off lo", vip_.to_string()));
    } else if (status.error().code.value() != EADDRNOTAVAIL) {
      return fail_in("cannot take the VIP off lo (this needs root)", status.error());
    }
    bool others = std::ranges::any_of(state.addresses, [&](const HeldAddress& held) {
      return held.interface == "lo" && held.address.is_v4() && !held.address.is_loopback() &&
             held.address != vip_;
    });
    // Another VIP on lo still needs them; a value that is not ours is somebody else's.
    if (!vip_.is_v4() || others || !status) return {};
    LB_TRY(lower("arp_ignore", state.arp_ignore, 1));
    return lower("arp_announce", state.arp_announce, 2);
  }

  [[nodiscard]] const std::vector<std::string>& done() const { return done_; }

 private:
  [[nodiscard]] InterfaceAddress on_lo() const {
    InterfaceAddress address;
    address.ifindex = lo_;
    address.address = vip_;
    address.prefix_length = vip_.is_v4() ? 32 : 128;
    return address;
  }
  Status set(std::string_view key, int value) {
    LB_TRY(write_int(sysctl_path("all", key), value));
    done_.push_back(fmt::format("set net.ipv4.conf.all.{} = {}", key, value));
    return {};
  }
  Status raise(std::string_view key, const std::map<std::string, int>& values, int wanted) {
    auto it = values.find("all");
    return it != values.end() && it->second >= wanted ? Status{} : set(key, wanted);
  }
  Status lower(std::string_view key, const std::map<std::string, int>& values, int ours) {
    auto it = values.find("all");
    return it != values.end() && it->second == ours ? set(key, 0) : Status{};
  }

  Netlink& netlink_;
  IpAddr vip_;
  int lo_;
  std::vector<std::string> done_;
};

Result<IpAddr> parse_vip(const std::string& text) {
  if (auto address = IpAddr::parse(text)) {
    if (address->is_unspecified() || address->is_multicast() || address->is_loopback() ||
        address->is_broadcast()) {
      return fail(EINVAL, fmt::format("{} cannot be a VIP", text));
    }
    return address;
  }
  auto service = ServiceAddr::parse(text);
  if (service) return service->vip;
  return fail(EINVAL, fmt::format("\"{}\" is not a VIP (write 192.0.2.10, 2001:db8::1 or a service "
                                  "address)",
                                  text));
}

ExitCode print_checks(Session& session, const IpAddr& vip, const std::vector<RsCheck>& checks) {
  bool good = std::ranges::all_of(checks, &RsCheck::good);
  if (session.json()) {
    JsonObject answer;
    answer.set("vip", vip.to_string()).set_flag("good", good);
    for (const auto& check : checks) {
      JsonObject one;
      one.set("what", check.what).set_flag("good", check.good).set("found", check.found);
      answer.append("checks", one.set("fix", check.fix));
    }
    session.print(answer.to_string() + "\n");
  } else {
    for (const auto& check : checks) {
      auto word = check.good ? paint("ok   ", Tone::Good, session.colour())
                             : paint("WRONG", Tone::Bad, session.colour());
      session.print(fmt::format("{}  {}{}{}\n", word, check.what, check.found.empty() ? "" : ": ",
                                check.found));
      if (!check.good) session.print(fmt::format("       mend it with: {}\n", check.fix));
    }
  }
  return good ? ExitCode::Done : ExitCode::Unhealthy;
}

ExitCode print_done(Session& session, const IpAddr& vip, const std::vector<std::string>& done) {
  if (!session.json()) {
    for (const auto& line : done) session.print(line + "\n");
    if (done.empty()) session.print("nothing to do: it is so already\n");
    return ExitCode::Done;
  }
  std::string list;
  for (const auto& line : done) list += fmt::format("{}\"{}\"", list.empty() ? "" : ",", line);
  session.print(fmt::format("{{\"vip\":\"{}\",\"changed\":[{}]}}\n", vip.to_string(), list));
  return ExitCode::Done;
}

ExitCode change(Session& session, const IpAddr& vip, const RsState& state, RsSetupMode mode) {
  auto netlink = Netlink::open();
  if (!netlink) return session.report("system", netlink.error().message);
  constexpr int kLoopbackIfindex = 1;  // LOOPBACK_IFINDEX: the same in every network namespace
  Doer doer(*netlink, vip, kLoopbackIfindex);
  auto status = mode == RsSetupMode::Apply ? doer.apply(state) : doer.remove(state);
  if (status) return print_done(session, vip, doer.done());
  std::string before;
  for (const auto& line : doer.done()) before += line + "; then ";
  session.report("system", before + status.error().message);
  return doer.done().empty() ? ExitCode::Failed : ExitCode::Partly;
}

}  // namespace

Result<RsState> read_rs_state() {
  RsState state;
  LB_TRY_ASSIGN(auto interfaces, configured_interfaces());
  for (const auto& name : interfaces) {
    LB_TRY_ASSIGN(state.arp_ignore[name], read_int(sysctl_path(name, "arp_ignore")));
    LB_TRY_ASSIGN(state.arp_announce[name], read_int(sysctl_path(name, "arp_announce")));
  }
  LB_TRY_ASSIGN(auto netlink, Netlink::open());
  LB_TRY_ASSIGN(auto links, netlink.links());
  LB_TRY_ASSIGN(auto addresses, netlink.addresses());
  for (const auto& address : addresses) {
    auto link = std::ranges::find(links, address.ifindex, &LinkEntry::ifindex);
    if (link == links.end()) continue;
    state.addresses.push_back({link->name, address.address, address.prefix_length});
  }
  auto lo = std::ranges::find(links, "lo", &LinkEntry::name);
  state.lo_up = lo != links.end() && lo->up;
  return state;
}

ExitCode rs_setup(Session& session, const std::string& text, RsSetupMode mode) {
  auto vip = parse_vip(text);
  if (!vip) return session.report("bad_request", vip.error().message);
  if (mode == RsSetupMode::Print && !session.json()) {
    session.print(rs_setup_text(*vip));
    return ExitCode::Done;
  }
  auto state = read_rs_state();
  if (!state) return session.report("system", state.error().message);
  if (mode == RsSetupMode::Apply || mode == RsSetupMode::Remove) {
    return change(session, *vip, *state, mode);
  }
  auto answer = print_checks(session, *vip, judge(*vip, *state));
  return mode == RsSetupMode::Check ? answer : ExitCode::Done;
}

}  // namespace lb::client
