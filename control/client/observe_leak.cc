// SPDX-License-Identifier: Apache-2.0
// `lbctl observe leak`: from its options to one of the three tracers of leaks.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "bpf/observe_sample.h"
#include "control/client/observe.h"
#include "control/client/observe_run.h"
#include "dataplane/base/text.h"
#include "observe/kleak/kernel_leak.h"
#include "observe/leak/heap_tracer.h"
#include "observe/resident/resident_tracer.h"

namespace lb::client {
namespace {

/// "512K", "1M", "100": bytes, by powers of 1024.
Result<std::uint64_t> parse_size(const char* option, const std::string& text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, number);
  constexpr std::string_view kUnits = "KMGT";
  int shift = 0;
  if (rest != end) {
    const auto unit =
        kUnits.find(static_cast<char>(std::toupper(static_cast<unsigned char>(*rest))));
    if (unit != std::string_view::npos) {
      shift = static_cast<int>(unit + 1) * 10;
      ++rest;
    }
  }
  if (error != std::errc() || rest != end || number > (~std::uint64_t{0} >> shift)) {
    return fail(EINVAL, fmt::format("{}: {} is no size: write bytes, or 512K, 1M, 2G", option,
                                    quoted(text)));
  }
  return number << shift;
}

/// What both tracers take.
template <class Options>
Status set_common(const ObserveLeakOptions& written, const observe::TargetSet& targets,
                  Options& options) {
  options.targets = targets;
  if (!written.min_size.empty()) {
    LB_TRY_ASSIGN(options.min_size, parse_size("--min-size", written.min_size));
  }
  if (!written.max_size.empty()) {
    LB_TRY_ASSIGN(options.max_size, parse_size("--max-size", written.max_size));
  }
  if (options.min_size > options.max_size) {
    return fail(EINVAL, "--min-size is above --max-size: nothing would be left");
  }
  LB_TRY(set_duration("--older", written.older, options.older_ms));
  const bool budget = !written.budget.empty();
  if (budget && written.sample == "all") {
    return fail(EINVAL, "--budget widens the sampling: with --sample all it cannot");
  }
  const std::string sample = !written.sample.empty() ? written.sample : budget ? "512K" : "all";
  if (sample != "all") {
    LB_TRY_ASSIGN(options.sample_bytes, parse_size("--sample", sample));
    if (options.sample_bytes == 0 || options.sample_bytes > OBSERVE_SAMPLE_INTERVAL_MAX) {
      return fail(EINVAL, "--sample: write the mean distance of samples, 1 to 64G, or all");
    }
  }
  options.sample_seed = written.seed;
  options.blocks_max = written.blocks_max;
  options.stacks_max = written.stacks_max;
  options.show_allocs = written.show_allocs;
  options.trace = written.trace;
  return {};
}

using MadeTracer = Result<std::unique_ptr<observe::Tracer>>;

MadeTracer make_kernel_leak(const ObserveLeakOptions& written, const observe::TargetSet& targets) {
  observe::KernelLeakOptions options;
  LB_TRY(set_common(written, targets, options));
  if (!written.alloc.empty()) return fail(EINVAL, "--alloc is for processes, not for --kernel");
  if (!written.suppressions.empty()) {
    return fail(EINVAL, "--suppressions is for processes, not for --kernel");
  }
  options.caches = written.caches;
  return std::make_unique<observe::KernelLeakTracer>(std::move(options));
}

MadeTracer make_heap_leak(const ObserveLeakOptions& written, const observe::TargetSet& targets,
                          observe::Symboliser& symbols) {
  observe::HeapLeakOptions options;
  LB_TRY(set_common(written, targets, options));
  if (!written.caches.empty()) return fail(EINVAL, "--cache is for --kernel");
  if (targets.pids.empty()) {
    return fail(EINVAL,
                "say which processes: -p PID, --lbd, or a command after --; --comm and --cgroup go "
                "with --tier pages or --kernel");
  }
  options.budget = !written.budget.empty();
  options.own_child = !written.common.target.command.empty();
  for (const auto& text : written.alloc) {
    auto alloc = observe::AllocOption::parse(text);
    if (!alloc) return fail_in("--alloc", alloc.error());
    options.alloc.push_back(std::move(*alloc));
  }
  if (!written.suppressions.empty()) {
    auto loaded = observe::Suppressions::load(written.suppressions);
    if (!loaded) return fail_in("--suppressions", loaded.error());
    options.suppressions = std::move(*loaded);
  }
  return std::make_unique<observe::HeapTracer>(std::move(options), symbols);
}

/// Options of a tracer, which a record no longer has.
Status check_replay(const ObserveLeakOptions& written) {
  if (written.common.replay.empty()) return {};
  const std::array<std::pair<const char*, bool>, 9> kRefused = {
      {{"--sample", !written.sample.empty()},
       {"--alloc", !written.alloc.empty()},
       {"--min-size", !written.min_size.empty()},
       {"--max-size", !written.max_size.empty()},
       {"--older", !written.older.empty()},
       {"--show-allocs", written.show_allocs},
       {"--trace", written.trace},
       {"--suppressions", !written.suppressions.empty()},
       {"--cache", !written.caches.empty()}}};
  for (const auto& [option, given] : kRefused) {
    if (!given) continue;
    return fail(EINVAL, fmt::format("--replay shows what was recorded, to which {} says nothing: "
                                    "leave one of them out",
                                    option));
  }
  return {};
}

/// Options that say something of blocks, which page faults do not show.
Status check_tier(const ObserveLeakOptions& written) {
  if (written.tier == "probes") return {};
  if (written.tier != "pages") {
    return fail(EINVAL,
                fmt::format("--tier: {} is none; write probes or pages", quoted(written.tier)));
  }
  const std::array<std::pair<const char*, bool>, 11> kRefused = {
      {{"--kernel", written.kernel},
       {"--sample", !written.sample.empty() && written.sample != "all"},
       {"--alloc", !written.alloc.empty()},
       {"--min-size", !written.min_size.empty()},
       {"--max-size", !written.max_size.empty()},
       {"--older", !written.older.empty()},
       {"--show-allocs", written.show_allocs},
       {"--trace", written.trace},
       {"--suppressions", !written.suppressions.empty()},
       {"--cache", !written.caches.empty()},
       {"--budget", !written.budget.empty()}}};
  for (const auto& [option, given] : kRefused) {
    if (!given) continue;
    return fail(EINVAL, fmt::format("{} is for blocks; --tier pages sees page faults and resident "
                                    "pages: leave one of them out",
                                    option));
  }
  return {};
}

MadeTracer make_resident(const ObserveLeakOptions& written, const observe::TargetSet& targets,
                         observe::Symboliser& symbols) {
  if (targets.everything) {
    return fail(EINVAL,
                "--tier pages does not look at the whole system: say which processes by -p PID, "
                "--comm, --cgroup, --lbd, or a command after --");
  }
  observe::ResidentOptions options;
  options.targets = targets;
  options.own_child = !written.common.target.command.empty();
  options.stacks_max = written.stacks_max;
  return std::make_unique<observe::ResidentTracer>(std::move(options), symbols);
}

}  // namespace

ExitCode observe_leak(Session& session, const ObserveLeakOptions& options) {
  if (auto fine = check_replay(options); !fine) {
    session.note(fmt::format("lbctl: observe leak: {}\n", fine.error().message));
    return ExitCode::Usage;
  }
  return run_observe(
      session, "leak", options,
      [&](const observe::TargetSet& targets, observe::Symboliser& symbols) -> MadeTracer {
        LB_TRY(check_tier(options));
        if (options.tier == "pages") return make_resident(options, targets, symbols);
        return options.kernel ? make_kernel_leak(options, targets)
                              : make_heap_leak(options, targets, symbols);
      });
}

}  // namespace lb::client
