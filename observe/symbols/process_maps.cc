// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/process_maps.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"
#include "dataplane/base/text.h"

namespace lb::observe {
namespace {

constexpr std::size_t kTextBytesMax = std::size_t{64} << 20;
constexpr std::string_view kDeleted = " (deleted)";

/// Takes a number and the character behind it from the front of `text`.
std::optional<std::uint64_t> take_number(std::string_view& text, int base, char behind) {
  std::uint64_t number = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, number, base);
  if (error != std::errc{} || stop == end || *stop != behind) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(stop - begin) + 1);
  return number;
}

/// The kernel writes a line feed in a path as \012, and nothing else so.
std::string unescaped(std::string_view path) {
  std::string out;
  for (std::size_t at = 0; at < path.size();) {
    const bool line_feed = path.substr(at, 4) == "\\012";
    out += line_feed ? '\n' : path[at];
    at += line_feed ? 4 : 1;
  }
  return out;
}

void set_path(Mapping& mapping, std::string_view path) {
  if (path.empty()) return;
  if (path.front() != '/') {
    mapping.kind = path == "[vdso]" ? MappingKind::Vdso : MappingKind::Special;
    mapping.path = path;
    return;
  }
  if (path.ends_with(kDeleted)) {
    mapping.deleted = true;
    path.remove_suffix(kDeleted.size());
  }
  mapping.path = unescaped(path);
  const bool memory = path.starts_with("/memfd:") || path.starts_with("/SYSV");
  mapping.kind = memory ? MappingKind::Memfd : MappingKind::File;
}

/// "start-end rwxp offset major:minor inode   path".
std::optional<std::pair<Mapping, bool>> parse_line(std::string_view line) {
  // One digit more than a number has at its end, so that take_number() finds what is behind it.
  const std::string padded = std::string(line) + ' ';
  std::string_view rest = padded;
  Mapping mapping;
  const auto start = take_number(rest, 16, '-');
  const auto end = start ? take_number(rest, 16, ' ') : std::nullopt;
  if (!end || *start >= *end || rest.size() < 5 || rest[4] != ' ') return std::nullopt;
  const bool executable = rest[2] == 'x';
  rest.remove_prefix(5);
  const auto offset = take_number(rest, 16, ' ');
  const auto major = offset ? take_number(rest, 16, ':') : std::nullopt;
  const auto minor = major ? take_number(rest, 16, ' ') : std::nullopt;
  const auto inode = minor ? take_number(rest, 10, ' ') : std::nullopt;
  if (!inode) return std::nullopt;
  mapping.start = *start;
  mapping.end = *end;
  mapping.file_offset = *offset;
  mapping.inode = *inode;
  const std::size_t path = rest.find_first_not_of(' ');
  if (path != std::string_view::npos) set_path(mapping, rest.substr(path, rest.size() - path - 1));
  return std::pair(std::move(mapping), executable);
}

}  // namespace

Result<ProcessMaps> ProcessMaps::parse(std::string_view text) {
  ProcessMaps maps;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    auto parsed = parse_line(line);
    if (!parsed) {
      return fail(EINVAL, fmt::format("line {}: {} is not a mapping", number, quoted(line)));
    }
    if (parsed->second) maps.mappings_.push_back(std::move(parsed->first));
  }
  std::ranges::stable_sort(maps.mappings_, {}, &Mapping::start);
  std::uint64_t end = 0;
  std::erase_if(maps.mappings_, [&end](const Mapping& mapping) {
    if (mapping.start < end) return true;
    end = mapping.end;
    return false;
  });
  return maps;
}

Result<ProcessMaps> ProcessMaps::read(std::uint32_t pid) {
  const std::string path = fmt::format("/proc/{}/maps", pid);
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT) return fail(ESRCH, fmt::format("process {} is gone", pid));
    return fail_errno(errno, path);
  }
  auto text = read_whole(file.get(), kTextBytesMax);
  if (!text) return fail_in(path, std::move(text).error());
  auto maps = parse(*text);
  if (!maps) return fail_in(path, std::move(maps).error());
  return maps;
}

const Mapping* ProcessMaps::find(std::uint64_t address) const noexcept {
  const auto behind = std::ranges::upper_bound(mappings_, address, {}, &Mapping::start);
  if (behind == mappings_.begin()) return nullptr;
  const Mapping& mapping = *std::prev(behind);
  return address < mapping.end ? &mapping : nullptr;
}

std::size_t ProcessMaps::memory_bytes() const noexcept {
  std::size_t bytes = mappings_.capacity() * sizeof(Mapping);
  for (const Mapping& mapping : mappings_) bytes += mapping.path.capacity();
  return bytes;
}

}  // namespace lb::observe
