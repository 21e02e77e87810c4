// SPDX-License-Identifier: Apache-2.0
// KernelSymbols: names of kernel addresses, from /proc/kallsyms at one moment (BPF programs and
// modules come and go: read it again). One thread; about 5 MB for 120,000 symbols.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::observe {

class KernelSymbols {
 public:
  struct Found {
    std::string_view name;     ///< valid until this goes
    std::uint64_t offset = 0;  ///< of the address in the function, bytes
    std::string_view module;   ///< "bpf", "veth"; empty: the kernel itself
  };

  KernelSymbols() = default;
  /// Of such a text. Errors: EINVAL with the number of the line that is none; EPERM: all addresses
  /// are zero, with what to do about it; EFBIG: over 4 GiB of names, or 65,535 modules.
  [[nodiscard]] static Result<KernelSymbols> parse(std::string_view text);
  /// Of this kernel, now (about 0.1 s). Errors: errno of open(2) or read(2), and those of parse().
  [[nodiscard]] static Result<KernelSymbols> read();

  /// The function that an address is in: the nearest text symbol before it, of several the one
  /// that is first in the text. The end of a function is not known: nothing when the symbol is
  /// more than 1 MiB before the address.
  [[nodiscard]] std::optional<Found> find(std::uint64_t address) const;
  /// The address of a symbol of the kernel itself, text or data, by its exact name; of several the
  /// first text one. Looks at all of them.
  [[nodiscard]] std::optional<std::uint64_t> address_of(std::string_view name) const;
  /// Whether the address is in the kernel's own text, where symbols never change.
  [[nodiscard]] bool in_core(std::uint64_t address) const noexcept {
    return address >= core_start_ && address < core_end_;
  }
  [[nodiscard]] std::size_t size() const noexcept { return text_.size() + data_.size(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  struct Symbol {
    std::uint64_t address;
    std::uint32_t name;  // in names_, which has a zero behind each
    std::uint32_t module;
  };
  static_assert(sizeof(Symbol) == 16);

  [[nodiscard]] std::string_view name(const Symbol& symbol) const {
    return names_.data() + symbol.name;
  }

  std::vector<Symbol> text_;  // by address
  std::vector<Symbol> data_;  // in the order of the file
  std::vector<std::string> modules_;
  std::string names_;
  std::uint64_t core_start_ = 0;
  std::uint64_t core_end_ = 0;
};

}  // namespace lb::observe
