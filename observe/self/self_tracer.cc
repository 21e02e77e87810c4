// SPDX-License-Identifier: Apache-2.0
#include "observe/self/self_tracer.h"

#include <fmt/format.h>

#include <set>

#include "dataplane/base/clock.h"

namespace lb::observe {
namespace {

double per_cent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

Row map_row(const BpfMapInfo& map) {
  Row row;
  row.labels = {"map", map.name, map.type, fmt::format("{}", map.id)};
  row.values = {static_cast<double>(map.memory_bytes),
                0.0,
                0.0,
                0.0,
                0.0,
                static_cast<double>(map.entries.value_or(0)),
                static_cast<double>(map.entries_max),
                map.entries ? per_cent(*map.entries, map.entries_max) : 0.0};
  return row;
}

Row program_row(const BpfProgramInfo& program, const BpfProgramInfo& before, double seconds) {
  const auto runs = program.runs - before.runs;
  const auto time_ns = program.run_time_ns - before.run_time_ns;
  Row row;
  row.labels = {"program", program.name, program.type, fmt::format("{}", program.id)};
  row.values = {static_cast<double>(program.memory_bytes),
                static_cast<double>(runs),
                runs == 0 ? 0.0 : static_cast<double>(time_ns) / static_cast<double>(runs),
                seconds > 0 ? static_cast<double>(time_ns) / seconds * 1e-7 : 0.0,
                static_cast<double>(program.recursion_misses),
                0.0,
                0.0,
                0.0};
  return row;
}

}  // namespace

bool is_ours(std::string_view program) {
  return program.starts_with("lb_") || program.starts_with("observe_") ||
         program.starts_with("kmem_");
}

Result<Plan> SelfTracer::plan() {
  Plan plan;
  plan.notes.emplace_back(
      "attaches nothing; the kernel's statistics of BPF programs are on meanwhile");
  return plan;
}

Status SelfTracer::attach() {
  LB_TRY_ASSIGN(statistics_, BpfStatistics::enable());
  LB_TRY_ASSIGN(auto programs, all_bpf_programs());
  for (auto& program : programs) before_.emplace(program.id, std::move(program));
  attached_ns_ = monotonic_ns();
  return {};
}

Result<Report> SelfTracer::read() {
  LB_TRY_ASSIGN(auto programs, all_bpf_programs());
  Report report;
  report.tracer = name();
  report.at_s = static_cast<double>(monotonic_ns() - attached_ns_) * 1e-9;
  report.dimensions = {"kind", "name", "type", "id"};
  report.measures = {
      {"memory", Unit::Bytes, Kind::Level, "as the kernel accounts it"},
      {"runs", Unit::Count, Kind::Total, "since the start of this command"},
      {"run_time", Unit::Nanoseconds, Kind::Level, "of one run"},
      {"cpu", Unit::Percent, Kind::Level, "of one CPU"},
      {"misses", Unit::Count, Kind::Total, "runs that the kernel left out (recursion)"},
      {"entries", Unit::Count, Kind::Level, "of a map that counts them"},
      {"entries_max", Unit::Count, Kind::Level, "of a map"},
      {"fill", Unit::Percent, Kind::Level, "of a map that counts them"}};
  std::set<std::uint32_t> maps;
  double memory = 0;
  double cpu = 0;
  for (const auto& program : programs) {
    if (!options_.all && !is_ours(program.name)) continue;
    auto before = before_.try_emplace(program.id).first;
    report.rows.push_back(program_row(program, before->second, report.at_s));
    memory += report.rows.back().values[0].value;
    cpu += report.rows.back().values[3].value;
    report.honesty.events += program.runs - before->second.runs;
    maps.insert(program.maps.begin(), program.maps.end());
  }
  const auto count = report.rows.size();
  for (auto id : maps) {
    auto map = bpf_map_info(id);
    if (!map) continue;
    report.rows.push_back(map_row(*map));
    memory += report.rows.back().values[0].value;
  }
  report.figures = {
      {"programs", Unit::Count, static_cast<double>(count), "loaded"},
      {"maps", Unit::Count, static_cast<double>(report.rows.size() - count), "that they use"},
      {"memory", Unit::Bytes, memory, "of programs and maps"},
      {"cpu", Unit::Percent, cpu, "of one CPU, of all programs"}};
  if (count == 0) {
    report.honesty.notes.emplace_back(
        "the kernel holds no BPF program of Sluice: neither lbd nor a tracer runs");
  }
  return report;
}

}  // namespace lb::observe
