// SPDX-License-Identifier: Apache-2.0
// What `lbctl observe` costs those whom it traces: a pair of malloc and free under the leak tracer
// beside other ways to do it, what --dry-run said of it, and an event of the pages tracer. Needs
// root. Other work on the machine moves every figure: only ratios inside a round mean anything.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/bpf_system.h"
#include "observe/plan/site_costs.h"
#include "tests/bench/observe_bench_heap.h"
#include "tests/bench/observe_bench_pages.h"
#include "tests/bench/observe_bench_rounds.h"
#include "tests/bench/observe_bench_run_times.h"
#include "tests/bench/observe_bench_target.h"

namespace lb::observe {
namespace {

constexpr std::array<unsigned, 2> kDepths = {1, 15};
constexpr std::uint64_t kUnsampled = 64ULL << 30;  // practically nothing is taken
constexpr std::uint64_t kSampled = 512 << 10;
constexpr const char* kJemalloc = "libjemalloc.so.2";
constexpr const char* kHeaptrack = "/usr/lib/heaptrack/libheaptrack_preload.so";

std::string depth_name(unsigned depth) { return fmt::format("depth {}", depth); }

/// Pairs of one allocator: a target, and what is put on it.
class HeapBench {
 public:
  static Result<HeapBench> start(std::string name, const std::string& preload,
                                 unsigned milliseconds) {
    LB_TRY_ASSIGN(auto target, BenchTarget::start(preload));
    LB_TRY_ASSIGN(auto plan, heap_plan_of(target.pid()));
    return HeapBench(std::move(name), std::move(target), std::move(plan), milliseconds);
  }

  void add_cases(Rounds& rounds) const {
    const std::uint32_t pid = target_.pid();
    add(rounds, "nothing", [] { return Result<Attached>(Attached{}); });
    add(rounds, "empty", [=, this] { return attach_nothing(pid, plan_, ProbeAt::Site, true); });
    add(rounds, "empty entry",
        [=, this] { return attach_nothing(pid, plan_, ProbeAt::Site, false); });
    add(rounds, "empty at 0",
        [=, this] { return attach_nothing(pid, plan_, ProbeAt::Begin, true); });
    add(rounds, "tracer", [=] { return attach_tracer(pid, 0); });
    add(rounds, "tracer at 0",
        [=, this] { return attach_tracer_programs(pid, plan_, ProbeAt::Begin, 0); });
    add(rounds, "unsampled", [=] { return attach_tracer(pid, kUnsampled); });
    add(rounds, "sampled", [=] { return attach_tracer(pid, kSampled); });
    add(rounds, "usual", [=, this] { return attach_usual(pid, plan_); });
    rounds.add(name_ + " planned", [this] { return predict(); });
  }

  void print_sites() const {
    const auto sites = plan_.sites();
    for (std::size_t i = 0; i < sites.size(); ++i) {
      if (!is_hit(plan_.points[i])) continue;
      fmt::print("{}: {} by {} ({})\n", name_, sites[i].where, sites[i].how, sites[i].note);
    }
  }

  void print(const Rounds& rounds) const {
    for (const unsigned depth : kDepths) {
      Rounds::print_head(fmt::format("{}, a pair of malloc and free, depth {}", name_, depth));
      for (const char* what : {"nothing", "empty", "empty entry", "empty at 0", "tracer",
                               "tracer at 0", "unsampled", "sampled", "usual", "heaptrack"}) {
        rounds.print(figure(what, depth), "ns");
      }
      rounds.print_ratio(figure("tracer", depth), figure("tracer at 0", depth),
                         "0.167 where a stepped trap is 17 us");
      rounds.print_ratio(figure("empty", depth), figure("empty at 0", depth), "");
      rounds.print_ratio(figure("unsampled", depth), figure("empty", depth), "1.15");
      rounds.print_ratio(figure("unsampled", depth), figure("empty entry", depth), "");
      rounds.print_ratio(figure("sampled", depth), figure("usual", depth), "");
      rounds.print_ratio(figure("sampled", depth), figure("heaptrack", depth), "");
      for (const char* what : {"tracer", "unsampled", "sampled"}) {
        for (const char* part : {"session", "call"}) {
          rounds.print(fmt::format("{} {}/{} {}", name_, what, part, depth_name(depth)), "ns");
        }
      }
      print_prediction(rounds, depth);
    }
  }

 private:
  HeapBench(std::string name, BenchTarget target, UprobePlan plan, unsigned milliseconds)
      : name_(std::move(name)),
        target_(std::move(target)),
        plan_(std::move(plan)),
        milliseconds_(milliseconds) {}

  [[nodiscard]] std::string figure(const std::string& what, unsigned depth) const {
    return fmt::format("{} {}/{}", name_, what, depth_name(depth));
  }
  template <class Attach>
  void add(Rounds& rounds, const std::string& what, Attach attach) const {
    rounds.add(name_ + " " + what, [this, attach]() -> Result<Rounds::Figures> {
      LB_TRY_ASSIGN(const auto attached, attach());
      LB_TRY_ASSIGN(auto figures, pairs(target_, milliseconds_));
      if (const BpfObject* object = attached.programs_of()) {
        LB_TRY(add_bodies(*object, figures));
      }
      return figures;
    });
  }
  /// "body DEPTH": what the programs themselves take of a pair, three runs of them at most.
  [[nodiscard]] Status add_bodies(const BpfObject& object, Rounds::Figures& figures) const {
    for (const unsigned depth : kDepths) {
      LB_TRY_ASSIGN(RunTimes times, RunTimes::begin(object));
      LB_TRY(target_.run(Load::Pairs, milliseconds_, depth));
      times.end();
      for (const char* part : {"session", "call"}) {
        if (auto ns = times.of(part)) figures[fmt::format("{} {}", part, depth_name(depth))] = *ns;
      }
    }
    return {};
  }
  /// Whether the pairs go through this probe.
  [[nodiscard]] bool is_hit(const ProbePoint& point) const {
    auto has = [&point](const char* name) {
      return std::ranges::find(point.names, name) != point.names.end();
    };
    return (has("malloc") || has("free")) &&
           point.file.shown.contains(name_ == "glibc" ? "libc.so" : name_);
  }
  /// What a dry run says of the two sites that a pair hits, and what is the traps' part of it.
  [[nodiscard]] Result<Rounds::Figures> predict() const {
    LB_TRY_ASSIGN(const auto costs, measure_site_costs(plan_.mechanism));
    LB_TRY_ASSIGN(const double all, planned_pair(0));
    LB_TRY_ASSIGN(const double sampled, planned_pair(kSampled));
    Rounds::Figures figures{{"tracer", all}, {"sampled", sampled}, {"empty", 0}};
    for (const ProbePoint& point : plan_.points) {
      if (is_hit(point)) figures["empty"] += costs.of(point.site, point.returns);
    }
    return figures;
  }
  [[nodiscard]] Result<double> planned_pair(std::uint64_t sample_bytes) const {
    HeapLeakOptions options;
    options.targets.everything = false;
    options.targets.pids = {target_.pid()};
    options.sample_bytes = sample_bytes;
    Symboliser symbols;
    LB_TRY_ASSIGN(const Plan plan, HeapTracer(std::move(options), symbols).plan());
    double ns = 0;
    const auto sites = plan_.sites();
    for (std::size_t i = 0; i < sites.size(); ++i) {
      if (!is_hit(plan_.points[i])) continue;
      const auto site = std::ranges::find(plan.sites, sites[i].where, &Plan::Site::where);
      if (site != plan.sites.end()) ns += site->cost_ns;
    }
    return ns;
  }
  void print_prediction(const Rounds& rounds, unsigned depth) const {
    for (const char* what : {"empty", "sampled", "tracer"}) {
      rounds.print_derived(
          fmt::format("planned / measured hits of a pair, {}", what),
          [&, what](const Rounds::Figures& r) {
            return r.at(name_ + " planned/" + what) /
                   (r.at(figure(what, depth)) - r.at(figure("nothing", depth)));
          },
          "", "0.8 to 1.25");
    }
  }

 public:
  static Result<Rounds::Figures> pairs(const BenchTarget& target, unsigned milliseconds) {
    Rounds::Figures figures;
    for (const unsigned depth : kDepths) {
      LB_TRY_ASSIGN(const double ns, target.run(Load::Pairs, milliseconds, depth));
      figures[depth_name(depth)] = ns;
    }
    return figures;
  }

 private:
  std::string name_;
  BenchTarget target_;
  UprobePlan plan_;
  unsigned milliseconds_;
};

void add_trap_costs(Rounds& rounds) {
  rounds.add("trap", []() -> Result<Rounds::Figures> {
    LB_TRY_ASSIGN(const auto support, probe_uprobe_support());
    LB_TRY_ASSIGN(const auto costs, measure_site_costs(support.session ? Mechanism::Session
                                                       : support.multi ? Mechanism::Multi
                                                                       : Mechanism::Plain));
    return Rounds::Figures{{"emulated", costs.emulated_ns},
                           {"stepped", costs.stepped_ns},
                           {"return", costs.return_ns},
                           {"work", costs.work_ns}};
  });
}

void run_heap(int rounds_wanted, unsigned milliseconds) {
  Rounds rounds;
  add_trap_costs(rounds);
  std::vector<HeapBench> benches;
  for (const auto& [name, preload] : {std::pair{"glibc", ""}, std::pair{"jemalloc", kJemalloc}}) {
    auto bench = HeapBench::start(name, preload, milliseconds);
    if (!bench) {
      fmt::print("skipped {}: {}\n", name, bench.error().message);
      continue;
    }
    benches.push_back(std::move(*bench));
  }
  for (const HeapBench& bench : benches) {
    bench.add_cases(rounds);
    bench.print_sites();
  }
  auto heaptrack = BenchTarget::start(kHeaptrack, {{"DUMP_HEAPTRACK_OUTPUT", "/dev/null"}});
  if (heaptrack) {
    rounds.add("glibc heaptrack", [&] { return HeapBench::pairs(*heaptrack, milliseconds); });
  } else {
    fmt::print("skipped heaptrack: {}\n", heaptrack.error().message);
  }
  rounds.run(rounds_wanted);
  Rounds::print_head("a hit of an empty program");
  for (const char* way : {"trap/emulated", "trap/stepped", "trap/return", "trap/work"}) {
    rounds.print(way, "ns");
  }
  for (const HeapBench& bench : benches) bench.print(rounds);
}

void run_pages(int rounds_wanted, unsigned milliseconds) {
  auto target = BenchTarget::start();
  if (!target) {
    fmt::print("skipped pages: {}\n", target.error().message);
    return;
  }
  Rounds rounds;
  add_page_cases(rounds, *target, milliseconds);
  rounds.run(rounds_wanted);
  print_page_figures(rounds);
}

int run(int argc, char** argv) {
  CLI::App app{"What lbctl observe costs those whom it traces. Needs root."};
  int rounds = 11;
  unsigned milliseconds = 20;
  std::string only;
  app.add_option("--rounds", rounds, "rounds over all cases")->check(CLI::Range(1, 1000));
  app.add_option("--milliseconds", milliseconds, "CPU time of a load in a case")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--only", only, "one part")->check(CLI::IsMember({"leak", "pages"}));
  CLI11_PARSE(app, argc, argv);

  if (const auto support = probe_uprobe_support(); !support) {
    fmt::print("skipped: {}\n", support.error().message);
    return 0;
  }
  if (only != "pages") run_heap(rounds, milliseconds);
  if (only != "leak") run_pages(rounds, milliseconds);
  return 0;
}

}  // namespace
}  // namespace lb::observe

int main(int argc, char** argv) {
  lb::observe::serve_if_target();
  std::signal(SIGPIPE, SIG_IGN);  // a target that has died is an error of its write
  return lb::observe::run(argc, argv);
}
