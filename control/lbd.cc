// SPDX-License-Identifier: Apache-2.0
// lbd, the daemon: reads its arguments and config, opens what it needs in order, and hands all of
// it to Director. Errors are one line on stderr; exit codes: 0 done, 1 refused or failed, 2 usage.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "control/capabilities.h"
#include "control/config.h"
#include "control/director.h"
#include "control/memory_plan.h"
#include "control/refusal.h"
#include "control/sd_notify.h"
#include "control/state.h"
#include "control/unix_socket.h"
#include "dataplane/base/ethtool.h"
#include "dataplane/base/log.h"
#include "dataplane/base/offloads.h"
#include "dataplane/base/text.h"
#include "dataplane/base/units.h"
#include "dataplane/io/engine.h"

namespace lb {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

struct Arguments {
  std::string config = "/etc/sluice/lbd.toml";
  std::string log_level;
  bool check = false;
  bool replace = false;
  bool adopt = true;
};

int failed(const Error& error) {
  std::fprintf(stderr, "lbd: %s\n", error.message.c_str());
  return kExitFailed;
}

/// Every port is there, or an error that names the one that is not.
Status check_ports(const Networks& networks, const std::vector<LinkEntry>& links) {
  std::vector<std::string> names;
  for (const LinkEntry& link : links) names.push_back(link.name);
  for (const Networks::Port& port : networks.ports()) {
    if (port.exists) continue;
    std::string near = nearest(port.interface, names);
    return fail(ENODEV,
                "port " + port.interface + ": there is no such interface" +
                    (near.empty() ? "; `ip link` lists them" : "; did you mean " + near + "?"));
  }
  return {};
}

/// RX queues of the first port; 1 when that cannot be read, as on a machine that lacks it.
std::uint32_t workers_of(const Config& config) {
  if (config.dataplane.ports.empty()) return 1;
  const std::string& interface = config.dataplane.ports.front().interface;
  auto link = read_link(interface);
  return link ? std::max(rx_queues_in_use(interface, *link), 1U) : 1;
}

int check(const Config& config, const std::string& path) {
  MemoryPlan plan = plan_memory(config, workers_of(config));
  std::printf(
      "%s is good: %s, %s\n%s", path.c_str(), counted(config.services.size(), "service").c_str(),
      counted(config.real_server_count(), "real server").c_str(), memory_text(plan).c_str());
  std::string warning = memory_warning(plan, memory_available_bytes());
  if (!warning.empty()) std::fprintf(stderr, "lbd: warning: %s\n", warning.c_str());
  return 0;
}

struct Started {
  std::vector<InterfaceLock> locks;
  SocketFile socket_file;
  Director::Parts parts;
};

/// Opens everything, cheapest and most telling first.
Result<Started> open_all(Config config, const Arguments& arguments) {
  LB_TRY(check_capabilities());
  LB_TRY_ASSIGN(Netlink netlink, Netlink::open());
  LB_TRY_ASSIGN(auto links, netlink.links());
  Networks networks(config.port_names());
  LB_TRY(read_networks(netlink, networks));
  LB_TRY(check_ports(networks, links));
  std::vector<InterfaceLock> locks;
  for (const std::string& port : config.port_names()) {
    LB_TRY_ASSIGN(InterfaceLock lock, lock_interface(port));
    locks.push_back(std::move(lock));
  }
  LB_TRY_ASSIGN(Fd listener, listen_unix(config.control.socket));
  SocketFile socket_file(config.control.socket);
  LB_TRY_ASSIGN(LoadedState loaded, load_state(config.control.state));
  if (!loaded.note.empty()) spdlog::info("{}", loaded.note);
  MemoryPlan plan = plan_memory(config, workers_of(config));
  spdlog::info("taking {} of memory for {}", format_bytes(plan.total_bytes()),
               counted(plan.workers, "worker"));
  if (std::string warning = memory_warning(plan, memory_available_bytes()); !warning.empty()) {
    spdlog::warn("{}", warning);
  }
  config.dataplane.replace_foreign = arguments.replace;
  config.dataplane.adopt = arguments.adopt;
  config.dataplane.flow_key = loaded.state.keys.flow;
  config.dataplane.offload_notes = offload_notes_path(config.control.socket);
  LB_TRY_ASSIGN(auto engine, Engine::start(config.dataplane));
  return Started{.locks = std::move(locks),
                 .socket_file = std::move(socket_file),
                 .parts = {.config = std::move(config),
                           .config_path = arguments.config,
                           .state = std::move(loaded.state),
                           .netlink = std::move(netlink),
                           .networks = std::move(networks),
                           .dataplane = std::move(engine),
                           .api_listener = std::move(listener),
                           .keep_log_level = !arguments.log_level.empty()}};
}

int run(Config config, const Arguments& arguments) {
  raise_file_limit();
  std::string socket = config.control.socket;
  auto started = open_all(std::move(config), arguments);
  if (!started) return failed(started.error());
  for (const PortInfo& port : started->parts.dataplane->ports()) {
    spdlog::info("port {}: {} queue(s), XDP {}{}, {}{}", port.interface, port.queues, port.xdp_mode,
                 port.xdp_mode_reason.empty() ? "" : " (" + port.xdp_mode_reason + ")",
                 port.copy_mode,
                 port.copy_mode_reason.empty() ? "" : " (" + port.copy_mode_reason + ")");
  }
  Director director(std::move(started->parts));
  if (Status status = director.start(); !status) return failed(status.error());
  started->socket_file.keep();  // the API server takes it away
  spdlog::info("ready; the API is at {}", socket);
  notify_systemd("READY=1");
  Status ended = director.run();
  return ended ? 0 : failed(ended.error());
}

}  // namespace

int main_of_lbd(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"lbd, the daemon of Sluice: a layer-4 load balancer on AF_XDP and XDP", "lbd"};
  app.add_option("--config", arguments.config, "the config file")->capture_default_str();
  app.add_flag("--check", arguments.check, "validate the config, say what it takes, and exit");
  app.add_flag("--replace", arguments.replace, "take another XDP program off the interfaces");
  app.add_flag("--adopt,!--no-adopt", arguments.adopt,
               "take over what an lbd before has left in the kernel (the default), or start clean");
  app.add_option("--log-level", arguments.log_level, "goes before control.log_level")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.set_version_flag("--version", "lbd " LB_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  auto config = Config::load(arguments.config);
  if (!config) return failed(config.error());
  if (arguments.check) return check(*config, arguments.config);
  std::signal(SIGPIPE, SIG_IGN);  // a log pipe that closes must not take the director with it
  log_init(arguments.log_level.empty() ? config->control.log_level : arguments.log_level);
  return run(std::move(*config), arguments);
}

}  // namespace lb

int main(int argc, char** argv) { return lb::main_of_lbd(argc, argv); }
