// SPDX-License-Identifier: Apache-2.0
// show ..., stats, check-health and version on the command line.
#include <charconv>

#include "control/client/admin.h"
#include "control/client/cli_commands.h"
#include "control/client/explain.h"
#include "control/client/show.h"
#include "control/client/stats.h"

namespace lb::client {
namespace {

constexpr const char* kGroup = "Looking";

struct Nothing {};

/// A `show` word that takes no option of its own.
CLI::App* plain(CLI::App& show, Chosen& chosen, const char* name, const char* help,
                ExitCode (*run)(Session&)) {
  auto* command = show.add_subcommand(name, help);
  on_command<Nothing>(*command, chosen, [run](Session& s, const Nothing&) { return run(s); });
  return command;
}

void add_show_flows(CLI::App& show, Chosen& chosen) {
  auto* command = show.add_subcommand("flows", "living flows: client, real server, TCP state, age");
  auto filter = on_command<FlowFilter>(*command, chosen, show_flows);
  command->add_option("--service", filter->service, "of this service alone")->type_name("SERVICE");
  command->add_option("--rs", filter->rs, "of this real server alone")->type_name("ADDRESS");
  command->add_option("--client", filter->client, "of this client alone")->type_name("ADDRESS");
  command->add_option("--limit", filter->limit, "no more than so many")
      ->type_name("N")
      ->capture_default_str();
  command->footer("Example:\n  lbctl show flows --rs 192.0.2.21 --limit 20");
}

struct RsArgument {
  std::optional<std::string> service;
};
struct ReasonsOptions {
  bool all = false;
};

/// A `show` word of packets by reason.
void reasons(CLI::App& show, Chosen& chosen, const char* name, const char* help,
             ExitCode (*run)(Session&, bool)) {
  auto* command = show.add_subcommand(name, help);
  auto options = on_command<ReasonsOptions>(
      *command, chosen, [run](Session& s, const ReasonsOptions& o) { return run(s, o.all); });
  command->add_flag("-a,--all", options->all, "also the reasons that never occurred");
}

struct SlotsArgument {
  std::string service;
};

void add_show_slots(CLI::App& show, Chosen& chosen) {
  auto* command = show.add_subcommand(
      "slots", "a service's slots: who owns how many against its weight, what is in transition");
  auto argument = on_command<SlotsArgument>(
      *command, chosen,
      [](Session& s, const SlotsArgument& o) { return show_slots(s, o.service); });
  command->add_option("service", argument->service, "the service, e.g. 192.0.2.10:80/tcp")
      ->required()
      ->type_name("SERVICE");
  command->footer("Example:\n  lbctl show slots 192.0.2.10:80/tcp");
}

void add_show(CLI::App& app, Chosen& chosen) {
  auto* show = app.add_subcommand("show", "tables of what there is")->group(kGroup);
  show->require_subcommand(1);
  plain(*show, chosen, "vips", "services, their schedulers and how many real servers are up",
        show_vips)
      ->alias("services");
  auto* rs = show->add_subcommand("rs", "real servers: weight, health, flows, MAC, what is wrong");
  rs->alias("real-servers");
  auto argument = on_command<RsArgument>(
      *rs, chosen, [](Session& s, const RsArgument& o) { return show_rs(s, o.service); });
  rs->add_option("service", argument->service, "of this service alone")->type_name("SERVICE");
  add_show_flows(*show, chosen);
  add_show_slots(*show, chosen);
  add_show_acl(*show, chosen);
  plain(*show, chosen, "ports",
        "interfaces: link, XDP mode, AF_XDP mode and engine in force and why", show_ports);
  plain(*show, chosen, "workers", "workers: frames, flows, rings", show_workers);
  plain(*show, chosen, "neighbours", "MAC addresses of the real servers", show_neighbours)
      ->alias("neighbors");
  reasons(*show, chosen, "drops", "packets dropped, by reason", show_drops);
  reasons(*show, chosen, "handovers", "packets that XDP handed to the workers, by reason",
          show_handovers);
  plain(*show, chosen, "bpf", "BPF programs, maps and links that lbd holds", show_bpf);
  plain(*show, chosen, "memory", "what lbd's memory is for", show_memory);
  plain(*show, chosen, "version", "versions of lbctl and of the running lbd", show_version);
  show->footer(
      "Examples:\n"
      "  lbctl show rs 192.0.2.10:80/tcp\n"
      "  lbctl show flows --client 198.51.100.7\n"
      "  lbctl --json show vips | jq '.services[].address'");
}

struct StatsArguments {
  std::string service, watch;
  bool rate = false, workers = false;
  std::uint64_t count = 0;
  const CLI::Option* watch_option = nullptr;
};

/// --watch takes its seconds or not; what follows it and is no number is the service.
ExitCode run_stats(Session& session, const StatsArguments& given) {
  StatsOptions options;
  options.rate = given.rate;
  options.workers = given.workers;
  options.count = given.count;
  auto service = given.service;
  if (given.watch_option->count() > 0) {
    double seconds = 2;
    const auto& text = given.watch;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    bool number = error == std::errc{} && end == text.data() + text.size();
    if (!text.empty() && !number) {
      if (!service.empty()) {
        session.report("usage", "--watch " + text + ": not a number of seconds");
        return ExitCode::Usage;
      }
      service = text;
      seconds = 2;
    }
    if (seconds < 0.1 || seconds > 3600) {
      session.report("usage", "--watch takes 0.1 to 3600 seconds");
      return ExitCode::Usage;
    }
    options.watch_s = seconds;
  }
  if (!service.empty()) options.service = service;
  return stats(session, options);
}

void add_stats(CLI::App& app, Chosen& chosen) {
  auto* command =
      app.add_subcommand("stats", "packets, bytes and flows of services and real servers")
          ->group(kGroup);
  auto options = on_command<StatsArguments>(*command, chosen, run_stats);
  command->add_option("service", options->service, "of this service alone")->type_name("SERVICE");
  command->add_flag("-r,--rate", options->rate, "a second, measured between two looks");
  options->watch_option =
      command
          ->add_option("--watch", options->watch, "again every 2 (or so many) seconds until Ctrl-C")
          ->expected(0, 1)
          ->type_name("[SECONDS]");
  command->add_option("--count", options->count, "with --watch: stop after so many tables")
      ->type_name("N");
  command->add_flag("--workers", options->workers, "also what each worker counted");
  command->footer(
      "Examples:\n"
      "  lbctl stats\n"
      "  lbctl stats --rate --watch 5 192.0.2.10:80/tcp\n"
      "  lbctl stats --json | jq '.total'");
}

// CLI11 2.1 reads -1 as the largest number there is.
std::string not_negative(const std::string& text) {
  return text.starts_with('-') ? text + " is negative: write a whole number" : std::string{};
}

void add_explain(CLI::App& app, Chosen& chosen) {
  auto* command = app.add_subcommand("explain",
                                     "what would become of a packet: service, slot or flow, real "
                                     "server, MAC, or why it is dropped (exit status 4)")
                      ->group(kGroup);
  auto o = on_command<ExplainOptions>(*command, chosen, explain);
  command->add_option("client", o->client, "where it comes from, e.g. 198.51.100.7:51234")
      ->required()
      ->type_name("ADDRESS:PORT");
  command->add_option("vip", o->vip, "where it goes, e.g. 192.0.2.10:80/tcp")
      ->required()
      ->type_name("ADDRESS:PORT/PROTO");
  command
      ->add_option("--flags", o->flags,
                   "TCP flags, e.g. syn,ack: fin, syn, rst, psh, ack, urg; or none (syn)")
      ->type_name("FLAGS");
  command->add_option("--port", o->port, "the interface it comes in by (the first one)")
      ->type_name("INTERFACE");
  command->add_option("--queue", o->queue, "the RX queue there (0)")
      ->check(not_negative, "")
      ->type_name("N");
  command->add_option("--ttl", o->ttl, "its TTL or hop limit (64)")
      ->check(not_negative, "")
      ->type_name("N");
  command->add_option("--length", o->length, "bytes of the IP packet (headers alone)")
      ->check(not_negative, "")
      ->type_name("BYTES");
  command->add_option("--vlan", o->vlan, "the VLAN tag it comes with (none)")
      ->check(not_negative, "")
      ->type_name("ID");
  command->footer(
      "Nothing is sent, counted or remembered.\n"
      "Examples:\n"
      "  lbctl explain 198.51.100.7:51234 192.0.2.10:80/tcp\n"
      "  lbctl explain 198.51.100.7:51234 192.0.2.10:80/tcp --flags ack --json | jq .real_server");
}

}  // namespace

void add_show_commands(CLI::App& app, Chosen& chosen) {
  add_show(app, chosen);
  add_stats(app, chosen);
  add_explain(app, chosen);
  auto* health = app.add_subcommand("check-health",
                                    "exit status 4 when a service has no real server, or "
                                    "a port loses packets")
                     ->group(kGroup);
  auto argument = on_command<RsArgument>(
      *health, chosen, [](Session& s, const RsArgument& o) { return check_health(s, o.service); });
  health->add_option("service", argument->service, "this service alone")->type_name("SERVICE");
  health->footer("Example:\n  lbctl check-health 192.0.2.10:80/tcp || page-somebody");
  plain(app, chosen, "version", "versions of lbctl and of the running lbd", show_version)
      ->group(kGroup);
}

}  // namespace lb::client
