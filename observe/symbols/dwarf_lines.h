// SPDX-License-Identifier: Apache-2.0
// DwarfLines: from an address to functions, files and lines, inlined ones too, by the DWARF of one
// ELF file (libdw). One thread. A compilation unit is read when an address in it is first asked
// for. Nothing but the file given and what find_shared gives is opened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "observe/report.h"
#include "observe/symbols/elf_file.h"

namespace lb::observe {

class DwarfLines {
 public:
  struct Found {
    /// Innermost first. The function is empty where only the line is known.
    std::vector<Place> places;
    /// Where the function that the others are inlined into begins; 0: not known.
    std::uint64_t entry = 0;
  };
  /// Opens the file that this one shares a part of its DWARF in (dwz), by name and build-id.
  using FindShared =
      std::function<std::optional<ElfFile>(const std::string& name, const std::string& build_id)>;

  DwarfLines(const DwarfLines&) = delete;
  DwarfLines& operator=(const DwarfLines&) = delete;
  ~DwarfLines();
  /// Null when there is no DWARF that can be read, when it is over 1 GiB, and when what it shares
  /// with others is not there.
  [[nodiscard]] static std::unique_ptr<DwarfLines> open(ElfFile file,
                                                        const FindShared& find_shared);

  /// Of an ELF virtual address; no places when it is in no unit.
  [[nodiscard]] Found find(std::uint64_t address);
  /// Sections and tables, as far as their sizes are known: libdw does not tell what it keeps.
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  struct State;
  explicit DwarfLines(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace lb::observe
