// SPDX-License-Identifier: Apache-2.0
#include "observe/plan/elf_functions.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "dataplane/base/text.h"

namespace lb::observe {
namespace {

constexpr std::size_t kWindowBytes = 64 << 10;
constexpr std::size_t kFunctionBytesMax = 1 << 20;
constexpr std::size_t kUnknownFunctionBytes = 4 << 10;
constexpr std::size_t kInstructionBytesMax = 16;
constexpr std::size_t kSymbolsMax = 1 << 24;
constexpr std::size_t kNamesMax = 256;  // of a function; those that are wanted come first
constexpr std::uint16_t kVersionHidden = 0x8000;

void add_once(std::vector<std::string>& sorted, std::string text) {
  const auto at = std::ranges::lower_bound(sorted, text);
  if (at == sorted.end() || *at != text) sorted.insert(at, std::move(text));
}

/// Names of the versions that the file defines, by index (.gnu.version_d).
std::map<unsigned, std::string> defined_versions(Elf* elf) {
  std::map<unsigned, std::string> names;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_GNU_verdef) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    if (data == nullptr) continue;
    // sh_info is how many there are; the offsets go forward, so the loop ends.
    std::uint64_t at = 0;
    for (std::uint64_t i = 0; i < header.sh_info && at <= data->d_size; ++i) {
      GElf_Verdef definition;
      GElf_Verdaux name;
      if (gelf_getverdef(data, static_cast<int>(at), &definition) == nullptr) break;
      if (gelf_getverdaux(data, static_cast<int>(at + definition.vd_aux), &name) == nullptr) break;
      const char* text = elf_strptr(elf, header.sh_link, name.vda_name);
      if (text != nullptr) names[definition.vd_ndx & 0x7fffU] = text;
      if (definition.vd_next == 0) break;
      at += definition.vd_next;
    }
  }
  return names;
}

}  // namespace

/// A symbol table, and for .dynsym the versions beside it.
struct ElfObject::Symbols {
  Elf_Data* data = nullptr;
  Elf_Data* version_numbers = nullptr;  // nullptr: none
  const std::map<unsigned, std::string>* versions = nullptr;
  std::size_t strings = 0;
  std::size_t count = 0;
  const std::function<bool(std::string_view)>* wanted = nullptr;  // nullptr: only known addresses
};

void ElfObject::Close::operator()(Elf* elf) const noexcept { elf_end(elf); }
ElfObject::ElfObject(ElfObject&&) noexcept = default;
ElfObject& ElfObject::operator=(ElfObject&&) noexcept = default;
ElfObject::~ElfObject() = default;

Result<ElfObject> ElfObject::open(const std::string& path) {
  // A path that a traced process gave may be a fifo.
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return fail_errno(errno, quoted(path));
  return from(std::move(file), path);
}

Result<ElfObject> ElfObject::from(Fd file, std::string name) {
  ElfObject object;
  object.name_ = std::move(name);
  object.file_ = std::move(file);
  struct stat status{};
  if (fstat(object.file_.get(), &status) != 0) return fail_errno(errno, quoted(object.name_));
  if (!S_ISREG(status.st_mode)) return object.broken("is not a file");
  object.file_bytes_ = static_cast<std::uint64_t>(status.st_size);
  if (elf_version(EV_CURRENT) == EV_NONE) return object.broken("libelf is of another version");
  object.elf_.reset(elf_begin(object.file_.get(), ELF_C_READ, nullptr));
  if (!object.elf_) return object.broken("cannot be read as ELF");
  LB_TRY(object.read_headers());
  return object;
}

std::unexpected<Error> ElfObject::broken(std::string_view what) const {
  return fail(ENOEXEC, fmt::format("{} {}", quoted(name_), what));
}

Status ElfObject::read_headers() {
  if (elf_kind(elf_.get()) != ELF_K_ELF) return broken("is not an ELF file");
  GElf_Ehdr header;
  if (gelf_getehdr(elf_.get(), &header) == nullptr) return broken("has a broken ELF header");
  if (header.e_ident[EI_CLASS] != ELFCLASS64) {
    return broken("is 32-bit code: only 64-bit programs can be traced");
  }
  if (header.e_machine != EM_X86_64) {
    return broken(
        fmt::format("is code for another machine (e_machine {}): only x86-64 programs "
                    "can be traced",
                    header.e_machine));
  }
  std::size_t count = 0;
  if (elf_getphdrnum(elf_.get(), &count) != 0) return broken("has broken program headers");
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf_.get(), static_cast<int>(i), &segment) == nullptr) {
      return broken("has broken program headers");
    }
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    if (segment.p_offset > file_bytes_ || segment.p_filesz > file_bytes_ - segment.p_offset ||
        segment.p_vaddr > std::numeric_limits<std::uint64_t>::max() - segment.p_filesz) {
      return broken("has a segment that is not in the file: it is cut");
    }
    code_.push_back({segment.p_vaddr, segment.p_offset, segment.p_filesz});
  }
  if (code_.empty()) return broken("has no code");
  linkage_ = read_linkage();
  return {};
}

ElfLinkage ElfObject::read_linkage() const {
  bool interpreter = false;
  bool soname = false;
  bool position_independent_program = false;
  std::size_t count = 0;
  GElf_Ehdr header;
  if (gelf_getehdr(elf_.get(), &header) == nullptr) return ElfLinkage::Library;
  if (elf_getphdrnum(elf_.get(), &count) != 0) return ElfLinkage::Library;
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf_.get(), static_cast<int>(i), &segment) == nullptr) continue;
    interpreter = interpreter || segment.p_type == PT_INTERP;
    if (segment.p_type != PT_DYNAMIC) continue;
    Elf_Data* data = elf_getdata_rawchunk(elf_.get(), static_cast<std::int64_t>(segment.p_offset),
                                          segment.p_filesz, ELF_T_DYN);
    GElf_Dyn entry;
    for (int at = 0; data != nullptr && gelf_getdyn(data, at, &entry) != nullptr; ++at) {
      if (entry.d_tag == DT_NULL) break;
      soname = soname || entry.d_tag == DT_SONAME;
      if (entry.d_tag == DT_FLAGS_1) position_independent_program = (entry.d_un.d_val & DF_1_PIE);
    }
  }
  if (header.e_type == ET_EXEC) {
    return interpreter ? ElfLinkage::Program : ElfLinkage::StaticProgram;
  }
  if (soname) return ElfLinkage::Library;
  if (interpreter) return ElfLinkage::Program;
  return position_independent_program ? ElfLinkage::StaticProgram : ElfLinkage::Library;
}

void ElfObject::collect(const Symbols& symbols, std::map<std::uint64_t, ElfFunction>& found) const {
  for (std::size_t i = 0; i < symbols.count; ++i) {
    GElf_Sym symbol;
    if (gelf_getsym(symbols.data, static_cast<int>(i), &symbol) == nullptr) return;
    const unsigned type = GELF_ST_TYPE(symbol.st_info);
    if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol.st_shndx == SHN_UNDEF) continue;
    const auto known = found.find(symbol.st_value);
    if (symbols.wanted == nullptr && known == found.end()) continue;
    const char* text = elf_strptr(elf_.get(), symbols.strings, symbol.st_name);
    if (text == nullptr || *text == '\0') continue;
    // .symtab of some linkers carries the version in the name.
    const std::string_view name =
        std::string_view(text).substr(0, std::string_view(text).find('@'));
    if (symbols.wanted != nullptr && !(*symbols.wanted)(name)) continue;
    const auto offset = file_offset(symbol.st_value);
    if (!offset) continue;
    ElfFunction& function = found[symbol.st_value];
    function.address = symbol.st_value;
    function.file_offset = *offset;
    function.size = std::max(function.size, symbol.st_size);
    function.ifunc = function.ifunc || type == STT_GNU_IFUNC;
    function.global = function.global || GELF_ST_BIND(symbol.st_info) != STB_LOCAL;
    if (function.names.size() < kNamesMax) add_once(function.names, std::string(name));
    GElf_Versym number = 0;
    if (symbols.version_numbers == nullptr ||
        gelf_getversym(symbols.version_numbers, static_cast<int>(i), &number) == nullptr) {
      continue;
    }
    const auto version = symbols.versions->find(number & ~kVersionHidden & 0xffffU);
    if (version == symbols.versions->end() || version->first < 2) continue;
    if (function.versions.size() >= kNamesMax) continue;
    add_once(function.versions,
             fmt::format("{}{}{}", name, number & kVersionHidden ? "@" : "@@", version->second));
  }
}

std::vector<ElfFunction> ElfObject::functions(
    const std::function<bool(std::string_view)>& wanted) const {
  const auto versions = defined_versions(elf_.get());
  std::vector<Symbols> tables;
  Elf_Data* version_numbers = nullptr;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf_.get(), section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr) continue;
    if (header.sh_type == SHT_GNU_versym) version_numbers = elf_getdata(section, nullptr);
    if (header.sh_type != SHT_DYNSYM && header.sh_type != SHT_SYMTAB) continue;
    Symbols table;
    table.data = elf_getdata(section, nullptr);
    if (table.data == nullptr || header.sh_entsize != sizeof(Elf64_Sym)) continue;
    table.strings = header.sh_link;
    table.count = std::min(kSymbolsMax, table.data->d_size / sizeof(Elf64_Sym));
    if (header.sh_type == SHT_DYNSYM) table.versions = &versions;
    tables.push_back(table);
  }
  std::map<std::uint64_t, ElfFunction> found;
  // Once for the names that are wanted, once for the other names of the same addresses.
  for (const auto* filter : {&wanted, static_cast<decltype(&wanted)>(nullptr)}) {
    for (Symbols& table : tables) {
      table.wanted = filter;
      table.version_numbers = table.versions != nullptr ? version_numbers : nullptr;
      collect(table, found);
    }
  }
  std::vector<ElfFunction> result;
  result.reserve(found.size());
  for (auto& [address, function] : found) result.push_back(std::move(function));
  return result;
}

std::optional<std::uint64_t> ElfObject::file_offset(std::uint64_t address) const {
  for (const Segment& segment : code_) {
    if (address >= segment.address && address - segment.address < segment.bytes) {
      return segment.offset + (address - segment.address);
    }
  }
  return std::nullopt;
}

std::vector<std::uint8_t> ElfObject::code(std::uint64_t address, std::size_t bytes_max) const {
  std::vector<std::uint8_t> bytes;
  for (const Segment& segment : code_) {
    if (address < segment.address || address - segment.address >= segment.bytes) continue;
    const std::uint64_t into = address - segment.address;
    bytes.resize(std::min<std::uint64_t>(bytes_max, segment.bytes - into));
    std::size_t have = 0;
    while (have < bytes.size()) {
      const ssize_t got = ::pread(file_.get(), bytes.data() + have, bytes.size() - have,
                                  static_cast<off_t>(segment.offset + into + have));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      have += static_cast<std::size_t>(got);
    }
    bytes.resize(have);
    break;
  }
  return bytes;
}

std::span<const std::uint8_t> ElfObject::peek(std::uint64_t address) const {
  auto in_window = [&] {
    return address >= window_address_ && address - window_address_ < window_.size();
  };
  // Near the end of the window the next one is read, unless the segment ends there.
  if (!in_window() || window_.size() - (address - window_address_) < kInstructionBytesMax) {
    window_ = code(address, kWindowBytes);
    window_address_ = address;
    if (!in_window()) return {};
  }
  const auto rest = std::span<const std::uint8_t>(window_).subspan(address - window_address_);
  return rest.first(std::min(rest.size(), kInstructionBytesMax));
}

std::vector<std::uint8_t> ElfObject::code(const ElfFunction& function) const {
  const std::uint64_t bytes = function.size == 0 ? kUnknownFunctionBytes : function.size;
  return code(function.address, std::min<std::uint64_t>(bytes, kFunctionBytesMax));
}

std::map<std::uint64_t, std::string> ElfObject::read_imports() const {
  std::map<std::uint64_t, std::string> imports;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf_.get(), section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_RELA) continue;
    Elf_Scn* symbol_section = elf_getscn(elf_.get(), header.sh_link);
    GElf_Shdr symbol_header;
    if (symbol_section == nullptr || gelf_getshdr(symbol_section, &symbol_header) == nullptr ||
        symbol_header.sh_type != SHT_DYNSYM) {
      continue;
    }
    Elf_Data* relocations = elf_getdata(section, nullptr);
    Elf_Data* symbols = elf_getdata(symbol_section, nullptr);
    if (relocations == nullptr || symbols == nullptr) continue;
    GElf_Rela relocation;
    for (int i = 0; gelf_getrela(relocations, i, &relocation) != nullptr; ++i) {
      const auto type = GELF_R_TYPE(relocation.r_info);
      if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
      const auto index = static_cast<int>(GELF_R_SYM(relocation.r_info));
      GElf_Sym symbol;
      if (gelf_getsym(symbols, index, &symbol) == nullptr) continue;
      const char* text = elf_strptr(elf_.get(), symbol_header.sh_link, symbol.st_name);
      if (text != nullptr && *text != '\0') imports.emplace(relocation.r_offset, text);
    }
  }
  return imports;
}

std::string_view ElfObject::import_at(std::uint64_t slot) const {
  if (!imports_) imports_ = read_imports();
  const auto found = imports_->find(slot);
  return found == imports_->end() ? std::string_view{} : std::string_view(found->second);
}

}  // namespace lb::observe
