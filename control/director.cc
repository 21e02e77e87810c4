// SPDX-License-Identifier: Apache-2.0
// Director: what happens when something happens. Events only mark what they touched; settle() then
// does the work once.
#include "control/director.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <exception>
#include <type_traits>
#include <utility>
#include <variant>

#include "control/acl_journal.h"
#include "control/api_router.h"
#include "control/api_server.h"
#include "control/arp_nd.h"
#include "control/controller.h"
#include "control/health.h"
#include "control/neighbours.h"
#include "control/packet_socket.h"
#include "control/sd_notify.h"
#include "control/tagged_neighbours.h"
#include "control/vip_address.h"
#include "control/worker_watch.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

namespace lb {
namespace asio = boost::asio;
namespace {

constexpr auto kTick = std::chrono::milliseconds(250);
constexpr unsigned kTicksPerSecond = 4;
constexpr unsigned kTicksPerWatch = 3 * kTicksPerSecond;
constexpr std::uint64_t kExceptionLogMs = 1'000;

std::uint64_t now_ms() { return monotonic_ns() / 1'000'000; }

void log_report(const char* what, const ReloadReport& report) {
  for (const std::string& line : report.changed) spdlog::info("{}: {}", what, line);
  for (const std::string& line : report.dropped) spdlog::warn("{}: {}", what, line);
}

}  // namespace

Status read_networks(Netlink& netlink, Networks& networks) {
  LB_TRY_ASSIGN(auto links, netlink.links());
  LB_TRY_ASSIGN(auto addresses, netlink.addresses());
  networks.reset(links, addresses);
  return {};
}

struct Director::Impl {
  explicit Impl(Parts parts);

  void wait_for_events();
  void wait_for_tick();
  void wait_for_signal();
  void on_events();
  void on_event(const LinkChanged& event);
  void on_event(const LinkGone& event);
  void on_event(const AddressChanged& event);
  void on_event(const NeighbourChanged& event);
  void on_event(const EventsLost& event);
  /// Whatever goes wrong in an event (no memory), lbd goes on; settle() tries again.
  template <class Work>
  bool guarded(const char* what, Work&& work) noexcept;
  void on_tick();
  void reload();
  void after_change();
  void follow_log_level();
  void settle();
  void watch_workers();
  void end_for_a_port_that_is_back();
  void save();
  void read_neighbours();
  void probe(const NeighbourTarget& target);
  void ask(const NeighbourTarget& target);
  std::optional<NeighbourEntry> look_up(const NeighbourTarget& target);
  void announce(PortIndex port, const IpAddr& vip);
  Status send(int ifindex, const Frame& frame);
  ApiResponse on_request(const ApiRequest& request);
  Status start();
  void stop();

  std::unique_ptr<Dataplane> dataplane;
  Netlink netlink;
  Networks networks;
  Fd api_listener;
  asio::io_context io{1};
  asio::posix::stream_descriptor events{io, netlink.events_fd()};
  asio::steady_timer timer{io};
  asio::signal_set signals{io, SIGTERM, SIGINT, SIGHUP};
  TaggedNeighbours tagged;
  NeighbourResolver resolver;
  Controller controller;
  VipAddresses vips;
  HealthChecker checker;
  ApiRouter router{controller};
  std::unique_ptr<ApiServer> api;
  WorkerWatch worker_watch;
  unsigned ticks = 0;
  std::uint64_t saved_revision = 0;
  bool vips_moved = false;
  bool unfollowed = false;   ///< checks and VIPs may be behind the registry
  bool events_lost = false;  ///< links, addresses and neighbours are to be read again
  std::uint64_t exception_said_ms = 0;
  bool keep_log_level;
  std::string log_level;
  std::string save_error, publish_error;
  AclJournal acl_journal;
  std::optional<PacketSocket> sender;
  Status ended;
};

Director::Impl::Impl(Parts parts)
    : dataplane(std::move(parts.dataplane)),
      netlink(std::move(parts.netlink)),
      networks(std::move(parts.networks)),
      api_listener(std::move(parts.api_listener)),
      tagged(io, networks,
             [this](const NeighbourTarget& target, const MacAddr& mac) {
               guarded("an ARP answer", [&] {
                 if (resolver.on_tagged_answer(target, mac, now_ms())) settle();
               });
             }),
      resolver({.probe = [this](const NeighbourTarget& target) { probe(target); },
                .ask = [this](const NeighbourTarget& target) { ask(target); },
                .look_up = [this](const NeighbourTarget& target) { return look_up(target); }}),
      controller(std::move(parts.config), std::move(parts.config_path), std::move(parts.state),
                 {.dataplane = *dataplane,
                  .networks = networks,
                  .resolver = resolver,
                  .now_ms = now_ms,
                  .now_s = boot_s_now}),
      vips(networks,
           {.add = [this](const InterfaceAddress& address) { return netlink.add_address(address); },
            .remove =
                [this](const InterfaceAddress& address) { return netlink.remove_address(address); },
            .announce = [this](PortIndex port, const IpAddr& vip) { announce(port, vip); }}),
      checker(io,
              [this](const CheckTarget& target, bool passed, const std::string& reason) {
                guarded("a check", [&] { controller.on_check(target, passed, reason); });
              }),
      keep_log_level(parts.keep_log_level),
      log_level(controller.config().control.log_level),
      acl_journal(acl_journal_path(controller.config().control.state)) {
  controller.set_on_change([this] { after_change(); });
}

Status Director::Impl::start() {
  LB_TRY_ASSIGN(ReloadReport report, controller.start());
  log_report("start", report);
  read_neighbours();
  settle();
  save();
  api = std::make_unique<ApiServer>(
      io, std::move(api_listener), controller.config().control.socket,
      [this](const ApiRequest& request) { return on_request(request); });
  wait_for_events();
  wait_for_tick();
  wait_for_signal();
  return {};
}

void Director::Impl::stop() {
  notify_systemd("STOPPING=1");
  api.reset();
  checker.set_targets({});
  // What goes on to be forwarded needs its address, to be asked for by ARP and ND.
  if (controller.config().dataplane.stop_mode != StopMode::Keep) vips.remove_all();
  if (saved_revision != controller.saved_revision()) save();
  events.release();  // netlink owns the descriptor
}

void Director::Impl::wait_for_events() {
  events.async_wait(asio::posix::stream_descriptor::wait_read,
                    [this](boost::system::error_code error) {
                      if (error) return;
                      if (!guarded("netlink", [this] { on_events(); })) events_lost = true;
                      wait_for_events();
                    });
}

void Director::Impl::wait_for_tick() {
  timer.expires_after(kTick);
  timer.async_wait([this](boost::system::error_code error) {
    if (error) return;
    guarded("the timer", [this] { on_tick(); });
    wait_for_tick();
  });
}

void Director::Impl::wait_for_signal() {
  signals.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    if (signal == SIGHUP) {
      guarded("a reload", [this] { reload(); });
      wait_for_signal();
      return;
    }
    spdlog::info("stopping ({})", signal == SIGTERM ? "SIGTERM" : "SIGINT");
    io.stop();
  });
}

template <class Work>
bool Director::Impl::guarded(const char* what, Work&& work) noexcept {
  try {
    std::forward<Work>(work)();
    return true;
  } catch (const std::exception& problem) {
    if (std::uint64_t now = now_ms(); now - exception_said_ms >= kExceptionLogMs) {
      exception_said_ms = now;
      spdlog::error("{}: {}; lbd goes on and tries again", what, problem.what());
    }
    return false;
  }
}

void Director::Impl::on_events() {
  auto waiting = netlink.read_events();
  if (!waiting) {
    spdlog::error("{}", waiting.error().message);
    return;
  }
  for (const NetlinkEvent& event : *waiting) {
    std::visit([this](const auto& one) { on_event(one); }, event);
  }
  end_for_a_port_that_is_back();
  settle();
}

void Director::Impl::end_for_a_port_that_is_back() {
  for (const Networks::Port& port : networks.ports()) {
    if (!port.back) continue;
    ended = fail(ENODEV, "port " + port.interface +
                             ": the interface was deleted and made again; lbd ends, and attaches "
                             "to the new one when it is started again");
    io.stop();
  }
}

void Director::Impl::on_event(const LinkChanged& event) {
  Networks::Change change = networks.on_link(event.link);
  if (!change.links) return;
  spdlog::info("port {}: link {}, MAC {}, MTU {}", networks.port(*change.port).interface,
               event.link.up ? "up" : "down", event.link.mac.to_string(), event.link.mtu);
  dataplane->link_changed(*change.port, event.link.up);
  if (event.link.up) vips.announce_again(*change.port);
  vips_moved = true;
}

void Director::Impl::on_event(const LinkGone& event) {
  Networks::Change change = networks.on_link_gone(event.ifindex);
  if (!change.port) return;
  spdlog::error("port {}: the interface is gone; lbd ends when it is back, to be started anew",
                networks.port(*change.port).interface);
  dataplane->link_changed(*change.port, std::nullopt);
}

void Director::Impl::on_event(const AddressChanged& event) {
  if (networks.on_address(event.address, event.gone).addresses) vips_moved = true;
}

void Director::Impl::on_event(const NeighbourChanged& event) {
  if (auto port = networks.find(event.entry.ifindex)) {
    resolver.on_kernel_entry(*port, event.entry, event.gone, now_ms());
  }
}

void Director::Impl::on_event(const EventsLost&) {
  spdlog::warn("netlink lost events; reading links, addresses and neighbours again");
  if (Status read = read_networks(netlink, networks); !read) {
    spdlog::error("{}", read.error().message);
    return;
  }
  for (std::size_t i = 0; i < networks.ports().size(); ++i) {
    const Networks::Port& port = networks.ports()[i];
    std::optional<bool> up = port.exists ? std::optional(port.link.up) : std::nullopt;
    // Also of a port that is as up as before: its MAC may be another one.
    dataplane->link_changed(static_cast<PortIndex>(i), up);
  }
  vips_moved = true;
  read_neighbours();
}

void Director::Impl::on_tick() {
  if (events_lost) {
    on_event(EventsLost{});
    events_lost = false;
  }
  follow_log_level();
  controller.tick();
  dataplane->reclaim();
  if (++ticks % kTicksPerSecond == 0) {
    watch_workers();
    resolver.tick(now_ms());
    vips.tick();
    if (ticks % kTicksPerWatch == 0) dataplane->watch();
    if (saved_revision != controller.saved_revision()) save();
  }
  settle();
}

/// systemd hears nothing while a worker hangs, and restarts lbd when that lasts (WatchdogSec).
void Director::Impl::watch_workers() {
  auto seen = worker_watch.look(dataplane->workers(), now_ms());
  for (const std::string& line : seen.hang) spdlog::error("{}", line);
  for (const std::string& line : seen.resume) spdlog::info("{}", line);
  if (seen.all_step) notify_systemd_alive();
}

void Director::Impl::reload() {
  notify_systemd_reloading();
  auto report = controller.reload();
  if (!report) {
    spdlog::error("reload refused, nothing has changed: {}", report.error().message);
  } else {
    spdlog::info("reloaded: {} changes", report->changed.size());
    log_report("reload", *report);
    save();
  }
  notify_systemd("READY=1");
}

void Director::Impl::after_change() {
  unfollowed = true;  // the change is published: what fails here is done by settle()
  guarded("a change", [this] {
    checker.set_targets(controller.checks());
    vips.apply(controller.registry().vips());
    unfollowed = false;
  });
}

void Director::Impl::follow_log_level() {
  const std::string& wanted = controller.config().control.log_level;
  if (wanted == log_level) return;
  log_level = wanted;
  if (!keep_log_level) spdlog::set_level(spdlog::level::from_str(log_level));
}

void Director::Impl::settle() {
  if (unfollowed) after_change();
  if (vips_moved) vips.apply(controller.registry().vips());
  vips_moved = false;
  Status done = controller.refresh();
  std::string error = done ? std::string{} : done.error().message;
  if (error != publish_error && !error.empty()) spdlog::error("not published: {}", error);
  publish_error = std::move(error);
}

void Director::Impl::save() {
  const std::string& path = controller.config().control.state;
  const std::uint64_t revision = controller.saved_revision();
  const State state = controller.state();
  Status done = save_state(path, state);
  if (done) done = acl_journal.save(acl_lists(state.overlay));
  if (done) saved_revision = revision;  // else on_tick() tries again
  std::string error = done ? std::string{} : done.error().message;
  if (error != save_error && !error.empty()) {
    spdlog::error("run-time changes will not survive a restart: {}", error);
  }
  save_error = std::move(error);
}

void Director::Impl::read_neighbours() {
  auto entries = netlink.neighbours();
  if (!entries) {
    spdlog::error("{}", entries.error().message);
    return;
  }
  for (const NeighbourEntry& entry : *entries) {
    on_event(NeighbourChanged{.entry = entry, .gone = false});
  }
}

void Director::Impl::probe(const NeighbourTarget& target) {
  if (target.vlan != 0) {
    tagged.probe(target);
    return;
  }
  const Networks::Port& port = networks.port(target.port);
  if (!port.exists) return;
  if (Status sent = netlink.probe(port.link.ifindex, target.address); !sent) {
    spdlog::debug("probe of {}: {}", target.address.to_string(), sent.error().message);
  }
}

Status Director::Impl::send(int ifindex, const Frame& frame) {
  if (!sender) {
    LB_TRY_ASSIGN(PacketSocket socket, PacketSocket::sender());
    sender.emplace(std::move(socket));
  }
  return sender->send_by(ifindex, frame);
}

/// The kernel takes the answer as it takes any ARP reply or advertisement, and tells it by an
/// event.
void Director::Impl::ask(const NeighbourTarget& target) {
  if (target.vlan != 0) {
    tagged.probe(target);
    return;
  }
  const Networks::Port& port = networks.port(target.port);
  auto source = networks.source_for(target.port, target.address);
  if (!port.exists || !port.link.up || !source) return;
  Status sent = send(port.link.ifindex, resolve_frame(port.link.mac, *source, target.address, 0));
  if (!sent) spdlog::debug("asking for {}: {}", target.address.to_string(), sent.error().message);
}

std::optional<NeighbourEntry> Director::Impl::look_up(const NeighbourTarget& target) {
  const Networks::Port& port = networks.port(target.port);
  if (!port.exists) return std::nullopt;
  return netlink.neighbour(port.link.ifindex, target.address).value_or(std::nullopt);
}

void Director::Impl::announce(PortIndex index, const IpAddr& vip) {
  const Networks::Port& port = networks.port(index);
  if (!port.exists || !port.link.up) return;
  Status sent = send(port.link.ifindex, announce_frame(port.link.mac, vip, 0));
  if (!sent) spdlog::warn("VIP {}: not announced: {}", vip.to_string(), sent.error().message);
}

ApiResponse Director::Impl::on_request(const ApiRequest& request) {
  ApiResponse answer = router.handle(request);
  if (request.method != "GET") {
    spdlog::info("API: {} {}: {}", request.method, request.target, answer.status);
    // What was answered with success survives a crash from here on.
    if (saved_revision != controller.saved_revision()) save();
  }
  return answer;
}

Director::Director(Parts parts) : impl_(std::make_unique<Impl>(std::move(parts))) {}

Director::~Director() { impl_->stop(); }

Status Director::start() { return impl_->start(); }

Status Director::run() {
  // An exception of a handler leaves run(); it is called again until somebody stopped it.
  while (!impl_->guarded("an event", [this] { impl_->io.run(); })) {
  }
  return impl_->ended;
}

}  // namespace lb
