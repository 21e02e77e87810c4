// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/port.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "dataplane/base/log.h"

namespace lb {

Result<std::unique_ptr<Port>> Port::open(const PortConfig& config, const OffloadNotes& notes,
                                         const PinDir& pins) {
  const auto& name = config.interface;
  LB_TRY_ASSIGN(auto link, read_link(name));
  if (!link.ethernet) {
    return fail(EINVAL, fmt::format("interface {} is not an Ethernet interface", name));
  }
  std::uint32_t queues = rx_queues_in_use(name, link);
  if (queues == 0) {
    return fail(EINVAL, fmt::format("interface {} has no RX queues, so AF_XDP cannot serve it "
                                    "(ethtool -l {})",
                                    name, name));
  }
  std::unique_ptr<Port> port(new Port(name, link, notes, pins));
  port->driver_ = driver_name(name);
  port->queues_ = port->queues_now_ = queues;
  return port;
}

Status Port::load(const FastPath& shared) {
  auto program = XdpProgram::load(shared);
  if (!program) return fail_in("interface " + interface_, std::move(program.error()));
  program_.emplace(std::move(*program));
  return {};
}

Status Port::attach(XdpMode mode, bool replace_foreign) {
  LB_TRY(offloads_.switch_off(Offload::VlanStripping));
  if (auto off = offloads_.switch_off(Offload::VlanFilter); !off) {
    vlan_reason_ = std::move(off.error().message);
    spdlog::info("{}", vlan_reason_);
  }
  LB_TRY(program_->set_mac(link_.mac));
  if (found_) {
    in_force_ = program_->adopt(std::move(*std::exchange(found_, std::nullopt)), link_.ifindex);
    stays_ = true;  // until go_live() it is as it was found
    return {};
  }
  LB_TRY_ASSIGN(in_force_, program_->attach(link_.ifindex, interface_, mode, replace_foreign));
  return {};
}

void Port::detach() noexcept {
  if (program_ && !stays_) program_->detach(pins_, link_.ifindex);
}

Port::~Port() {
  detach();
  if (stays_ || found_) offloads_.keep();
}

void Port::follow_mac() {
  auto now = read_link(interface_);
  if (!now || now->ifindex != link_.ifindex || now->mac == link_.mac) return;
  if (program_->set_mac(now->mac)) link_.mac = now->mac;
}

void Port::follow_queues() {
  auto now = read_link(interface_);
  if (!now || now->ifindex != link_.ifindex) return;
  const std::uint32_t queues = rx_queues_in_use(interface_, *now);
  if (queues == std::exchange(queues_now_, queues)) return;
  if (auto problem = queues_problem(); !problem.empty()) {
    spdlog::error("port {}: {}", interface_, problem);
  } else {
    spdlog::info("port {}: {} RX queue(s) in use, all with a socket", interface_, queues);
  }
}

std::string Port::queues_problem() const {
  if (queues_now_ <= queues_) return {};
  return fmt::format(
      "it has {} RX queues now, but only {} had a socket when lbd started: packets for VIPs on the "
      "others are dropped (no_socket). Go back ({}) or restart lbd",
      queues_now_, queues_, set_queues_command(interface_, queues_));
}

PortInfo Port::info() const {
  PortInfo info;
  info.interface = interface_;
  info.ifindex = link_.ifindex;
  info.mac = link_.mac;
  info.mtu = link_.mtu;
  info.driver = driver_;
  info.xdp_mode = native() ? "native" : "generic";
  info.xdp_mode_reason = in_force_.reason;
  info.queues = queues_;
  info.queues_now = queues_now_;
  info.problem = queues_problem();
  info.vlan_reason = vlan_reason_;
  info.program_id = in_force_.program_id;
  if (auto now = read_link(interface_); now && now->ifindex == link_.ifindex) {
    info.up = now->up;
    info.mac = now->mac;
    info.mtu = now->mtu;
  }
  auto counters = program_->counters();
  info.xdp_passed = counters.passed;
  info.xdp_sent = counters.sent;
  info.xdp_forwarded = counters.redirected;
  info.xdp_alone = counters.alone;
  info.xdp_handed = counters.handed_sum();
  std::ranges::copy(counters.handed, info.handed.begin());
  info.xdp_panic_passed = counters.panic_passed;
  info.xdp_drops = counters.drops;
  return info;
}

Status check_queues(const std::vector<std::unique_ptr<Port>>& ports) {
  auto fewest =
      std::ranges::min_element(ports, {}, [](const auto& port) { return port->queues(); });
  for (const auto& port : ports) {
    std::uint32_t wanted = std::min<std::uint32_t>((*fewest)->queues(), LB_QUEUES_MAX);
    if (port->queues() == wanted) continue;
    return fail(
        EINVAL,
        fmt::format("interface {} has {} RX queues, {} has {}; all ports must have the "
                    "same number, at most {}: {}",
                    port->interface(), port->queues(), (*fewest)->interface(), (*fewest)->queues(),
                    LB_QUEUES_MAX, set_queues_command(port->interface(), wanted)));
  }
  return {};
}

}  // namespace lb
