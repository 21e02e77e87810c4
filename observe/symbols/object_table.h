// SPDX-License-Identifier: Apache-2.0
// ObjectTable: every code object that the symboliser has met, by a number that stays, within limits
// on descriptors and memory. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "observe/report.h"
#include "observe/symbols/code_object.h"
#include "observe/symbols/object_files.h"
#include "observe/symbols/process_maps.h"

namespace lb::observe {

class ObjectTable {
 public:
  struct Limits {
    std::size_t objects = 8192;                  ///< the next ones have no number
    std::size_t files = 512;                     ///< held open; at most RLIMIT_NOFILE / 4
    std::size_t bytes = std::size_t{512} << 20;  ///< of tables; the least used ones go
    std::size_t places = std::size_t{1} << 20;   ///< remembered addresses; all go together
  };
  explicit ObjectTable(const Limits& limits);

  /// The object mapped there. One that cannot be read, or is not ELF, has its path only. kNone: the
  /// mapping is of no file, or the table is full.
  [[nodiscard]] std::uint32_t add(std::uint32_t pid, const Mapping& mapping, const Root& root);
  /// The object that a record tells of. kNone: the table is full.
  [[nodiscard]] std::uint32_t add_recorded(const MappedObject& identity);

  [[nodiscard]] const CodeObject& at(std::uint32_t index) const { return entries_[index].object; }
  /// As CodeObject::places(), remembered. Valid until the next call.
  [[nodiscard]] const std::vector<Place>& places(std::uint32_t index, std::uint64_t address);
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return table_bytes_ + place_bytes_; }

 private:
  struct Entry {
    CodeObject object;
    std::unordered_map<std::uint64_t, std::vector<Place>> places = {};
    std::uint64_t used = 0;
    std::size_t bytes = 0;  // of its tables
  };
  [[nodiscard]] std::uint32_t add(CodeObject object);
  [[nodiscard]] std::uint32_t add_vdso(const Mapping& mapping);
  void account(std::uint32_t index);
  void remember(std::size_t bytes);

  Limits limits_;
  std::vector<Entry> entries_;
  std::map<FileId, std::uint32_t> by_file_;  // those held open: no other file can be it meanwhile
  std::map<std::pair<std::string, std::string>, std::uint32_t> recorded_;  // by path and build-id
  std::uint32_t vdso_ = kNone;
  std::uint64_t clock_ = 0;
  std::size_t table_bytes_ = 0;
  std::size_t place_bytes_ = 0;
  std::size_t place_count_ = 0;
};

}  // namespace lb::observe
