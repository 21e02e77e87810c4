// SPDX-License-Identifier: Apache-2.0
#include "control/client/observe.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ostream>

#include "control/client/observe_run.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/text.h"
#include "dataplane/base/units.h"
#include "observe/pages/page_tracer.h"
#include "observe/self/self_tracer.h"

namespace lb::client {
namespace {

constexpr std::uint64_t kIntervalMs = 5000;  // of tables that follow what goes on

/// The process that listens on lbd's socket.
Result<std::uint32_t> daemon_pid(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ENAMETOOLONG, fmt::format("--lbd: the path {} is too long", path));
  }
  std::ranges::copy(path, std::begin(address.sun_path));
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket ||
      connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, fmt::format("--lbd: nobody answers on {}", path));
  }
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) {
    return fail_errno(errno, "--lbd");
  }
  return static_cast<std::uint32_t>(peer.pid);
}

/// "3%", "0.5%", "3": percent.
Result<double> parse_budget(const std::string& text) {
  double percent = 0;
  const char* end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, percent);
  if (rest != end && *rest == '%') ++rest;
  if (error != std::errc() || rest != end || !(percent > 0) || percent > 100) {
    return fail(EINVAL,
                fmt::format("--budget: {} is no share of a CPU: write 3%, or 0.5%", quoted(text)));
  }
  return percent;
}

/// Empty when it has no name.
std::string kernel_function(observe::Symboliser& symbols, std::uint64_t address) {
  auto kernel = symbols.kernel();
  auto found = kernel ? (*kernel)->find(address) : std::nullopt;
  return found ? std::string(found->name) : std::string();
}

/// Whether stacks come from vmalloc (CONFIG_VMAP_STACK): then there is a cache of them.
bool stacks_in_vmalloc(observe::Symboliser& symbols) {
  auto kernel = symbols.kernel();
  return kernel && (*kernel)->address_of("free_vm_stack_cache").has_value();
}

/// What was written, read; and the defaults that depend on the rest.
Result<observe::CommonOptions> complete(const Session& session, const ObserveOptions& written) {
  auto options = written.common;
  if (session.json() && options.format == "table") options.format = "json";
  options.human = session.human() || !session.json();
  LB_TRY(set_duration("--interval", written.interval, options.interval_ms));
  LB_TRY(set_duration("--duration", written.duration, options.duration_ms));
  LB_TRY(set_duration("--mark", written.mark, options.mark_ms));
  if (!written.budget.empty()) {
    LB_TRY_ASSIGN(options.budget_percent, parse_budget(written.budget));
  }
  const bool follows = options.format == "table" || options.format == "jsonl";
  if (written.interval.empty() && follows && options.target.command.empty() &&
      options.duration_ms == 0 && options.replay.empty()) {
    options.interval_ms = kIntervalMs;
  }
  if (written.lbd) {
    LB_TRY_ASSIGN(options.target.daemon, daemon_pid(session.options().socket));
  }
  return options;
}

}  // namespace

Status set_duration(const char* option, const std::string& text, std::uint64_t& ms) {
  if (text.empty()) return {};
  auto parsed = parse_duration(text);
  if (!parsed) return fail_in(option, parsed.error());
  ms = *parsed;
  return {};
}

ExitCode run_observe(Session& session, const std::string& tracer, const ObserveOptions& written,
                     const observe::MakeTracer& make) {
  auto options = complete(session, written);
  if (!options) {
    session.note(fmt::format("lbctl: observe {}: {}\n", tracer, options.error().message));
    return options.error().code == std::error_code(EINVAL, std::system_category())
               ? ExitCode::Usage
               : ExitCode::Failed;
  }
  const observe::Terminal terminal{session.out(), session.err(), session.colour()};
  switch (observe::run_command(tracer, *options, make, terminal)) {
    case observe::Outcome::Done:
      return ExitCode::Done;
    case observe::Outcome::Usage:
      return ExitCode::Usage;
    case observe::Outcome::ConditionHolds:
      return ExitCode::Unhealthy;
    case observe::Outcome::Failed:
      break;
  }
  return ExitCode::Failed;
}

ExitCode observe_self(Session& session, const ObserveSelfOptions& options) {
  return run_observe(
      session, "self", options,
      [&](const observe::TargetSet&,
          observe::Symboliser&) -> Result<std::unique_ptr<observe::Tracer>> {
        return std::make_unique<observe::SelfTracer>(observe::SelfOptions{options.all});
      });
}

ExitCode observe_pages(Session& session, const ObservePagesOptions& options) {
  return run_observe(session, "pages", options,
                     [&](const observe::TargetSet& targets,
                         observe::Symboliser& symbols) -> Result<std::unique_ptr<observe::Tracer>> {
                       observe::PagesOptions pages;
                       pages.target = targets;
                       pages.hidden = options.hidden;
                       pages.stacks_in_vmalloc = options.hidden && stacks_in_vmalloc(symbols);
                       LB_TRY(set_duration("--older", options.older, pages.older_ms));
                       pages.by_cgroup = std::ranges::find(options.common.by, "cgroup") !=
                                         options.common.by.end();
                       pages.rows_max = options.rows_max;
                       pages.stacks_max = options.stacks_max;
                       pages.kernel_function = [&symbols](std::uint64_t address) {
                         return kernel_function(symbols, address);
                       };
                       return std::make_unique<observe::PageTracer>(std::move(pages));
                     });
}

}  // namespace lb::client
