// SPDX-License-Identifier: Apache-2.0
// SymbolTable: the functions of an ELF file by address, compact: one name each, in one pool. One
// thread. Names stay mangled until they are asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "observe/symbols/elf_file.h"

namespace lb::observe {

class SymbolTable {
 public:
  struct Found {
    const char* name = nullptr;  ///< mangled, without a version; valid until this goes
    std::uint64_t start = 0;     ///< ELF virtual address of the function
  };

  SymbolTable() = default;
  /// Of .symtab, or where there is none of .dynsym; empty when there is neither, or when it is
  /// over 256 MiB. Nothing more of `file` stays in memory for it.
  [[nodiscard]] static SymbolTable of(const ElfFile& file);
  /// Whether the file has a .symtab with symbols in it.
  [[nodiscard]] static bool has_symtab(const ElfFile& file);

  /// The function that an address is in. A symbol without a size reaches to the next one, or to
  /// the end of its section. Of several names of one address, one that is not local, then the one
  /// with the fewest underscores in front, then the first.
  [[nodiscard]] std::optional<Found> find(std::uint64_t address) const;
  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return entries_.capacity() * sizeof(Entry) + names_.capacity();
  }

 private:
  struct Entry {
    std::uint64_t address;
    std::uint32_t bytes;
    std::uint32_t name;  // in names_, which has a zero behind each
  };
  static_assert(sizeof(Entry) == 16);

  std::vector<Entry> entries_;  // by address, each once
  std::string names_;
};

}  // namespace lb::observe
