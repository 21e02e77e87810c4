// SPDX-License-Identifier: Apache-2.0
// add-acl, del-acl and show acl on the command line.
#include "control/client/acl_commands.h"
#include "control/client/cli_commands.h"

namespace lb::client {
namespace {

constexpr const char* kGroup = "Access lists";
constexpr const char* kService = "the service, e.g. 192.0.2.10:80/tcp";

void add_prefixes(CLI::App& command, AclOptions& o) {
  command.add_option("service", o.service, kService)->required()->type_name("SERVICE");
  command.add_option("prefix", o.prefixes, "clients: 203.0.113.0/24, 2001:db8::/32 or one address")
      ->type_name("PREFIX");
  command
      .add_option("--file", o.file,
                  "more prefixes, one a line (# begins a comment); -: standard input")
      ->type_name("FILE");
}

}  // namespace

void add_acl_commands(CLI::App& app, Chosen& chosen) {
  auto* add = app.add_subcommand("add-acl", "deny, allow or limit clients of a service by prefix")
                  ->group(kGroup);
  auto options = on_command<AclOptions>(*add, chosen, add_acl);
  add_prefixes(*add, *options);
  add->add_flag("--deny", options->deny, "drop their packets");
  add->add_flag("--allow", options->allow, "let them pass, whatever a shorter prefix says");
  add->add_option("--limit", options->limit,
                  "packets a second that pass, of all clients of a prefix together")
      ->check(not_negative, "")
      ->type_name("PPS");
  add->add_option("--burst", options->burst,
                  "packets that may come at once (default: a second's worth)")
      ->check(not_negative, "")
      ->type_name("N");
  add->footer(
      "The longest prefix that covers a client decides; a client that none covers is allowed.\n"
      "A prefix that is in the list already gets what is said now.\n"
      "\n"
      "Examples:\n"
      "  lbctl add-acl 192.0.2.10:80/tcp 203.0.113.0/24 198.51.100.7 --deny\n"
      "  lbctl add-acl 192.0.2.10:80/tcp 203.0.113.0/24 --limit 1000 --burst 2000\n"
      "  lbctl add-acl 192.0.2.10:22/tcp 10.0.0.0/8 --allow && lbctl add-acl 192.0.2.10:22/tcp "
      "0.0.0.0/0 --deny\n"
      "  lbctl add-acl 192.0.2.10:80/tcp --deny --file blocklist.txt");

  auto* del =
      app.add_subcommand("del-acl", "take prefixes out of a service's access list")->group(kGroup);
  auto gone = on_command<AclOptions>(*del, chosen, del_acl);
  add_prefixes(*del, *gone);
  del->add_flag("-a,--all", gone->all, "the whole list: every client is allowed");
  del->footer(
      "Examples:\n"
      "  lbctl del-acl 192.0.2.10:80/tcp 203.0.113.0/24\n"
      "  lbctl del-acl 192.0.2.10:80/tcp --all");
}

void add_show_acl(CLI::App& show, Chosen& chosen) {
  auto* command = show.add_subcommand(
      "acl", "access lists: what is denied, allowed or limited, and what came of it");
  auto filter = on_command<AclFilter>(*command, chosen, show_acl);
  command->add_option("service", filter->service, "of this service alone")->type_name("SERVICE");
  command->add_option("--match", filter->match, "only the entry that decides for this client")
      ->type_name("ADDRESS");
  command->add_option("--limit", filter->limit, "at most so many entries (up to 100000)")
      ->check(not_negative, "")
      ->type_name("N")
      ->capture_default_str();
  command->footer(
      "Examples:\n"
      "  lbctl show acl 192.0.2.10:80/tcp\n"
      "  lbctl show acl --match 203.0.113.7");
}

}  // namespace lb::client
