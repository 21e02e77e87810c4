// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/command.h"

#include <fmt/format.h>

#include <optional>
#include <ostream>

#include "dataplane/base/text.h"
#include "observe/frame/child.h"
#include "observe/frame/run.h"
#include "observe/frame/stream.h"
#include "observe/frame/target.h"

namespace lb::observe {
namespace {

Outcome failed(const Terminal& terminal, const std::string& tracer, const Error& error) {
  terminal.err << "lbctl: observe " << tracer << ": " << error.message << '\n';
  const bool usage = error.code == std::error_code(EINVAL, std::system_category());
  return usage ? Outcome::Usage : Outcome::Failed;
}

Outcome judged(const ReportStream& stream, const Terminal& terminal) {
  if (!stream.failure()) return Outcome::Done;
  terminal.err << "lbctl: --fail-if: " << *stream.failure() << '\n';
  return Outcome::ConditionHolds;
}

struct Prepared {
  std::optional<Child> child;
  TargetSet targets;
};

/// The targets in words.
std::string words_of(const CommonOptions& options, const TargetSet& targets) {
  if (options.target.command.empty()) return describe(targets);
  return fmt::format("command {}",
                     quoted(fmt::format("{}", fmt::join(options.target.command, " "))));
}

Result<Prepared> prepare(const CommonOptions& options) {
  Prepared prepared;
  LB_TRY(check(options));
  if (!options.target.command.empty()) {
    LB_TRY_ASSIGN(prepared.child, Child::start(options.target.command));
  }
  const auto pid =
      prepared.child ? static_cast<std::uint32_t>(prepared.child->pid()) : std::uint32_t{0};
  LB_TRY_ASSIGN(prepared.targets, resolve_target(options.target, pid));
  return prepared;
}

Result<std::string> dry_run(const std::string& tracer, const CommonOptions& options,
                            const TargetSet& targets, const MakeTracer& make) {
  Symboliser symbols;
  LB_TRY_ASSIGN(auto made, make(targets, symbols));
  LB_TRY_ASSIGN(auto plan, made->plan());
  return plan_text(tracer, words_of(options, targets), plan,
                   options.format == "json" || options.format == "jsonl");
}

}  // namespace

Outcome run_command(const std::string& tracer, const CommonOptions& options, const MakeTracer& make,
                    const Terminal& terminal) {
  auto prepared = prepare(options);
  if (!prepared) return failed(terminal, tracer, prepared.error());
  auto& [child, targets] = *prepared;
  if (options.dry_run) {
    auto text = dry_run(tracer, options, targets, make);
    if (!text) return failed(terminal, tracer, text.error());
    terminal.out << *text;
    return Outcome::Done;
  }
  const auto title = options.replay.empty()
                         ? fmt::format("observe {}: {}", tracer, words_of(options, targets))
                         : fmt::format("observe {}: {}", tracer, options.replay);
  auto stream = ReportStream::open(options, title, terminal.out, terminal.err, terminal.colour);
  if (!stream) return failed(terminal, tracer, stream.error());
  Status status;
  if (options.replay.empty()) {
    auto made = make(targets, stream->symbols());
    if (!made) return failed(terminal, tracer, made.error());
    if (auto opened = stream->open_files(tracer); !opened) {
      return failed(terminal, tracer, opened.error());
    }
    status = run_tracer(**made, options, targets, child ? &*child : nullptr, *stream, terminal.err);
  } else {
    status = run_replay(options, tracer, *stream, terminal.err);
  }
  if (!status) return failed(terminal, tracer, status.error());
  return judged(*stream, terminal);
}

}  // namespace lb::observe
