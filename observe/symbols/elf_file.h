// SPDX-License-Identifier: Apache-2.0
// ElfFile: an ELF file or image opened with libelf, for the symboliser: who it is, where its code
// lies, and its sections. One thread. It is read, never mapped: a traced process could cut a mapped
// file short under us. Sizes in it are checked before anything of that size is read.
#pragma once

#include <elf.h>
#include <libelf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb::observe {

/// A part of the file that is loaded as code.
struct CodeSegment {
  std::uint64_t file_offset = 0;
  std::uint64_t address = 0;  ///< ELF virtual address
  std::uint64_t bytes = 0;    ///< that the file has

  bool operator==(const CodeSegment&) const = default;
};

/// The name of the separate debug file that a stripped one gives.
struct DebugLink {
  std::string file_name;  ///< without a directory
  std::uint32_t crc = 0;  ///< CRC-32 of the whole debug file
};

class ElfFile {
 public:
  /// Takes the descriptor over. Errors: ENOEXEC: not an ELF file, or its tables are broken or
  /// larger than any real one's; the message begins with `name`.
  [[nodiscard]] static Result<ElfFile> from(Fd file, const std::string& name);
  /// The same of an image in memory, such as the vDSO.
  [[nodiscard]] static Result<ElfFile> from_image(std::string image, const std::string& name);

  /// The same file with nothing of it read yet: libelf keeps what was read until its end.
  [[nodiscard]] Result<ElfFile> again() const;

  /// Hex; empty when it has none.
  [[nodiscard]] std::string build_id() const;
  [[nodiscard]] std::vector<CodeSegment> code_segments() const;
  [[nodiscard]] std::optional<DebugLink> debug_link() const;
  /// The first section of that name; nothing when there is none.
  [[nodiscard]] Elf_Scn* section(std::string_view name) const;
  /// Whether it has DWARF of its own.
  [[nodiscard]] bool has_debug_info() const;
  /// What its DWARF sections take in memory, unpacked; nothing when that cannot be known.
  [[nodiscard]] std::optional<std::uint64_t> debug_bytes() const;
  [[nodiscard]] Elf* get() const noexcept { return elf_.get(); }
  [[nodiscard]] const Fd& file() const noexcept { return file_; }

 private:
  struct Close {
    void operator()(Elf* elf) const noexcept { elf_end(elf); }
  };
  [[nodiscard]] static Result<ElfFile> checked(ElfFile file, const std::string& name);
  [[nodiscard]] Status check() const;

  Fd file_;
  std::unique_ptr<std::string> image_;  // where it stays, as libelf points into it
  std::unique_ptr<Elf, Close> elf_;
};

}  // namespace lb::observe
