// SPDX-License-Identifier: Apache-2.0
// CodeObject: a file that code was mapped from, and the names of the addresses in it. One thread.
// Its tables are read when the first address is asked for, and can be given up again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"
#include "observe/report.h"
#include "observe/symbols/dwarf_lines.h"
#include "observe/symbols/elf_file.h"
#include "observe/symbols/object_files.h"
#include "observe/symbols/symbol_table.h"

namespace lb::observe {

class CodeObject {
 public:
  /// A file whose path is `path` under `root`. Holds a descriptor, so that it can be read when the
  /// file and its processes are gone; and where that root is not ours, which goes with its last
  /// process, one of its debug file too. Errors: as ElfFile::from().
  [[nodiscard]] static Result<CodeObject> open(Fd file, std::string path, Root root);
  /// Code in memory, such as the vDSO. Errors: as ElfFile::from_image().
  [[nodiscard]] static Result<CodeObject> of_image(std::string image, std::string name);
  /// One that a record tells of; it is found by its build-id, in the directories for debug files
  /// and at its path.
  [[nodiscard]] static CodeObject recorded(MappedObject identity);

  [[nodiscard]] const MappedObject& identity() const noexcept { return identity_; }
  /// Whether it was an ELF file when it was opened; false of one that a record tells of.
  [[nodiscard]] bool readable() const noexcept { return readable_; }
  /// The ELF virtual address of a byte of the file; nothing when it is not loaded as code.
  [[nodiscard]] std::optional<std::uint64_t> address_of(std::uint64_t file_offset) const;
  /// The functions at an ELF virtual address, innermost first; empty when it has no name.
  [[nodiscard]] std::vector<Place> places(std::uint64_t address);

  /// From now on it is found by its build-id, as one of a record.
  void release_files() noexcept {
    file_.reset();
    debug_file_.reset();
  }
  /// Gives the tables up; places() reads them again.
  void release_tables() noexcept { tables_.reset(); }
  /// What the tables take.
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  struct Tables {
    SymbolTable symbols;
    std::unique_ptr<DwarfLines> lines;  // null: no DWARF
  };
  CodeObject() = default;
  [[nodiscard]] std::optional<ElfFile> reopen() const;
  [[nodiscard]] std::optional<ElfFile> reopen_debug(const std::optional<ElfFile>& file) const;
  void load();

  MappedObject identity_;
  bool readable_ = false;
  std::vector<CodeSegment> segments_;
  Fd file_;
  Fd debug_file_;
  std::string image_;
  Root root_;
  std::unique_ptr<Tables> tables_;
};

}  // namespace lb::observe
