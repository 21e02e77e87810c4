// SPDX-License-Identifier: Apache-2.0
#include "observe/unwind/elf_layout.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string_view>

#include "observe/unwind/dwarf_reader.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kEhFrameBytesMax = std::uint64_t{128} << 20;
constexpr std::uint64_t kPageMask = 4095;
constexpr std::uint64_t kPcMax = std::numeric_limits<std::uint32_t>::max() - 1;

template <class T>
bool read_object(const ReadAt& object, std::uint64_t offset, T& into) {
  return object(offset, std::as_writable_bytes(std::span(&into, 1)));
}

// Asks for the last byte alone, so that what is not there takes no memory.
bool has_bytes(const ReadAt& object, std::uint64_t offset, std::uint64_t count) {
  std::byte last{};
  return count == 0 || (offset <= std::numeric_limits<std::uint64_t>::max() - count &&
                        object(offset + count - 1, std::span(&last, 1)));
}

template <class T>
bool read_table(const ReadAt& object, std::uint64_t offset, std::size_t count,
                std::vector<T>& into) {
  if (!has_bytes(object, offset, count * sizeof(T))) return false;
  into.resize(count);
  return count == 0 || object(offset, std::as_writable_bytes(std::span(into)));
}

// By name; nothing when there are no section headers (or no sound ones: the loader needs none).
std::optional<ElfLayout::Section> section_by_name(const ReadAt& object, const Elf64_Ehdr& header,
                                                  std::string_view wanted) {
  std::vector<Elf64_Shdr> sections;
  if (header.e_shoff == 0 || header.e_shentsize != sizeof(Elf64_Shdr) ||
      header.e_shstrndx >= header.e_shnum ||
      !read_table(object, header.e_shoff, header.e_shnum, sections)) {
    return std::nullopt;
  }
  const Elf64_Shdr& names = sections[header.e_shstrndx];
  std::vector<char> name(wanted.size() + 1);
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type == SHT_NOBITS || section.sh_name >= names.sh_size ||
        names.sh_size - section.sh_name < name.size() ||
        section.sh_name > std::numeric_limits<std::uint64_t>::max() - names.sh_offset) {
      continue;
    }
    if (!read_table(object, names.sh_offset + section.sh_name, name.size(), name)) continue;
    if (name.back() != '\0' || std::string_view(name.data(), wanted.size()) != wanted) continue;
    return ElfLayout::Section{.offset = section.sh_offset,
                              .address = section.sh_addr,
                              .bytes = section.sh_size,
                              .whole = true};
  }
  return std::nullopt;
}

// Through .eh_frame_hdr, which stripped objects have too: its end is not known.
std::optional<ElfLayout::Section> section_by_header(const ReadAt& object, const ElfLayout& layout,
                                                    const Elf64_Phdr& program) {
  std::array<std::byte, 16> bytes{};
  if (!object(program.p_offset, bytes)) return std::nullopt;
  DwarfReader reader(bytes, program.p_vaddr);
  if (reader.byte() != 1) return std::nullopt;  // version
  const std::uint8_t encoding = reader.byte();
  reader.number<std::uint16_t>();  // encodings of the search table
  const auto address = reader.pointer(encoding);
  if (!address) return std::nullopt;
  for (const auto& segment : layout.segments) {
    if (*address < segment.address || *address - segment.address >= segment.bytes) continue;
    const std::uint64_t into = *address - segment.address;
    return ElfLayout::Section{.offset = segment.offset + into,
                              .address = *address,
                              .bytes = segment.bytes - into,
                              .whole = false};
  }
  return std::nullopt;
}

// Where nothing is known of the entry itself.
void end_at_entry(const ElfLayout& layout, std::vector<observe_unwind_row>& rows) {
  if (rows.empty() || layout.entry <= layout.base || layout.entry - layout.base > kPcMax) return;
  const observe_unwind_row end{.pc = static_cast<std::uint32_t>(layout.entry - layout.base),
                               .cfa = 0,
                               .kind = OBSERVE_UNWIND_END,
                               .rbp = 0};
  const auto next =
      std::ranges::upper_bound(rows, std::uint32_t{end.pc}, {}, &observe_unwind_row::pc);
  const auto at = std::prev(next);  // the first row has the pc 0
  if (at->kind != OBSERVE_UNWIND_NONE) return;
  if (at->pc == end.pc) {
    *at = end;
  } else {
    rows.insert(next, end);
  }
}

}  // namespace

ReadAt read_from(std::span<const std::byte> image) {
  return [image](std::uint64_t offset, std::span<std::byte> into) {
    if (offset > image.size() || into.size() > image.size() - offset) return false;
    std::ranges::copy(image.subspan(offset, into.size()), into.begin());
    return true;
  };
}

Result<ElfLayout> ElfLayout::read(const ReadAt& object) {
  Elf64_Ehdr header{};
  if (!read_object(object, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return fail(EINVAL, "not an ELF object");
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return fail(EINVAL, "not an ELF object of 64 bits, little-endian");
  }
  std::vector<Elf64_Phdr> programs;
  if (header.e_phentsize != sizeof(Elf64_Phdr) ||
      !read_table(object, header.e_phoff, header.e_phnum, programs)) {
    return fail(EINVAL, "an ELF object whose program headers are outside of it");
  }
  ElfLayout layout;
  layout.x86_64 = header.e_machine == EM_X86_64;
  layout.entry = header.e_entry;
  layout.base = std::numeric_limits<std::uint64_t>::max();
  for (const Elf64_Phdr& program : programs) {
    if (program.p_type != PT_LOAD) continue;
    layout.base = std::min(layout.base, program.p_vaddr & ~kPageMask);
    layout.segments.push_back(
        {.offset = program.p_offset, .address = program.p_vaddr, .bytes = program.p_filesz});
  }
  layout.eh_frame = section_by_name(object, header, ".eh_frame");
  for (const Elf64_Phdr& program : programs) {
    if (program.p_type == PT_GNU_EH_FRAME && !layout.eh_frame) {
      layout.eh_frame = section_by_header(object, layout, program);
    }
  }
  return layout;
}

std::optional<std::uint64_t> ElfLayout::bias(std::uint64_t start, std::uint64_t offset) const {
  for (const Segment& segment : segments) {
    const std::uint64_t first = segment.offset & ~kPageMask;
    if (offset < first || offset - first >= segment.bytes + (segment.offset - first)) continue;
    return start - (segment.address - segment.offset + offset - base);
  }
  return std::nullopt;
}

Result<UnwindTable> compile_object(const ReadAt& object, const ElfLayout& layout) {
  if (!layout.x86_64 || !layout.eh_frame) return UnwindTable{};
  const ElfLayout::Section& section = *layout.eh_frame;
  if (section.bytes > kEhFrameBytesMax) {
    return fail(EFBIG, fmt::format(".eh_frame takes {} bytes, more than {}", section.bytes,
                                   kEhFrameBytesMax));
  }
  std::vector<std::byte> bytes;
  if (has_bytes(object, section.offset, section.bytes)) bytes.resize(section.bytes);
  if (bytes.size() != section.bytes || !object(section.offset, bytes)) {
    return fail(EINVAL, "an ELF object whose .eh_frame is outside of it");
  }
  auto table = compile_eh_frame(
      {.bytes = bytes, .address = section.address, .base = layout.base, .whole = section.whole});
  end_at_entry(layout, table.rows);
  return table;
}

}  // namespace lb::observe
