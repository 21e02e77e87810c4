// SPDX-License-Identifier: Apache-2.0
#include "observe/plan/code_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>

#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"
#include "observe/plan/elf_functions.h"

namespace lb::observe {
namespace {

constexpr std::size_t kMapsBytesMax = 64 << 20;

/// A line of /proc/PID/maps, "start-end perms offset dev inode path".
struct Mapping {
  std::string_view range;
  std::string_view permissions;
  std::uint64_t inode = 0;
  std::string_view path;
};

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.size(), line.find_first_not_of(' ')));
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

std::optional<Mapping> parse_mapping(std::string_view line) {
  Mapping mapping;
  mapping.range = take_word(line);
  mapping.permissions = take_word(line);
  take_word(line);  // offset
  take_word(line);  // device
  const std::string_view inode = take_word(line);
  const auto [end, error] =
      std::from_chars(inode.data(), inode.data() + inode.size(), mapping.inode);
  if (error != std::errc{} || end != inode.data() + inode.size()) return std::nullopt;
  line.remove_prefix(std::min(line.size(), line.find_first_not_of(' ')));
  mapping.path = line;
  return mapping;
}

bool same_file(const std::string& path, const struct stat& wanted) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 && status.st_dev == wanted.st_dev &&
         status.st_ino == wanted.st_ino;
}

/// By which path the mapped file can be opened here. The plain path is the best: it stays when the
/// process ends.
std::optional<CodeFile> locate(std::uint32_t pid, const Mapping& mapping) {
  constexpr std::string_view kDeleted = " (deleted)";
  const std::string mapped = fmt::format("/proc/{}/map_files/{}", pid, mapping.range);
  std::string shown(mapping.path);
  if (shown.ends_with(kDeleted)) shown.resize(shown.size() - kDeleted.size());
  const std::string inside = fmt::format("/proc/{}/root{}", pid, shown);
  struct stat wanted{};
  if (stat(mapped.c_str(), &wanted) != 0) {
    // Without the right to follow map_files the inode number has to do.
    if (stat(inside.c_str(), &wanted) != 0 || wanted.st_ino != mapping.inode) return std::nullopt;
  }
  CodeFile file{.path = mapped, .shown = shown, .device = wanted.st_dev, .inode = wanted.st_ino};
  for (const std::string& path : {shown, inside}) {
    if (!same_file(path, wanted)) continue;
    file.path = path;
    break;
  }
  return file;
}

Result<std::string> read_maps(std::uint32_t pid) {
  const std::string path = fmt::format("/proc/{}/maps", pid);
  Fd maps(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!maps && errno == ENOENT) return fail(ESRCH, fmt::format("process {} is gone", pid));
  if (!maps) return fail_errno(errno, path);
  auto text = read_whole(maps.get(), kMapsBytesMax);
  if (!text) return fail_in(path, text.error());
  if (text->empty()) {
    return fail(ESRCH, fmt::format("process {} has ended, or is a kernel thread", pid));
  }
  return text;
}

}  // namespace

Result<std::vector<CodeFile>> code_files_of(std::uint32_t pid) {
  LB_TRY_ASSIGN(const std::string text, read_maps(pid));
  struct stat program{};
  const bool has_program = stat(fmt::format("/proc/{}/exe", pid).c_str(), &program) == 0;
  std::vector<CodeFile> files;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const auto mapping = parse_mapping(line);
    if (!mapping || mapping->inode == 0 || !mapping->permissions.contains('x') ||
        !mapping->path.starts_with('/')) {
      continue;
    }
    auto file = locate(pid, *mapping);
    if (!file) continue;
    const bool known = std::ranges::any_of(files, [&](const CodeFile& other) {
      return other.device == file->device && other.inode == file->inode;
    });
    if (known) continue;
    const bool first =
        has_program && file->device == program.st_dev && file->inode == program.st_ino;
    files.insert(first ? files.begin() : files.end(), std::move(*file));
  }
  if (files.empty()) return fail(ESRCH, fmt::format("process {} has no program mapped", pid));
  // The linker of a 32-bit process is 32-bit too: one look at the program says it for all.
  if (auto elf = ElfObject::open(files.front().path); !elf) {
    return fail_in(fmt::format("process {}", pid), elf.error());
  }
  return files;
}

}  // namespace lb::observe
