// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/kernel_symbols.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <unordered_map>

#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"
#include "dataplane/base/text.h"

namespace lb::observe {
namespace {

constexpr std::size_t kTextBytesMax = std::size_t{256} << 20;
constexpr std::uint64_t kFunctionBytesMax = 1 << 20;
constexpr std::size_t kModulesMax = 65535;

struct Line {
  std::uint64_t address = 0;
  char type = 0;
  std::string_view name;
  std::string_view module;
};

/// "ffffffff81000000 T name" with "\t[module]" or not.
std::optional<Line> parse_line(std::string_view text) {
  Line line;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, line.address, 16);
  if (error != std::errc{} || end - stop < 4 || stop[0] != ' ' || stop[2] != ' ') {
    return std::nullopt;
  }
  line.type = stop[1];
  text.remove_prefix(static_cast<std::size_t>(stop + 3 - begin));
  const std::size_t tab = text.find('\t');
  line.name = text.substr(0, tab);
  if (line.name.empty() || line.name.find('\0') != std::string_view::npos) return std::nullopt;
  if (tab == std::string_view::npos) return line;
  line.module = text.substr(tab + 1);
  if (line.module.size() < 3 || line.module.front() != '[' || line.module.back() != ']') {
    return std::nullopt;
  }
  line.module = line.module.substr(1, line.module.size() - 2);
  return line;
}

bool is_text(char type) { return type == 't' || type == 'T' || type == 'w' || type == 'W'; }

}  // namespace

Result<KernelSymbols> KernelSymbols::parse(std::string_view text) {
  KernelSymbols symbols;
  symbols.modules_.emplace_back();
  std::unordered_map<std::string_view, std::uint32_t> modules = {{{}, 0}};  // views of `text`
  bool hidden = true;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view row = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), row.size() + 1));
    const auto line = parse_line(row);
    if (!line) {
      return fail(EINVAL, fmt::format("line {}: {} is not a symbol", number, quoted(row)));
    }
    const auto [module, added] =
        modules.try_emplace(line->module, static_cast<std::uint32_t>(symbols.modules_.size()));
    if (added) symbols.modules_.emplace_back(line->module);
    if (symbols.names_.size() + line->name.size() >= std::numeric_limits<std::uint32_t>::max() ||
        symbols.modules_.size() > kModulesMax) {
      return fail(EFBIG, fmt::format("line {}: more names than a kernel has", number));
    }
    hidden = hidden && line->address == 0;
    const Symbol symbol{.address = line->address,
                        .name = static_cast<std::uint32_t>(symbols.names_.size()),
                        .module = module->second};
    symbols.names_.append(line->name).push_back('\0');
    (is_text(line->type) ? symbols.text_ : symbols.data_).push_back(symbol);
  }
  if (hidden) {
    return fail(EPERM,
                "the kernel hides the addresses of its symbols: run as root with CAP_SYSLOG, or "
                "set kernel.kptr_restrict=0 (sysctl)");
  }
  symbols.core_start_ = symbols.address_of("_stext").value_or(0);
  symbols.core_end_ = symbols.address_of("_etext").value_or(0);
  std::ranges::stable_sort(symbols.text_, {}, &Symbol::address);
  symbols.text_.shrink_to_fit();
  symbols.names_.shrink_to_fit();
  return symbols;
}

Result<KernelSymbols> KernelSymbols::read() {
  const std::string path = "/proc/kallsyms";
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, path);
  auto text = read_whole(file.get(), kTextBytesMax);
  if (!text) return fail_in(path, std::move(text).error());
  auto symbols = parse(*text);
  if (!symbols) return fail_in(path, std::move(symbols).error());
  return symbols;
}

std::optional<KernelSymbols::Found> KernelSymbols::find(std::uint64_t address) const {
  const auto behind = std::ranges::upper_bound(text_, address, {}, &Symbol::address);
  if (behind == text_.begin()) return std::nullopt;
  const std::uint64_t start = std::prev(behind)->address;
  if (address - start > kFunctionBytesMax) return std::nullopt;
  const Symbol& symbol = *std::ranges::lower_bound(text_, start, {}, &Symbol::address);
  return Found{.name = name(symbol), .offset = address - start, .module = modules_[symbol.module]};
}

std::optional<std::uint64_t> KernelSymbols::address_of(std::string_view wanted) const {
  for (const auto* symbols : {&text_, &data_}) {
    for (const Symbol& symbol : *symbols) {
      if (symbol.module == 0 && name(symbol) == wanted) return symbol.address;
    }
  }
  return std::nullopt;
}

std::size_t KernelSymbols::memory_bytes() const noexcept {
  return names_.capacity() + (text_.capacity() + data_.capacity()) * sizeof(Symbol) +
         modules_.capacity() * sizeof(std::string);
}

}  // namespace lb::observe
