// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/object_table.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace lb::observe {
namespace {

constexpr std::uint64_t k32BitEnd = std::uint64_t{1} << 32;

std::size_t files_allowed(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  // An object can hold its debug file too; half of all are for others.
  return static_cast<std::size_t>(std::min<rlim_t>(wanted, limit.rlim_cur / 4));
}

std::size_t bytes_of(const std::vector<Place>& places) {
  std::size_t bytes = 64 + places.capacity() * sizeof(Place);
  for (const Place& place : places) bytes += place.function.capacity() + place.file.capacity();
  return bytes;
}

}  // namespace

ObjectTable::ObjectTable(const Limits& limits) : limits_(limits) {
  limits_.files = files_allowed(limits.files);
}

std::uint32_t ObjectTable::add(CodeObject object) {
  if (entries_.size() >= limits_.objects) return kNone;
  entries_.push_back({.object = std::move(object)});
  return static_cast<std::uint32_t>(entries_.size() - 1);
}

// All processes of 64 bits have the same one, so ours stands for it.
std::uint32_t ObjectTable::add_vdso(const Mapping& mapping) {
  if (mapping.start < k32BitEnd || vdso_ != kNone) return mapping.start < k32BitEnd ? kNone : vdso_;
  const auto maps = ProcessMaps::read(static_cast<std::uint32_t>(::getpid()));
  if (!maps) return kNone;
  for (const Mapping& own : maps->mappings()) {
    if (own.kind != MappingKind::Vdso) continue;
    const auto* const code = reinterpret_cast<const char*>(own.start);  // NOLINT: mapped there
    auto object = CodeObject::of_image(std::string(code, own.end - own.start), own.path);
    if (object) vdso_ = add(std::move(*object));
  }
  return vdso_;
}

std::uint32_t ObjectTable::add(std::uint32_t pid, const Mapping& mapping, const Root& root) {
  if (mapping.kind == MappingKind::Vdso) return add_vdso(mapping);
  if (mapping.kind != MappingKind::File && mapping.kind != MappingKind::Memfd) return kNone;
  const MappedObject unreadable{.path = mapping.path, .build_id = {}};
  auto file = open_mapped(pid, mapping, root);
  if (!file) return add_recorded(unreadable);
  const auto id = file_id(*file);
  if (!id) return add_recorded(unreadable);
  if (const auto known = by_file_.find(*id); known != by_file_.end()) return known->second;
  auto object = CodeObject::open(std::move(*file), mapping.path, root);
  if (!object) return add_recorded(unreadable);
  const bool held = by_file_.size() < limits_.files;
  if (!held) object->release_files();
  const std::uint32_t index = add(std::move(*object));
  if (held && index != kNone) by_file_.emplace(*id, index);
  return index;
}

std::uint32_t ObjectTable::add_recorded(const MappedObject& identity) {
  const auto key = std::pair(identity.path, identity.build_id);
  if (const auto known = recorded_.find(key); known != recorded_.end()) return known->second;
  const std::uint32_t index = add(CodeObject::recorded(identity));
  if (index != kNone) recorded_.emplace(key, index);
  return index;
}

const std::vector<Place>& ObjectTable::places(std::uint32_t index, std::uint64_t address) {
  Entry& entry = entries_[index];
  entry.used = ++clock_;
  if (const auto known = entry.places.find(address); known != entry.places.end()) {
    return known->second;
  }
  std::vector<Place> found = entry.object.places(address);
  account(index);
  remember(bytes_of(found));
  return entry.places[address] = std::move(found);
}

void ObjectTable::account(std::uint32_t index) {
  Entry& entry = entries_[index];
  table_bytes_ -= entry.bytes;
  entry.bytes = entry.object.memory_bytes();
  table_bytes_ += entry.bytes;
  while (table_bytes_ > limits_.bytes) {
    Entry* oldest = nullptr;
    for (Entry& other : entries_) {
      if (&other == &entry || other.bytes == 0) continue;
      if (oldest == nullptr || other.used < oldest->used) oldest = &other;
    }
    if (oldest == nullptr) return;  // this one alone is over the limit
    oldest->object.release_tables();
    table_bytes_ -= std::exchange(oldest->bytes, 0);
  }
}

void ObjectTable::remember(std::size_t bytes) {
  if (place_count_ >= limits_.places) {
    for (Entry& entry : entries_) entry.places.clear();
    place_count_ = 0;
    place_bytes_ = 0;
  }
  ++place_count_;
  place_bytes_ += bytes;
}

}  // namespace lb::observe
