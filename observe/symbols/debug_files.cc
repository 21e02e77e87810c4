// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/debug_files.h"

#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "observe/symbols/symbol_table.h"

namespace lb::observe {
namespace {

constexpr std::string_view kDebugDirectory = "/usr/lib/debug";
constexpr std::uint64_t kCheckedBytesMax = std::uint64_t{8} << 30;

std::optional<ElfFile> open_elf(const std::string& path, const Root& root) {
  auto file = open_under(root, path);
  if (!file) return std::nullopt;
  auto elf = ElfFile::from(std::move(*file), path);
  if (!elf) return std::nullopt;
  return std::move(*elf);
}

/// CRC-32 of the whole file; nothing when it cannot be read.
std::optional<std::uint32_t> crc_of(const Fd& file) {
  std::vector<unsigned char> chunk(1 << 16);
  uLong crc = ::crc32(0, nullptr, 0);
  for (std::uint64_t at = 0; at < kCheckedBytesMax;) {
    const ssize_t got = ::pread(file.get(), chunk.data(), chunk.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) return static_cast<std::uint32_t>(crc);
    crc = ::crc32(crc, chunk.data(), static_cast<uInt>(got));
    at += static_cast<std::uint64_t>(got);
  }
  return std::nullopt;
}

/// The file may be found by its own link: then there is nothing in it that it lacks.
bool adds_something(const ElfFile& debug) {
  return debug.has_debug_info() || SymbolTable::has_symtab(debug);
}

bool belongs(const ElfFile& debug, const std::string& build_id, std::uint32_t crc) {
  if (!build_id.empty()) return debug.build_id() == build_id;
  const auto found = crc_of(debug.file());
  return found && *found == crc;
}

std::optional<ElfFile> find_by_link(const DebugLink& link, const std::string& build_id,
                                    const std::string& path, const Root& root) {
  if (link.file_name.empty() || link.file_name.find('/') != std::string::npos) return std::nullopt;
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  for (const std::string& at :
       {directory, directory + ".debug/", std::string(kDebugDirectory) + directory}) {
    auto debug = open_elf(at + link.file_name, root);
    if (debug && adds_something(*debug) && belongs(*debug, build_id, link.crc)) return debug;
  }
  return std::nullopt;
}

std::optional<ElfFile> find_by_id(const std::string& build_id, const Root& root) {
  const bool hex = build_id.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (build_id.size() < 3 || !hex) return std::nullopt;
  auto debug = open_elf(fmt::format("{}/.build-id/{}/{}.debug", kDebugDirectory,
                                    build_id.substr(0, 2), build_id.substr(2)),
                        root);
  if (!debug || debug->build_id() != build_id || !adds_something(*debug)) return std::nullopt;
  return debug;
}

/// That root first, and then ours.
std::vector<Root> roots_of(const Root& root) {
  if (!root) return {nullptr};
  return {root, nullptr};
}

}  // namespace

std::optional<ElfFile> find_debug_file(const ElfFile& file, const std::string& path,
                                       const Root& root) {
  const std::string build_id = file.build_id();
  const auto link = file.debug_link();
  for (const Root& at : roots_of(root)) {
    if (auto debug = find_by_id(build_id, at)) return debug;
    if (!link || !path.starts_with('/')) continue;
    if (auto debug = find_by_link(*link, build_id, path, at)) return debug;
  }
  return std::nullopt;
}

std::optional<ElfFile> find_debug_file(const std::string& build_id, const Root& root) {
  for (const Root& at : roots_of(root)) {
    if (auto debug = find_by_id(build_id, at)) return debug;
  }
  return std::nullopt;
}

std::optional<ElfFile> find_by_path(const std::string& path, const std::string& build_id,
                                    const Root& root) {
  if (!path.starts_with('/') || build_id.empty()) return std::nullopt;
  for (const Root& at : roots_of(root)) {
    auto file = open_elf(path, at);
    if (file && file->build_id() == build_id) return file;
  }
  return std::nullopt;
}

std::optional<ElfFile> find_shared_debug_file(const std::string& name, const std::string& build_id,
                                              const Root& root) {
  if (auto file = find_debug_file(build_id, root)) return file;
  // A name that is relative is so to /usr/lib/debug/.build-id/xx/ or another place below; the
  // packages of distributions keep them all in .dwz.
  const std::size_t dwz = name.find("/.dwz/");
  if (dwz == std::string::npos) return std::nullopt;
  return find_by_path(std::string(kDebugDirectory) + name.substr(dwz), build_id, root);
}

}  // namespace lb::observe
