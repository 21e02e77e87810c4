// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/elf_file.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>

#include <utility>

namespace lb::observe {
namespace {

constexpr std::size_t kSectionsMax = 1 << 18;
constexpr std::size_t kSegmentsMax = 1 << 12;
constexpr std::uint64_t kNoteBytesMax = 1 << 20;
constexpr std::uint64_t kSectionNameBytesMax = 16 << 20;
constexpr std::uint64_t kLinkBytesMax = 4096;

}  // namespace

Result<ElfFile> ElfFile::from(Fd file, const std::string& name) {
  elf_version(EV_CURRENT);
  ElfFile out;
  out.file_ = std::move(file);
  out.elf_.reset(elf_begin(out.file_.get(), ELF_C_READ, nullptr));
  return checked(std::move(out), name);
}

Result<ElfFile> ElfFile::from_image(std::string image, const std::string& name) {
  elf_version(EV_CURRENT);
  ElfFile out;
  out.image_ = std::make_unique<std::string>(std::move(image));
  out.elf_.reset(elf_memory(out.image_->data(), out.image_->size()));
  return checked(std::move(out), name);
}

Result<ElfFile> ElfFile::checked(ElfFile file, const std::string& name) {
  if (file.elf_ == nullptr || elf_kind(file.elf_.get()) != ELF_K_ELF) {
    return fail(ENOEXEC, name + ": not an ELF file");
  }
  if (auto status = file.check(); !status) return fail_in(name, std::move(status).error());
  return file;
}

Result<ElfFile> ElfFile::again() const {
  if (image_) return from_image(*image_, "image");
  Fd file(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 0));
  if (!file) return fail_errno(errno, "file");
  return from(std::move(file), "file");
}

// What libelf and libdw read as a whole on their own account is looked at here first.
Status ElfFile::check() const {
  GElf_Ehdr head;
  if (gelf_getehdr(get(), &head) == nullptr) return fail(ENOEXEC, "broken ELF header");
  std::size_t segments = 0;
  std::size_t sections = 0;
  std::size_t names = 0;
  if (elf_getphdrnum(get(), &segments) != 0 || elf_getshdrnum(get(), &sections) != 0 ||
      segments > kSegmentsMax || sections > kSectionsMax) {
    return fail(ENOEXEC, "broken ELF tables");
  }
  for (std::size_t i = 0; i < segments; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(get(), static_cast<int>(i), &segment) == nullptr) {
      return fail(ENOEXEC, "broken table of segments");
    }
    if (segment.p_type == PT_NOTE && segment.p_filesz > kNoteBytesMax) {
      return fail(ENOEXEC, fmt::format("{} bytes of notes", segment.p_filesz));
    }
  }
  if (sections == 0) return {};
  if (elf_getshdrstrndx(get(), &names) != 0) return fail(ENOEXEC, "no names of sections");
  for (std::size_t i = 0; i < sections; ++i) {
    GElf_Shdr header;
    if (gelf_getshdr(elf_getscn(get(), i), &header) == nullptr) {
      return fail(ENOEXEC, "broken table of sections");
    }
    const bool large_note = header.sh_type == SHT_NOTE && header.sh_size > kNoteBytesMax;
    const bool large_names = i == names && header.sh_size > kSectionNameBytesMax;
    if (large_note || large_names) {
      return fail(ENOEXEC, fmt::format("section {} has {} bytes", i, header.sh_size));
    }
  }
  return {};
}

std::string ElfFile::build_id() const {
  const void* bytes = nullptr;
  const ssize_t count = dwelf_elf_gnu_build_id(get(), &bytes);
  std::string hex;
  for (ssize_t i = 0; i < count; ++i) {
    hex += fmt::format("{:02x}", static_cast<const unsigned char*>(bytes)[i]);
  }
  return hex;
}

std::vector<CodeSegment> ElfFile::code_segments() const {
  std::vector<CodeSegment> found;
  std::size_t count = 0;
  if (elf_getphdrnum(get(), &count) != 0) return found;
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(get(), static_cast<int>(i), &segment) == nullptr) continue;
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    found.push_back(
        {.file_offset = segment.p_offset, .address = segment.p_vaddr, .bytes = segment.p_filesz});
  }
  return found;
}

std::optional<DebugLink> ElfFile::debug_link() const {
  GElf_Shdr header;
  if (gelf_getshdr(section(".gnu_debuglink"), &header) == nullptr ||
      header.sh_type != SHT_PROGBITS || header.sh_size > kLinkBytesMax) {
    return std::nullopt;
  }
  GElf_Word crc = 0;
  const char* const name = dwelf_elf_gnu_debuglink(get(), &crc);
  if (name == nullptr) return std::nullopt;
  return DebugLink{.file_name = name, .crc = crc};
}

Elf_Scn* ElfFile::section(std::string_view name) const {
  std::size_t names = 0;
  if (elf_getshdrstrndx(get(), &names) != 0) return nullptr;
  for (Elf_Scn* at = nullptr; (at = elf_nextscn(get(), at)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(at, &header) == nullptr) continue;
    const char* const found = elf_strptr(get(), names, header.sh_name);
    if (found != nullptr && name == found) return at;
  }
  return nullptr;
}

bool ElfFile::has_debug_info() const {
  GElf_Shdr header;
  return gelf_getshdr(section(".debug_info"), &header) != nullptr && header.sh_type != SHT_NOBITS;
}

std::optional<std::uint64_t> ElfFile::debug_bytes() const {
  std::size_t names = 0;
  if (elf_getshdrstrndx(get(), &names) != 0) return std::nullopt;
  std::uint64_t bytes = 0;
  for (Elf_Scn* at = nullptr; (at = elf_nextscn(get(), at)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(at, &header) == nullptr) return std::nullopt;
    const char* const text = elf_strptr(get(), names, header.sh_name);
    const std::string_view name = text == nullptr ? "" : text;
    // The old way to pack them does not say in the header how large they are.
    if (name.starts_with(".zdebug_")) return std::nullopt;
    if (!name.starts_with(".debug_") || header.sh_type == SHT_NOBITS) continue;
    bytes += header.sh_size;
    GElf_Chdr packed;
    if ((header.sh_flags & SHF_COMPRESSED) == 0) continue;
    if (gelf_getchdr(at, &packed) == nullptr) return std::nullopt;
    bytes += packed.ch_size;
  }
  return bytes;
}

}  // namespace lb::observe
