// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/address_spaces.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <ranges>
#include <utility>

namespace lb::observe {
namespace {

constexpr std::size_t kProcessesMax = 16384;
constexpr std::size_t kGenerationsMax = 4;

}  // namespace

Status AddressSpaces::learn(std::uint32_t pid, ObjectTable& objects) {
  LB_TRY_ASSIGN(ProcessMaps maps, ProcessMaps::read(pid));
  if (maps.mappings().empty()) {
    return fail(ESRCH, fmt::format("process {} has ended, or is a thread of the kernel", pid));
  }
  const auto known = processes_.find(pid);
  if (known == processes_.end() && processes_.size() >= kProcessesMax) {
    processes_.erase(std::ranges::min_element(
        processes_, {}, [](const auto& process) { return process.second.learned; }));
  }
  Process& process = processes_[pid];
  process.learned = ++clock_;
  const Generation* const last =
      process.generations.empty() ? nullptr : &process.generations.back();
  if (last != nullptr && last->maps == maps) return {};
  const Root root = root_of(pid);
  Generation next;
  for (const Mapping& mapping : maps.mappings()) {
    const Mapping* const before = last == nullptr ? nullptr : last->maps.find(mapping.start);
    const bool same = before != nullptr && *before == mapping;
    next.objects.push_back(
        same ? last->objects[static_cast<std::size_t>(before - last->maps.mappings().data())]
             : objects.add(pid, mapping, root));
  }
  next.maps = std::move(maps);
  process.generations.push_back(std::move(next));
  if (process.generations.size() > kGenerationsMax) {
    process.generations.erase(process.generations.begin());
  }
  return {};
}

std::optional<AddressSpaces::Found> AddressSpaces::find(std::uint32_t pid, std::uint64_t address,
                                                        const ObjectTable& objects) const {
  const auto process = processes_.find(pid);
  if (process == processes_.end()) return std::nullopt;
  for (const Generation& generation : std::views::reverse(process->second.generations)) {
    const Mapping* const mapping = generation.maps.find(address);
    if (mapping == nullptr) continue;
    const std::uint32_t object =
        generation.objects[static_cast<std::size_t>(mapping - generation.maps.mappings().data())];
    if (object == kNone) return std::nullopt;
    const std::uint64_t offset = address - mapping->start + mapping->file_offset;
    if (!objects.at(object).readable()) return Found{.object = object, .address = offset};
    const auto elf_address = objects.at(object).address_of(offset);
    if (!elf_address) return std::nullopt;
    return Found{.object = object, .address = *elf_address};
  }
  return std::nullopt;
}

std::size_t AddressSpaces::memory_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const auto& [pid, process] : processes_) {
    for (const Generation& generation : process.generations) {
      bytes += sizeof(Generation) + generation.maps.memory_bytes() +
               generation.objects.capacity() * sizeof(std::uint32_t);
    }
  }
  return bytes;
}

}  // namespace lb::observe
