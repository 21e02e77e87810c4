// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/code_object.h"

#include <fcntl.h>

#include <utility>

#include "observe/symbols/debug_files.h"
#include "observe/symbols/demangle.h"

namespace lb::observe {
namespace {

Fd copy_of(const Fd& file) { return Fd(::fcntl(file.get(), F_DUPFD_CLOEXEC, 0)); }

std::optional<ElfFile> opened(Result<ElfFile> file) {
  return file ? std::optional(std::move(*file)) : std::nullopt;
}

}  // namespace

Result<CodeObject> CodeObject::open(Fd file, std::string path, Root root) {
  Fd own = copy_of(file);
  if (!own) return fail_errno(errno, path);
  LB_TRY_ASSIGN(const ElfFile elf, ElfFile::from(std::move(file), path));
  CodeObject object;
  object.identity_ = {.path = std::move(path), .build_id = elf.build_id()};
  object.readable_ = true;
  object.segments_ = elf.code_segments();
  object.file_ = std::move(own);
  if (root && !elf.has_debug_info()) {
    const auto debug = find_debug_file(elf, object.identity_.path, root);
    if (debug) object.debug_file_ = copy_of(debug->file());
  }
  object.root_ = std::move(root);
  return object;
}

Result<CodeObject> CodeObject::of_image(std::string image, std::string name) {
  LB_TRY_ASSIGN(const ElfFile elf, ElfFile::from_image(image, name));
  CodeObject object;
  object.identity_ = {.path = std::move(name), .build_id = elf.build_id()};
  object.readable_ = true;
  object.segments_ = elf.code_segments();
  object.image_ = std::move(image);
  return object;
}

CodeObject CodeObject::recorded(MappedObject identity) {
  CodeObject object;
  object.identity_ = std::move(identity);
  return object;
}

std::optional<std::uint64_t> CodeObject::address_of(std::uint64_t file_offset) const {
  for (const CodeSegment& segment : segments_) {
    if (file_offset >= segment.file_offset && file_offset - segment.file_offset < segment.bytes) {
      return file_offset - segment.file_offset + segment.address;
    }
  }
  return std::nullopt;
}

std::optional<ElfFile> CodeObject::reopen() const {
  if (!image_.empty()) return opened(ElfFile::from_image(image_, identity_.path));
  if (!file_) return find_by_path(identity_.path, identity_.build_id, root_);
  return opened(ElfFile::from(copy_of(file_), identity_.path));
}

std::optional<ElfFile> CodeObject::reopen_debug(const std::optional<ElfFile>& file) const {
  if (debug_file_) return opened(ElfFile::from(copy_of(debug_file_), identity_.path));
  if (!file) return find_debug_file(identity_.build_id, root_);
  if (file->has_debug_info()) return std::nullopt;
  return find_debug_file(*file, identity_.path, root_);
}

void CodeObject::load() {
  tables_ = std::make_unique<Tables>();
  auto file = reopen();
  auto debug = reopen_debug(file);
  // A debug file has no code, but all the symbols that were stripped.
  const bool from_debug =
      debug && SymbolTable::has_symtab(*debug) && !(file && SymbolTable::has_symtab(*file));
  if (from_debug) {
    tables_->symbols = SymbolTable::of(*debug);
  } else if (file) {
    tables_->symbols = SymbolTable::of(*file);
  }
  auto& dwarf = debug ? debug : file;
  if (!dwarf || !dwarf->has_debug_info()) return;
  tables_->lines = DwarfLines::open(std::move(*dwarf),
                                    [this](const std::string& name, const std::string& build_id) {
                                      return find_shared_debug_file(name, build_id, root_);
                                    });
}

std::vector<Place> CodeObject::places(std::uint64_t address) {
  if (!tables_) load();
  DwarfLines::Found found = tables_->lines ? tables_->lines->find(address) : DwarfLines::Found{};
  const auto symbol = tables_->symbols.find(address);
  if (symbol && found.places.empty()) found.places.emplace_back();
  if (found.places.empty()) return {};
  // A symbol is the better name, "malloc" where the DWARF has "__libc_malloc"; but the part of a
  // function that was moved away is a symbol of its own.
  Place& outermost = found.places.back();
  if (symbol && (outermost.function.empty() || symbol->start == found.entry)) {
    outermost.function = demangled(symbol->name);
  }
  if (outermost.function.empty()) return {};
  return std::move(found.places);
}

std::size_t CodeObject::memory_bytes() const noexcept {
  if (!tables_) return 0;
  return tables_->symbols.memory_bytes() + (tables_->lines ? tables_->lines->memory_bytes() : 0);
}

}  // namespace lb::observe
