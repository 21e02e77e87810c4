// SPDX-License-Identifier: Apache-2.0
// observe ... on the command line.
#include "control/client/cli_commands.h"
#include "control/client/observe.h"

namespace lb::client {
namespace {

constexpr const char* kTarget = "Which processes (one kind)";
constexpr const char* kTime = "When";
constexpr const char* kOutput = "Output";

constexpr const char* kSelfFooter =
    "Examples:\n"
    "  lbctl observe self\n"
    "  lbctl observe self --interval 1s --sort cpu";
constexpr const char* kLeakFooter =
    "A process is given by -p or --lbd, or started after --; of the latter nothing is missed.\n"
    "Sizes are as they were asked for; a row is one stack of one process.\n"
    "Every malloc and free of it pays a trap (--dry-run: how much here); --sample saves the "
    "stacks,\n"
    "not the traps. In production begin with --tier pages, then --budget 3%.\n"
    "\n"
    "Examples:\n"
    "  lbctl observe leak -- ./server --once\n"
    "  lbctl observe leak -p 1234 --older 60s --interval 10s\n"
    "  lbctl observe leak -p 1234 --sample 512K -o svg --output leak.svg --interval 5s "
    "--duration 10m\n"
    "  lbctl observe leak --lbd --budget 3% --interval 10s\n"
    "  lbctl observe leak --alloc zmalloc -p \"$(pidof redis-server)\"\n"
    "  lbctl observe leak --tier pages --comm redis-server --interval 60s\n"
    "  lbctl observe leak --kernel --duration 60s --fail-if 'leak > 1MB'";
constexpr const char* kPagesFooter =
    "Exact for all frames that pass through the page allocator; what compaction moves is counted\n"
    "apart. 8 bytes of memory for each page frame of the machine.\n"
    "\n"
    "Examples:\n"
    "  lbctl observe pages\n"
    "  lbctl observe pages --hidden --duration 60s\n"
    "  lbctl observe pages --by process,order --top 5 -p 1234\n"
    "  lbctl observe pages --older 30s --fail-if 'outstanding > 100MiB' -- ./soak";

void add_targets(CLI::App& command, const std::shared_ptr<ObserveOptions>& options) {
  auto& target = options->common.target;
  command.add_option("-p,--pid", target.pids, "these processes")
      ->delimiter(',')
      ->type_name("PID")
      ->group(kTarget);
  command
      .add_option("--comm", target.comm,
                  "processes of this name, now and later (leak: with --tier pages or --kernel)")
      ->type_name("NAME")
      ->group(kTarget);
  command.add_option("--cgroup", target.cgroup, "in this cgroup (v2) and below (leak: likewise)")
      ->type_name("PATH")
      ->group(kTarget);
  command.add_flag("--lbd", options->lbd, "the lbd that answers on --socket")->group(kTarget);
  command
      .add_option("command", target.command,
                  "after --: started, and followed through what it forks and executes")
      ->type_name("CMD ARGS")
      ->group(kTarget);
}

void add_times(CLI::App& command, const std::shared_ptr<ObserveOptions>& options) {
  command
      .add_option("--interval", options->interval,
                  "a report each so often (tables, jsonl: 5s; with --duration or a command: one, "
                  "at the end)")
      ->type_name("TIME")
      ->group(kTime);
  command.add_option("--duration", options->duration, "stop after this; else Ctrl-C")
      ->type_name("TIME")
      ->group(kTime);
  command.add_option("--count", options->common.count, "stop after so many intervals")
      ->check(not_negative)
      ->type_name("N")
      ->group(kTime);
  command.add_option("--mark", options->mark, "remember what there is at this time; SIGUSR1: now")
      ->type_name("TIME")
      ->group(kTime);
  command.add_flag("--since-mark", options->common.since_mark, "show what changed since the mark")
      ->group(kTime);
}

void add_outputs(CLI::App& command, const std::shared_ptr<ObserveOptions>& options) {
  auto& common = options->common;
  command.add_option("-o,--format", common.format, "table, json, jsonl, folded, svg or pprof")
      ->type_name("FORMAT")
      ->capture_default_str()
      ->group(kOutput);
  command.add_option("--output", common.output, "write there instead of to stdout")
      ->type_name("FILE")
      ->group(kOutput);
  command.add_option("--by", common.by, "a row for each of these, e.g. stack,process")
      ->delimiter(',')
      ->type_name("WHAT")
      ->group(kOutput);
  command.add_option("--sort", common.sort, "the measure that rows are ordered by")
      ->type_name("MEASURE")
      ->group(kOutput);
  command.add_option("--top", common.top, "rows; 0: all (tables: 20)")
      ->check(not_negative)
      ->type_name("N")
      ->group(kOutput);
  command.add_option("--record", common.record, "keep every report there, for --replay")
      ->type_name("FILE")
      ->group(kOutput);
  command.add_option("--replay", common.replay, "show a record; nothing is attached")
      ->type_name("FILE")
      ->group(kOutput);
  command.add_option("--fail-if", common.fail_if, "exit status 4 when it holds at the end")
      ->type_name("CONDITION")
      ->group(kOutput);
  command.add_flag("--dry-run", common.dry_run, "say what would be attached and what it takes")
      ->group(kOutput);
}

template <class T, class Run>
std::shared_ptr<T> on_tracer(CLI::App& command, Chosen& chosen, Run run, bool of_processes = true) {
  auto options = on_command<T>(command, chosen, run);
  if (of_processes) add_targets(command, options);
  add_times(command, options);
  add_outputs(command, options);
  return options;
}

void add_leak(CLI::App& observe, Chosen& chosen) {
  auto* command =
      observe.add_subcommand("leak", "memory that was allocated and not freed: processes, kernel");
  auto options = on_tracer<ObserveLeakOptions>(*command, chosen, observe_leak);
  command->add_flag("--kernel", options->kernel, "of the kernel: slab, per-CPU, vmalloc");
  command
      ->add_option("--tier", options->tier,
                   "probes: each block; pages: resident growth by page faults, without probes")
      ->type_name("probes|pages")
      ->capture_default_str();
  command
      ->add_option("--sample", options->sample,
                   "a byte in SIZE on the average, or all (default: all; 512K with --budget)")
      ->type_name("SIZE|all");
  command
      ->add_option("--budget", options->budget,
                   "share of a CPU that tracing may take, traps included, e.g. 3%")
      ->type_name("PERCENT");
  command->add_option("--min-size", options->min_size, "only blocks of at least this size")
      ->type_name("SIZE");
  command->add_option("--max-size", options->max_size, "only blocks of at most this size")
      ->type_name("SIZE");
  command->add_option("--older", options->older, "only what is outstanding for so long")
      ->type_name("TIME");
  command->add_flag("--show-allocs", options->show_allocs, "each outstanding block, too");
  command->add_flag("--trace", options->trace, "each event as a line of JSON, as it comes");
  command
      ->add_option("--alloc", options->alloc,
                   "a library of allocators, or a PREFIX of wrappers (z: zmalloc, zfree, ...); "
                   "PREFIX+N: their arguments come after N others")
      ->type_name("PATH|PREFIX[+N]");
  command->add_option("--suppressions", options->suppressions, "known leaks: lines leak:PATTERN")
      ->type_name("FILE");
  command->add_option("--cache", options->caches, "with --kernel: only these slab caches")
      ->delimiter(',')
      ->type_name("NAME");
  command->add_option("--seed", options->seed, "of --sample; 0: by chance")
      ->check(not_negative)
      ->type_name("N");
  command->add_option("--blocks-max", options->blocks_max, "outstanding blocks that are kept")
      ->check(CLI::Range(1U, 1U << 26))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--stacks-max", options->stacks_max, "stacks that are kept")
      ->check(CLI::Range(1U, 1U << 20))
      ->type_name("N")
      ->capture_default_str();
  command->footer(kLeakFooter);
}

void add_self(CLI::App& observe, Chosen& chosen) {
  auto* command =
      observe.add_subcommand("self", "BPF programs and maps of Sluice: runs, cost, fill");
  auto options = on_tracer<ObserveSelfOptions>(*command, chosen, observe_self, false);
  command->add_flag("--all", options->all, "those of others, too");
  command->footer(kSelfFooter);
}

void add_pages(CLI::App& observe, Chosen& chosen) {
  auto* command = observe.add_subcommand("pages", "who holds memory from the page allocator");
  auto options = on_tracer<ObservePagesOptions>(*command, chosen, observe_pages);
  command->add_flag("--hidden", options->hidden, "only what /proc/meminfo does not show");
  command->add_option("--older", options->older, "only what was allocated so long ago")
      ->type_name("TIME");
  command->add_option("--rows-max", options->rows_max, "combinations that are kept apart")
      ->check(CLI::Range(16U, 1U << 22))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--stacks-max", options->stacks_max, "stacks that are kept")
      ->check(CLI::Range(1U, 1U << 20))
      ->type_name("N")
      ->capture_default_str();
  command->footer(kPagesFooter);
}

}  // namespace

void add_observe_commands(CLI::App& app, Chosen& chosen) {
  auto* observe = app.add_subcommand("observe", "trace this host: memory, and Sluice itself")
                      ->group("On a host, without lbd");
  observe->require_subcommand(1);
  observe->get_formatter()->column_width(34);
  observe->footer(
      "Every report ends with what was not seen and what it cost. Ctrl-C prints the totals.");
  add_self(*observe, chosen);
  add_leak(*observe, chosen);
  add_pages(*observe, chosen);
}

}  // namespace lb::client
