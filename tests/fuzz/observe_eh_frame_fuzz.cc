// SPDX-License-Identifier: Apache-2.0
// What `observe` reads of the files that a traced process has mapped. Input that begins like an ELF
// file is one, for all three readers (unwinder, symboliser, planner); any other is an .eh_frame:
// 4 bytes of its address, one that says whether its end is known, and the section.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/base/fd.h"
#include "observe/plan/elf_functions.h"
#include "observe/symbols/elf_file.h"
#include "observe/symbols/symbol_table.h"
#include "observe/unwind/eh_frame.h"
#include "observe/unwind/elf_layout.h"

namespace {

using namespace lb;
using namespace lb::observe;

constexpr std::size_t kHeadBytes = 5;
constexpr std::size_t kCodeBytesMax = 1U << 20;
constexpr std::size_t kNamesMax = 256;

/// The kernel searches the rows by halves, so their order is what keeps a walk on its way.
void check_rows(const UnwindTable& table, std::size_t section_bytes) {
  LB_ASSERT(table.rows.empty() == (table.functions == 0));
  LB_ASSERT(table.rows.empty() || table.rows.front().pc == 0);
  LB_ASSERT(table.rows.size() <= section_bytes + 2);
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    LB_ASSERT(table.rows[i - 1].pc < table.rows[i].pc);
  }
}

void read_section(std::span<const std::byte> input) {
  if (input.size() < kHeadBytes) return;
  std::uint32_t address = 0;
  std::memcpy(&address, input.data(), sizeof address);
  const bool whole = (input[sizeof address] & std::byte{1}) != std::byte{0};
  const auto section = input.subspan(kHeadBytes);
  check_rows(compile_eh_frame({.bytes = section, .address = address, .base = 0, .whole = whole}),
             section.size());
}

void read_layout(std::span<const std::byte> image) {
  const ReadAt object = read_from(image);
  const auto layout = ElfLayout::read(object);
  if (!layout) {
    LB_ASSERT(!layout.error().message.empty());
    return;
  }
  for (const auto& segment : layout->segments) {
    LB_ASSERT(layout->base <= segment.address);
    static_cast<void>(layout->bias(0x400000, segment.offset));
  }
  const auto table = compile_object(object, *layout);
  if (table) check_rows(*table, image.size());
}

void read_symbols(std::span<const std::byte> image) {
  const auto file = ElfFile::from_image(
      std::string(reinterpret_cast<const char*>(image.data()), image.size()), "fuzz");
  if (!file) return;
  static_cast<void>(file->build_id());
  static_cast<void>(file->debug_link());
  static_cast<void>(file->has_debug_info());
  static_cast<void>(file->debug_bytes());
  const SymbolTable symbols = SymbolTable::of(*file);
  LB_ASSERT(symbols.memory_bytes() <= 64 * image.size() + 4096);
  for (const CodeSegment& segment : file->code_segments()) {
    for (const std::uint64_t into : {std::uint64_t{0}, segment.bytes / 2}) {
      const std::uint64_t address = segment.address + into;
      const auto found = symbols.find(address);
      LB_ASSERT(!found || (found->start <= address && found->name != nullptr));
    }
  }
}

void read_functions(std::span<const std::byte> image) {
  Fd file(memfd_create("fuzz", MFD_CLOEXEC));
  LB_ASSERT(file &&
            ::write(file.get(), image.data(), image.size()) == static_cast<ssize_t>(image.size()));
  const auto object = ElfObject::from(std::move(file), "fuzz");
  if (!object) return;
  for (const ElfFunction& function : object->functions([](std::string_view) { return true; })) {
    LB_ASSERT(!function.names.empty() && function.names.size() <= kNamesMax);
    LB_ASSERT(function.versions.size() <= kNamesMax);
    LB_ASSERT(function.file_offset < image.size());
    LB_ASSERT(object->code(function).size() <= kCodeBytesMax);
    LB_ASSERT(object->peek(function.address).size() <= 16);
  }
  static_cast<void>(object->import_at(0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  if (std::string_view(reinterpret_cast<const char*>(data), size)
          .starts_with("\x7f"
                       "ELF")) {
    read_layout(input);
    read_symbols(input);
    read_functions(input);
  } else {
    read_section(input);
  }
  return 0;
}
