// SPDX-License-Identifier: Apache-2.0
#include "control/client/cli.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ostream>

#include "control/client/cli_commands.h"
#include "dataplane/base/text.h"

namespace lb::client {
namespace {

constexpr const char* kFooter =
    "Exit status: 0 done, 1 refused or failed, 2 usage, 3 partly done, 4 not healthy.\n"
    "A service is written 192.0.2.10:80/tcp, [2001:db8::1]:443/tcp, 192.0.2.10:8000-8100/udp or\n"
    "192.0.2.10:any/tcp.\n"
    "\n"
    "Examples:\n"
    "  lbctl add-vip 192.0.2.10:80/tcp --scheduler wlc --name web\n"
    "  lbctl add-rs 192.0.2.10:80/tcp 192.0.2.21 --weight 2\n"
    "  lbctl show rs\n"
    "  lbctl stats --rate --watch\n"
    "  lbctl drain-rs 192.0.2.10:80/tcp 192.0.2.21 --wait\n"
    "\n"
    "`lbctl COMMAND --help` explains each; lbctl(8) is the manual.";

/// The innermost command that was recognised, e.g. `show flows`.
const CLI::App* innermost(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().back();
  return at;
}

std::string full_name(const CLI::App* app) {
  std::string name;
  for (; app->get_parent() != nullptr; app = app->get_parent()) {
    name.insert(0, " " + app->get_name());
  }
  return "lbctl" + name;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(sub->get_name());
  }
  return names;
}

std::vector<std::string> option_names(const CLI::App* app) {
  std::vector<std::string> names;
  for (; app != nullptr; app = app->get_parent()) {
    for (const auto* option : app->get_options()) {
      for (const auto& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& known) {
  auto found = nearest(word, known);
  return found.empty() ? std::string() : fmt::format("; did you mean {}?", found);
}

/// What is wrong with the command line, in one line.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  const auto* at = innermost(app);
  auto extras = app.remaining(true);
  bool needs_command = !command_names(*at).empty();
  if (!extras.empty()) {
    const auto& word = extras.front();
    if (word.starts_with("-")) {
      auto name = word.substr(0, word.find('='));
      return fmt::format("{} has no option {}{}", full_name(at), name,
                         suggestion(name, option_names(at)));
    }
    if (needs_command) {
      return fmt::format("there is no command \"{}\" in {}{}", word, full_name(at),
                         suggestion(word, command_names(*at)));
    }
    return fmt::format("{} takes no further argument \"{}\"", full_name(at), word);
  }
  if (needs_command) {
    return fmt::format("{} needs a command: {}", full_name(at),
                       fmt::join(command_names(*at), ", "));
  }
  return error.what();
}

void add_global_options(CLI::App& app, GlobalOptions& globals) {
  app.add_option("--socket", globals.socket, "the API socket of lbd")
      ->envname("SLUICE_SOCKET")
      ->type_name("PATH")
      ->capture_default_str();
  app.add_flag("--json", globals.json, "print what the API answers (docs/api.md), errors too");
  app.add_flag("-H,--human", globals.human, "numbers as 1.23M and 64.0 MiB instead of all digits");
}

}  // namespace

int run(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err,
        bool colour) {
  GlobalOptions globals;
  Chosen chosen;
  CLI::App app("lbctl: tells lbd, the Sluice load balancer, what to do and shows what it does",
               "lbctl");
  app.set_version_flag("--version", "lbctl " LB_VERSION);
  app.set_help_flag("-h,--help", "print this help");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(kFooter);
  app.get_formatter()->column_width(34);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  add_global_options(app, globals);
  add_service_commands(app, chosen);
  add_acl_commands(app, chosen);
  add_show_commands(app, chosen);
  add_host_commands(app, chosen);
  add_observe_commands(app, chosen);
  try {
    // CLI11 takes them last first.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& asked) {
    app.exit(asked, out, err);
    return static_cast<int>(ExitCode::Done);
  } catch (const CLI::ParseError& error) {
    err << "lbctl: " << usage_message(app, error) << " (see `" << full_name(innermost(app))
        << " --help`)\n";
    return static_cast<int>(ExitCode::Usage);
  }
  Session session(globals, out, err, colour && !globals.json);
  auto code = chosen(session);
  out.flush();
  if (!out) {
    err << "lbctl: cannot write the output\n";
    return static_cast<int>(ExitCode::Failed);
  }
  return static_cast<int>(code);
}

bool wants_colour() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  bool refused = no_color != nullptr && *no_color != '\0';
  return ::isatty(STDOUT_FILENO) == 1 && !refused && term != nullptr &&
         std::string_view(term) != "dumb";
}

}  // namespace lb::client
