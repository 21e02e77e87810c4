// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/symbol_table.h"

#include <gelf.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <string_view>
#include <tuple>

namespace lb::observe {
namespace {

constexpr std::uint64_t kTableBytesMax = 256 << 20;
// How many functions may lie inside of another before it is no longer found.
constexpr int kStepsBack = 16;
constexpr std::size_t kNameBytesMax = 16 << 10;

struct Raw {
  std::uint64_t address;
  std::uint64_t bytes;
  std::uint64_t section_end;
  std::string_view name;
  bool local;
};

std::uint64_t underscores(const Raw& symbol) {
  const std::size_t first = symbol.name.find_first_not_of('_');
  // "_Z" begins a C++ name, which is as good as one without.
  return symbol.name.starts_with("_Z") ? 0 : first;
}

std::optional<GElf_Shdr> header_of(Elf_Scn* section) {
  GElf_Shdr header;
  if (gelf_getshdr(section, &header) == nullptr) return std::nullopt;
  return header;
}

/// What a section has in the file; empty when that is over the limit.
std::string_view bytes_of(Elf_Scn* section) {
  const auto header = header_of(section);
  if (!header || header->sh_type == SHT_NOBITS || header->sh_size > kTableBytesMax) return {};
  const Elf_Data* const data = elf_rawdata(section, nullptr);
  if (data == nullptr || data->d_buf == nullptr) return {};
  return {static_cast<const char*>(data->d_buf), data->d_size};
}

/// Without its version; empty when it has no end within the limit.
std::string_view name_at(std::string_view strings, std::uint64_t at) {
  if (at >= strings.size()) return {};
  const std::string_view rest = strings.substr(at, kNameBytesMax);
  const std::size_t end = rest.find('\0');
  if (end == rest.npos) return {};
  const std::string_view name = rest.substr(0, end);
  return name.substr(0, name.find('@', 1));
}

/// The functions of one symbol table, in its order. The names are the ELF file's memory.
std::vector<Raw> read_functions(const ElfFile& file, Elf_Scn* section) {
  std::vector<Raw> out;
  const auto header = header_of(section);
  if (!header || header->sh_type == SHT_NOBITS || header->sh_size > kTableBytesMax) return out;
  const std::string_view strings = bytes_of(elf_getscn(file.get(), header->sh_link));
  Elf_Data* const data = elf_getdata(section, nullptr);
  const std::size_t entry = gelf_fsize(file.get(), ELF_T_SYM, 1, EV_CURRENT);
  if (data == nullptr || entry == 0) return out;
  std::vector<std::optional<GElf_Shdr>> sections;
  for (std::size_t i = 0; i < data->d_size / entry; ++i) {
    GElf_Sym symbol;
    if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) break;
    const int type = GELF_ST_TYPE(symbol.st_info);
    const bool function = type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE;
    if (!function || symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= SHN_LORESERVE) continue;
    if (symbol.st_shndx >= sections.size()) {
      for (std::size_t s = sections.size(); s <= symbol.st_shndx; ++s) {
        sections.push_back(header_of(elf_getscn(file.get(), s)));
      }
    }
    const auto& home = sections[symbol.st_shndx];
    if (!home || (home->sh_flags & SHF_EXECINSTR) == 0) continue;
    const std::string_view name = name_at(strings, symbol.st_name);
    if (name.empty() || name.front() == '$') continue;  // '$': marks of an assembler
    out.push_back({.address = symbol.st_value,
                   .bytes = symbol.st_size,
                   .section_end = home->sh_addr + home->sh_size,
                   .name = name,
                   .local = GELF_ST_BIND(symbol.st_info) == STB_LOCAL});
  }
  return out;
}

}  // namespace

bool SymbolTable::has_symtab(const ElfFile& file) {
  const auto header = header_of(file.section(".symtab"));
  return header && header->sh_type != SHT_NOBITS && header->sh_size > 0;
}

SymbolTable SymbolTable::of(const ElfFile& kept) {
  const auto file = kept.again();
  if (!file) return {};
  std::vector<Raw> functions =
      read_functions(*file, file->section(has_symtab(*file) ? ".symtab" : ".dynsym"));
  std::ranges::stable_sort(functions, {}, [](const Raw& symbol) {
    return std::tuple(symbol.address, symbol.local, underscores(symbol));
  });
  SymbolTable table;
  for (const Raw& symbol : functions) {
    const auto bytes = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(symbol.bytes, std::numeric_limits<std::uint32_t>::max()));
    if (!table.entries_.empty() && table.entries_.back().address == symbol.address) {
      table.entries_.back().bytes = std::max(table.entries_.back().bytes, bytes);
      continue;
    }
    if (table.names_.size() > kTableBytesMax) break;
    table.entries_.push_back({.address = symbol.address,
                              .bytes = bytes,
                              .name = static_cast<std::uint32_t>(table.names_.size())});
    table.names_.append(symbol.name).push_back('\0');
  }
  table.names_.shrink_to_fit();
  table.entries_.shrink_to_fit();
  // Symbols without a size, now that each has a next one.
  auto raw = functions.begin();
  for (auto entry = table.entries_.begin(); entry != table.entries_.end(); ++entry) {
    raw = std::find_if(raw, functions.end(),
                       [&](const Raw& symbol) { return symbol.address == entry->address; });
    if (entry->bytes != 0 || raw == functions.end()) continue;
    std::uint64_t end = std::max(raw->section_end, entry->address);
    if (std::next(entry) != table.entries_.end()) end = std::min(end, std::next(entry)->address);
    entry->bytes = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(end - entry->address, std::numeric_limits<std::uint32_t>::max()));
  }
  return table;
}

std::optional<SymbolTable::Found> SymbolTable::find(std::uint64_t address) const {
  auto at = std::ranges::upper_bound(entries_, address, {}, &Entry::address);
  for (int step = 0; step < kStepsBack && at != entries_.begin(); ++step) {
    --at;
    if (address - at->address < at->bytes) {
      return Found{.name = names_.data() + at->name, .start = at->address};
    }
  }
  return std::nullopt;
}

}  // namespace lb::observe
