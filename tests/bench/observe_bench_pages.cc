// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/observe_bench_pages.h"

#include <bpf/test_observe_events.skel.h>

#include <array>
#include <functional>
#include <string>
#include <utility>

#include "dataplane/base/bpf_object.h"
#include "observe/pages/page_tracer.h"
#include "tests/bench/observe_bench_run_times.h"

namespace lb::observe {
namespace {

constexpr std::array kLoads = {std::pair{"touch", Load::Touch}, std::pair{"pipe", Load::Pipe}};

Result<Rounds::Figures> run_loads(const BenchTarget& target, unsigned milliseconds) {
  Rounds::Figures figures;
  for (const auto& [name, load] : kLoads) {
    LB_TRY_ASSIGN(const double ns, target.run(load, milliseconds));
    figures[fmt::format("{} page", name)] = ns;
  }
  return figures;
}

/// The loads without statistics, which cost themselves, and once more with them.
Result<Rounds::Figures> measure(const BpfObject& object, const BenchTarget& target,
                                unsigned milliseconds) {
  LB_TRY_ASSIGN(auto figures, run_loads(target, milliseconds));
  for (const auto& [name, load] : kLoads) {
    LB_TRY_ASSIGN(RunTimes times, RunTimes::begin(object));
    LB_TRY(target.run(load, milliseconds));
    times.end();
    for (const char* part : {"alloc", "free"}) {
      if (auto ns = times.of(part)) figures[fmt::format("{} {}", name, part)] = *ns;
    }
  }
  return figures;
}

Result<Rounds::Figures> measure_tracer(const BenchTarget& target, unsigned milliseconds) {
  PageTracer tracer{PagesOptions{}};
  LB_TRY_ASSIGN(const auto plan, tracer.plan());
  LB_TRY(tracer.attach());
  LB_TRY_ASSIGN(auto figures, measure(*tracer.objects().front(), target, milliseconds));
  figures["planned free"] = plan.sites.at(0).cost_ns;
  figures["planned alloc"] = plan.sites.at(1).cost_ns;
  return figures;
}

/// test_observe_events.bpf.c with one of its programs at allocations.
Result<Rounds::Figures> measure_program(const std::string& alloc, const std::string& other,
                                        const BenchTarget& target, unsigned milliseconds) {
  std::size_t bytes = 0;
  const void* elf = test_observe_events__elf_bytes(&bytes);
  BpfSpec spec;
  spec.name = "test_observe_events";
  spec.elf = {static_cast<const std::byte*>(elf), bytes};
  spec.left_out = {other};
  LB_TRY_ASSIGN(const auto object, BpfObject::load(spec));
  LB_TRY_ASSIGN(const auto frees, object.attach("test_free_nothing"));
  LB_TRY_ASSIGN(const auto allocations, object.attach(alloc));
  return measure(object, target, milliseconds);
}

/// What a figure of the tracer is over that of another case.
std::function<double(const Rounds::Figures&)> over(const std::string& load, const std::string& part,
                                                   const std::string& base) {
  return [=](const Rounds::Figures& figures) {
    return figures.at(fmt::format("pages tracer/{} {}", load, part)) -
           figures.at(fmt::format("pages {}/{} {}", base, load, part));
  };
}

}  // namespace

void add_page_cases(Rounds& rounds, const BenchTarget& target, unsigned milliseconds) {
  rounds.add("pages nothing", [&target, milliseconds] { return run_loads(target, milliseconds); });
  rounds.add("pages empty", [&target, milliseconds] {
    return measure_program("test_alloc_nothing", "test_alloc_stack", target, milliseconds);
  });
  rounds.add("pages stack", [&target, milliseconds] {
    return measure_program("test_alloc_stack", "test_alloc_nothing", target, milliseconds);
  });
  rounds.add("pages tracer",
             [&target, milliseconds] { return measure_tracer(target, milliseconds); });
}

void print_page_figures(const Rounds& rounds) {
  for (const auto& [load, _] : kLoads) {
    Rounds::print_head(fmt::format("pages, load {}: an event, by the kernel's statistics", load));
    for (const char* name : {"empty", "stack", "tracer"}) {
      rounds.print(fmt::format("pages {}/{} alloc", name, load), "ns");
    }
    for (const char* name : {"empty", "tracer"}) {
      rounds.print(fmt::format("pages {}/{} free", name, load), "ns");
    }
    rounds.print_derived("an allocation, over one that only takes the stack",
                         over(load, "alloc", "stack"), "ns", "150");
    rounds.print_derived("a free of order 0, over an empty program", over(load, "free", "empty"),
                         "ns", "150");
    for (const char* part : {"alloc", "free"}) {
      rounds.print_ratio(fmt::format("pages tracer/planned {}", part),
                         fmt::format("pages tracer/{} {}", load, part), "");
    }
    Rounds::print_head(fmt::format("pages, load {}: CPU time of a page", load));
    for (const char* name : {"nothing", "empty", "stack", "tracer"}) {
      rounds.print(fmt::format("pages {}/{} page", name, load), "ns");
    }
    for (const char* name : {"empty", "stack", "tracer"}) {
      rounds.print_ratio(fmt::format("pages {}/{} page", name, load),
                         fmt::format("pages nothing/{} page", load), "");
    }
    rounds.print_derived("allocation and free, over the stack", over(load, "page", "stack"), "ns",
                         "");
  }
}

}  // namespace lb::observe
