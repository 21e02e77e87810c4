// SPDX-License-Identifier: Apache-2.0
// save, check, reload, panic, reset and rs-setup on the command line.
#include "control/client/admin.h"
#include "control/client/cli_commands.h"
#include "control/client/reset.h"
#include "control/client/rs_setup.h"

namespace lb::client {
namespace {

constexpr const char* kDaemon = "lbd as a whole";
constexpr const char* kHost = "On a host, without lbd";

struct SaveOptions {
  std::optional<std::string> file;
};
struct CheckOptions {
  std::string file;
};
struct PanicOptions {
  std::string what = "status";
};
struct RsSetupOptions {
  std::string vip;
  bool apply = false, remove = false, check = false;
};

void add_config_commands(CLI::App& app, Chosen& chosen) {
  auto* save_command =
      app.add_subcommand("save", "the running state as a config that lbd accepts")->group(kDaemon);
  auto saved = on_command<SaveOptions>(
      *save_command, chosen, [](Session& s, const SaveOptions& o) { return save(s, o.file); });
  save_command->add_option("file", saved->file, "written whole or not at all; absent: stdout")
      ->type_name("FILE");
  save_command->footer("Example:\n  lbctl save /etc/sluice/lbd.toml");

  auto* check_command =
      app.add_subcommand("check", "whether a config is good; nothing changes")->group(kDaemon);
  auto checked = on_command<CheckOptions>(
      *check_command, chosen, [](Session& s, const CheckOptions& o) { return check(s, o.file); });
  check_command->add_option("file", checked->file, "the config; -: stdin")
      ->required()
      ->type_name("FILE");
  check_command->footer(
      "The running lbd checks it. Without one: lbd --check --config FILE\n"
      "\n"
      "Example:\n  lbctl check /etc/sluice/lbd.toml && lbctl reload");

  auto* reload_command =
      app.add_subcommand("reload", "read the config again; a bad one changes nothing")
          ->group(kDaemon);
  on_command<CheckOptions>(*reload_command, chosen,
                           [](Session& s, const CheckOptions&) { return reload(s); });
  reload_command->footer("Example:\n  lbctl reload");
}

void add_rs_setup(CLI::App& app, Chosen& chosen) {
  auto* command =
      app.add_subcommand("rs-setup", "what a real server needs for DR: print, do, check")
          ->group(kHost);
  auto options =
      on_command<RsSetupOptions>(*command, chosen, [](Session& s, const RsSetupOptions& o) {
        return rs_setup(s, o.vip,
                        o.apply    ? RsSetupMode::Apply
                        : o.remove ? RsSetupMode::Remove
                        : o.check  ? RsSetupMode::Check
                                   : RsSetupMode::Print);
      });
  command->add_option("vip", options->vip, "the virtual address, e.g. 192.0.2.10")
      ->required()
      ->type_name("VIP");
  auto* apply = command->add_flag("--apply", options->apply, "do it, until the next restart");
  auto* remove = command->add_flag("--remove", options->remove, "take it back");
  auto* check =
      command->add_flag("--check", options->check, "exit status 4 when something is not right");
  apply->excludes(remove)->excludes(check);
  remove->excludes(check);
  command->footer(
      "Run it on the real server, as root. The VIP goes on lo; for IPv4 arp_ignore and "
      "arp_announce\n"
      "keep this machine silent about it, for IPv6 the kernel is silent by itself.\n"
      "\n"
      "Examples:\n"
      "  lbctl rs-setup 192.0.2.10\n"
      "  lbctl rs-setup 192.0.2.10 --apply && lbctl rs-setup 192.0.2.10 --check");
}

}  // namespace

void add_host_commands(CLI::App& app, Chosen& chosen) {
  add_config_commands(app, chosen);

  auto* panic_command =
      app.add_subcommand("panic", "on: every packet passes to the kernel; off: balanced again")
          ->group(kDaemon);
  auto panicked = on_command<PanicOptions>(
      *panic_command, chosen, [](Session& s, const PanicOptions& o) { return panic(s, o.what); });
  panic_command->add_option("what", panicked->what, "on, off, or status: which it is")
      ->check(CLI::IsMember({"on", "off", "status"}))
      ->type_name("on|off|status");
  panic_command->footer("Example:\n  lbctl panic on");

  auto* reset_command =
      app.add_subcommand("reset", "remove what a dead lbd left: VIPs, XDP program, maps, socket")
          ->group(kHost);
  auto options = on_command<ResetOptions>(*reset_command, chosen, reset);
  reset_command->add_option("-i,--interface", options->interface, "on this one alone")
      ->type_name("INTERFACE");
  reset_command->add_flag("-n,--dry-run", options->dry_run, "say what would be removed");
  reset_command->add_flag("--force", options->force, "although an lbd answers on the socket");
  reset_command->add_option("--pins", options->pins, "where that lbd keeps its maps and links")
      ->type_name("DIRECTORY")
      ->capture_default_str();
  reset_command->add_flag("--leave-forwarding", options->leave_forwarding,
                          "leave interfaces whose program goes on to forward without lbd");
  reset_command->footer(
      "VIP addresses are known by the mark that lbd gives them (IFA_PROTO 83, Linux 5.18 and "
      "later).\n"
      "\n"
      "Examples:\n"
      "  lbctl reset --dry-run\n"
      "  lbctl reset --interface eth0");
  add_rs_setup(app, chosen);
}

}  // namespace lb::client
