// SPDX-License-Identifier: Apache-2.0
// How the groups of commands enter the command line; for cli*.cc alone.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "control/client/session.h"

namespace lb::client {

/// The command that was asked for; set by its parser, run after the whole line was understood.
using Chosen = std::function<ExitCode(Session&)>;

/// A subcommand whose options live in a T as long as the command line does.
/// `run` is called as run(session, options).
template <class T, class Run>
std::shared_ptr<T> on_command(CLI::App& command, Chosen& chosen, Run run) {
  auto options = std::make_shared<T>();
  command.callback([options, run, &chosen] {
    chosen = [options, run](Session& session) { return run(session, *options); };
  });
  return options;
}

/// A check of options: CLI11 2.1 reads -1 as the largest number there is.
inline std::string not_negative(const std::string& text) {
  return text.starts_with('-') ? text + " is negative: write a whole number" : std::string{};
}

/// add-vip, set-vip, del-vip, add-rs, set-rs, drain-rs, del-rs
void add_service_commands(CLI::App& app, Chosen& chosen);
/// add-acl, del-acl
void add_acl_commands(CLI::App& app, Chosen& chosen);
/// show acl
void add_show_acl(CLI::App& show, Chosen& chosen);
/// show ..., stats, check-health, version
void add_show_commands(CLI::App& app, Chosen& chosen);
/// save, check, reload, panic, reset, rs-setup
void add_host_commands(CLI::App& app, Chosen& chosen);
/// observe leak, pages, self
void add_observe_commands(CLI::App& app, Chosen& chosen);

}  // namespace lb::client
