// SPDX-License-Identifier: Apache-2.0
// ElfObject: an ELF file as the attach planner reads it: its functions by name, where they lie in
// the file, their code, and what its import slots stand for. One thread. The file may be of any
// origin: each offset and size in it is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

struct Elf;

namespace lb::observe {

/// A function that the file defines; what several names stand for is given once.
struct ElfFunction {
  std::uint64_t address = 0;       ///< ELF virtual address
  std::uint64_t size = 0;          ///< bytes; the largest that a name gives, 0: not known
  std::uint64_t file_offset = 0;   ///< what uprobes are registered by
  bool ifunc = false;              ///< the address is of the resolver, not of the function
  bool global = false;             ///< some name is global or weak
  std::vector<std::string> names;  ///< sorted, each once, without versions; 256 at most
  /// As the dynamic symbols have them, "malloc@@GLIBC_2.2.5" (the default version) or
  /// "malloc@GLIBC_2.0"; sorted; those without a version are not here.
  std::vector<std::string> versions;
};

/// What an object is linked as.
enum class ElfLinkage : std::uint8_t { Library, Program, StaticProgram };

class ElfObject {
 public:
  /// Errors: errno of open(2); ENOEXEC: not ELF, 32-bit, not for x86-64, or broken.
  [[nodiscard]] static Result<ElfObject> open(const std::string& path);
  /// As open(); takes the descriptor over. `name` is for messages.
  [[nodiscard]] static Result<ElfObject> from(Fd file, std::string name);
  ElfObject(ElfObject&&) noexcept;
  ElfObject& operator=(ElfObject&&) noexcept;
  ~ElfObject();

  [[nodiscard]] ElfLinkage linkage() const noexcept { return linkage_; }
  /// Functions of .dynsym and .symtab with a name that `wanted` takes; with all their names.
  /// Ordered by address. Those whose code is not in the file are left out.
  [[nodiscard]] std::vector<ElfFunction> functions(
      const std::function<bool(std::string_view)>& wanted) const;
  /// Where the code at an address is in the file; nothing when it is not executable code of it.
  [[nodiscard]] std::optional<std::uint64_t> file_offset(std::uint64_t address) const;
  /// At most `bytes_max` bytes of code; less when the segment ends, none when there is none.
  [[nodiscard]] std::vector<std::uint8_t> code(std::uint64_t address, std::size_t bytes_max) const;
  /// The same without a copy, 16 bytes or less; valid until the next call.
  [[nodiscard]] std::span<const std::uint8_t> peek(std::uint64_t address) const;
  /// The whole code of a function; bounded (1 MiB) and where the size is not known 4 KiB.
  [[nodiscard]] std::vector<std::uint8_t> code(const ElfFunction& function) const;
  /// The symbol whose address the dynamic linker writes to `slot`; empty when it is none.
  [[nodiscard]] std::string_view import_at(std::uint64_t slot) const;

 private:
  struct Close {
    void operator()(Elf* elf) const noexcept;
  };
  struct Segment {
    std::uint64_t address;
    std::uint64_t offset;
    std::uint64_t bytes;
  };
  struct Symbols;
  ElfObject() = default;
  [[nodiscard]] Status read_headers();
  [[nodiscard]] ElfLinkage read_linkage() const;
  [[nodiscard]] std::map<std::uint64_t, std::string> read_imports() const;
  void collect(const Symbols& symbols, std::map<std::uint64_t, ElfFunction>& found) const;
  [[nodiscard]] std::unexpected<Error> broken(std::string_view what) const;

  std::string name_;
  Fd file_;
  std::uint64_t file_bytes_ = 0;
  std::unique_ptr<Elf, Close> elf_;
  ElfLinkage linkage_ = ElfLinkage::Library;
  std::vector<Segment> code_;  // executable PT_LOAD segments
  mutable std::optional<std::map<std::uint64_t, std::string>> imports_;  // read when first asked
  mutable std::uint64_t window_address_ = 0;
  mutable std::vector<std::uint8_t> window_;
};

}  // namespace lb::observe
