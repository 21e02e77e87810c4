// SPDX-License-Identifier: Apache-2.0
// add-vip, set-vip, del-vip, add-rs, set-rs, drain-rs, del-rs on the command line.
#include "control/client/cli_commands.h"
#include "control/client/drain.h"
#include "control/client/service_commands.h"

namespace lb::client {
namespace {

constexpr const char* kGroup = "Services and real servers";
constexpr const char* kService = "the service, e.g. 192.0.2.10:80/tcp";
constexpr const char* kSchedulers =
    "rr, wrr, lc, wlc, sed, nq, sh, dh, mh, fo, ovf or twos (default wrr)";

void add_flow_memory(CLI::App& command, VipOptions& o) {
  command
      .add_option("--transition", o.transition,
                  "how long a slot of mh, sh or dh stays open once its owner has changed (15m)")
      ->type_name("TIME");
  command
      .add_option("--affinity", o.affinity,
                  "which UDP and SCTP flows of mh, sh or dh are remembered: transition (the "
                  "default), always or none")
      ->type_name("WHICH");
  command
      .add_option("--flow-rate", o.flow_rate,
                  "new flows a second and worker that are remembered (100000); 0: all")
      ->check(not_negative, "")
      ->type_name("N");
}

void add_vip_settings(CLI::App& command, VipOptions& o) {
  command.add_option("address", o.address, kService)->required()->type_name("SERVICE");
  command.add_option("-s,--scheduler", o.scheduler, kSchedulers)->type_name("NAME");
  command.add_option("--name", o.name, "free text for tables")->type_name("TEXT");
  command
      .add_option("--mh-slots", o.mh_slots,
                  "slots of the lookup array of mh, sh and dh: a prime (65537)")
      ->check(not_negative, "")
      ->type_name("N");
  add_flow_memory(command, o);
  command
      .add_option("--vip-owner", o.vip_owner,
                  "lbd (puts the VIP on the port, the default) or external")
      ->type_name("WHO");
  command
      .add_option("--vip-unmatched", o.vip_unmatched,
                  "packets to the VIP that no service takes: drop (the default) or pass")
      ->type_name("WHAT");
  command.add_option("--icmp-echo", o.icmp_echo, "a ping of the VIP: reply (the default) or pass")
      ->type_name("WHAT");
  command
      .add_option("--sorry", o.sorry,
                  "takes new flows while no real server is up; none: nobody does")
      ->type_name("ADDRESS");
  command.add_option("--sorry-mac", o.sorry_mac, "its MAC, instead of resolving it")
      ->type_name("MAC");
  command.add_option("--sorry-vlan", o.sorry_vlan, "its VLAN tag, 1-4094")
      ->check(not_negative, "")
      ->type_name("ID");
  command.add_option("--health", o.health, "the check: tcp (the default for tcp services) or none")
      ->type_name("TYPE");
  command.add_option("--health-port", o.health_port, "port to connect to (default the service's)")
      ->check(not_negative, "")
      ->type_name("PORT");
  command.add_option("--health-interval", o.health_interval, "between two checks (2s)")
      ->type_name("TIME");
  command.add_option("--health-timeout", o.health_timeout, "for one check (1s)")->type_name("TIME");
  command.add_option("--health-rise", o.health_rise, "passed checks in a row until up (2)")
      ->check(not_negative, "")
      ->type_name("N");
  command.add_option("--health-fall", o.health_fall, "failed checks in a row until down (2)")
      ->check(not_negative, "")
      ->type_name("N");
  command
      .add_option(
          "--timeout", o.timeouts,
          "of flows by state, e.g. established=15m; may be repeated (lbd.toml(5) names them)")
      ->type_name("STATE=TIME")
      ->allow_extra_args(false);
}

void add_rs_arguments(CLI::App& command, RsOptions& o) {
  command.add_option("service", o.service, kService)->required()->type_name("SERVICE");
  command.add_option("address", o.address, "the real server's address")
      ->required()
      ->type_name("ADDRESS");
}

void add_rs_settings(CLI::App& command, RsOptions& o) {
  add_rs_arguments(command, o);
  command
      .add_option("-w,--weight", o.weight,
                  "0-65535 (default 1); 0: no new flows, living ones go on")
      ->check(not_negative, "")
      ->type_name("N");
  command.add_option("--mac", o.mac, "its MAC by hand, or auto: resolved")->type_name("MAC");
  command.add_option("--vlan", o.vlan, "it is behind this VLAN tag, 1-4094; 0: untagged")
      ->check(not_negative, "")
      ->type_name("ID");
  command
      .add_option("--port", o.port, "interface it is reached by, or auto: the one on its network")
      ->type_name("INTERFACE");
}

void add_vip_commands(CLI::App& app, Chosen& chosen) {
  auto* add = app.add_subcommand("add-vip", "add a service")->group(kGroup);
  add_vip_settings(*add, *on_command<VipOptions>(*add, chosen, add_vip));
  add->footer(
      "Examples:\n"
      "  lbctl add-vip 192.0.2.10:80/tcp\n"
      "  lbctl add-vip '[2001:db8::10]:443/tcp' --scheduler mh --name shop\n"
      "  lbctl add-vip 192.0.2.10:5060/udp --health none --timeout udp=30s");

  auto* set =
      app.add_subcommand("set-vip", "change settings of a service; its flows go on")->group(kGroup);
  add_vip_settings(*set, *on_command<VipOptions>(*set, chosen, set_vip));
  set->footer(
      "Examples:\n"
      "  lbctl set-vip 192.0.2.10:80/tcp --scheduler wlc\n"
      "  lbctl set-vip 192.0.2.10:80/tcp --sorry 192.0.2.99");

  auto* del =
      app.add_subcommand("del-vip", "remove a service at once, its real servers and flows too")
          ->group(kGroup);
  auto options = on_command<VipOptions>(
      *del, chosen, [](Session& s, const VipOptions& o) { return del_vip(s, o.address); });
  del->add_option("address", options->address, kService)->required()->type_name("SERVICE");
  del->footer("Example:\n  lbctl del-vip 192.0.2.10:80/tcp");
}

void add_drain_command(CLI::App& app, Chosen& chosen) {
  auto* drain =
      app.add_subcommand("drain-rs", "no new flows for a real server, removed after its last")
          ->group(kGroup);
  auto options = on_command<DrainOptions>(*drain, chosen, drain_rs);
  drain->add_option("service", options->service, kService)->required()->type_name("SERVICE");
  drain->add_option("address", options->address, "the real server's address")
      ->required()
      ->type_name("ADDRESS");
  drain
      ->add_option("--timeout", options->timeout,
                   "removed then although flows live: 30s, 5m, 1h30m; 0: never")
      ->type_name("TIME")
      ->capture_default_str();
  drain->add_flag("--wait", options->wait,
                  "wait until it is removed and tell what is left meanwhile");
  drain->footer(
      "With --wait the exit status is 0 when no active flow was cut, 3 when some were at the\n"
      "timeout, 1 when the drain was taken back.\n"
      "\n"
      "Examples:\n"
      "  lbctl drain-rs 192.0.2.10:80/tcp 192.0.2.21 --wait\n"
      "  lbctl drain-rs 192.0.2.10:6379/tcp 192.0.2.21 --timeout 0");
}

}  // namespace

void add_service_commands(CLI::App& app, Chosen& chosen) {
  add_vip_commands(app, chosen);

  auto* add = app.add_subcommand("add-rs", "add a real server to a service")->group(kGroup);
  add_rs_settings(*add, *on_command<RsOptions>(*add, chosen, add_rs));
  add->footer(
      "Examples:\n"
      "  lbctl add-rs 192.0.2.10:80/tcp 192.0.2.21 --weight 2\n"
      "  lbctl add-rs 192.0.2.10:80/tcp 192.0.2.22 --vlan 100 --mac 02:00:00:00:00:16\n"
      "The real server itself is prepared by `lbctl rs-setup 192.0.2.10 --apply`, run on it.");

  auto* set = app.add_subcommand("set-rs", "change settings of a real server; its flows go on")
                  ->group(kGroup);
  auto options = on_command<RsOptions>(*set, chosen, set_rs);
  add_rs_settings(*set, *options);
  set->add_option("--state", options->state, "up or down by hand, or auto: as the checks say")
      ->check(CLI::IsMember({"up", "down", "auto"}))
      ->type_name("STATE");
  set->footer(
      "Examples:\n"
      "  lbctl set-rs 192.0.2.10:80/tcp 192.0.2.21 --weight 0\n"
      "  lbctl set-rs 192.0.2.10:80/tcp 192.0.2.21 --state down");

  add_drain_command(app, chosen);

  auto* del =
      app.add_subcommand("del-rs", "remove a real server at once, its flows too")->group(kGroup);
  add_rs_arguments(*del, *on_command<RsOptions>(*del, chosen, del_rs));
  del->footer("Example:\n  lbctl del-rs 192.0.2.10:80/tcp 192.0.2.21");
}

}  // namespace lb::client
