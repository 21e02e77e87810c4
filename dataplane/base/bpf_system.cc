// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/bpf_system.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "dataplane/base/bpf_map.h"

namespace lb {
namespace {

std::uint64_t fdinfo_value(int fd, const char* format) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(fmt::format("/proc/self/fdinfo/{}", fd).c_str(), "re"), std::fclose);
  std::array<char, 256> line{};
  unsigned long long value = 0;
  while (file && std::fgets(line.data(), line.size(), file.get()) != nullptr) {
    if (std::sscanf(line.data(), format, &value) == 1) return value;
  }
  return 0;
}

std::string type_name(const char* name, std::uint32_t number) {
  return name != nullptr ? name : fmt::format("type {}", number);
}

bool counts_entries(std::uint32_t type) {
  switch (type) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_LPM_TRIE:
    case BPF_MAP_TYPE_HASH_OF_MAPS:
      return true;
    default:
      return false;
  }
}

std::optional<std::uint64_t> count_entries(int fd, const ::bpf_map_info& info) {
  if (!counts_entries(info.type)) return std::nullopt;
  auto map = BpfMap::open(fd, info.key_size, info.value_size);
  std::uint64_t count = 0;
  if (!map) return std::nullopt;
  auto scanned = map->scan([&count](const std::byte*, const std::byte*) { ++count; });
  return scanned ? std::optional(count) : std::nullopt;
}

}  // namespace

std::optional<BpfProgramInfo> bpf_program_info(std::uint32_t id) {
  Fd fd(bpf_prog_get_fd_by_id(id));
  if (!fd) return std::nullopt;
  ::bpf_prog_info info{};
  __u32 bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) != 0) return std::nullopt;
  BpfProgramInfo program;
  program.id = id;
  program.name = info.name;
  program.type =
      type_name(libbpf_bpf_prog_type_str(static_cast<bpf_prog_type>(info.type)), info.type);
  program.runs = info.run_cnt;
  program.run_time_ns = info.run_time_ns;
  program.recursion_misses = info.recursion_misses;
  program.memory_bytes = fdinfo_value(fd.get(), "memlock: %llu");
  program.maps.resize(info.nr_map_ids);
  ::bpf_prog_info again{};
  again.nr_map_ids = info.nr_map_ids;
  again.map_ids = reinterpret_cast<std::uintptr_t>(program.maps.data());
  bytes = sizeof again;
  if (bpf_obj_get_info_by_fd(fd.get(), &again, &bytes) != 0) program.maps.clear();
  return program;
}

Result<std::vector<BpfProgramInfo>> all_bpf_programs() {
  std::vector<BpfProgramInfo> all;
  __u32 id = 0;
  while (bpf_prog_get_next_id(id, &id) == 0) {  // bounded: ids only grow
    if (auto program = bpf_program_info(id)) all.push_back(std::move(*program));
  }
  if (errno == EPERM) {
    return fail(EPERM, "the kernel does not list BPF programs to this user; run it as root");
  }
  if (errno != ENOENT) return fail_errno(errno, "list of BPF programs");
  return all;
}

std::optional<BpfMapInfo> bpf_map_info(std::uint32_t id) {
  Fd fd(bpf_map_get_fd_by_id(id));
  if (!fd) return std::nullopt;
  ::bpf_map_info info{};
  __u32 bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) != 0) return std::nullopt;
  BpfMapInfo map;
  map.id = id;
  map.name = info.name;
  map.type = type_name(libbpf_bpf_map_type_str(static_cast<bpf_map_type>(info.type)), info.type);
  map.entries_max = info.max_entries;
  map.memory_bytes = fdinfo_value(fd.get(), "memlock: %llu");
  map.entries = count_entries(fd.get(), info);
  return map;
}

Result<BpfStatistics> BpfStatistics::enable() {
  BpfStatistics statistics;
  statistics.fd_.reset(bpf_enable_stats(BPF_STATS_RUN_TIME));
  if (!statistics.fd_) return fail_errno(errno, "run-time statistics of BPF programs");
  return statistics;
}

}  // namespace lb
