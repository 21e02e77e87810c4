// SPDX-License-Identifier: Apache-2.0
// KernelFacts: what the kernel-leak tracer must know of the running kernel before it attaches:
// which events and helpers it has (by their names in its BTF, never by its version), and where the
// text of the BPF allocator is. The parsers are pure; read_kernel_facts() reads /sys/kernel/btf and
// /proc/kallsyms.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::observe {

/// Addresses [from, to).
struct TextRange {
  std::uint64_t from = 0;
  std::uint64_t to = 0;

  [[nodiscard]] bool holds(std::uint64_t address) const { return address >= from && address < to; }
  bool operator==(const TextRange&) const = default;
};

struct KernelText {
  TextRange bpf_allocator;             ///< kernel/bpf/memalloc.c
  std::vector<TextRange> interrupts;   ///< functions that run what interrupts do; sorted
  std::vector<TextRange> trampolines;  ///< between a tracepoint and a program on it; sorted
};

struct KernelFacts {
  std::set<std::string> tracepoints;  ///< of those that the tracer knows
  bool has_get_kmem_cache = false;    ///< the kfunc that tells the cache of an object
  KernelText text;
  [[nodiscard]] bool has(const std::string& tracepoint) const {
    return tracepoints.contains(tracepoint);
  }
};

/// Whether `name` is a whole string of the string section of `btf`.
[[nodiscard]] bool btf_has_name(std::string_view btf, std::string_view name);

/// From the text of /proc/kallsyms, whose lines are sorted or not. Lines that are not "ADDRESS TYPE
/// NAME" are skipped; with addresses hidden (kptr_restrict) nothing is found.
[[nodiscard]] KernelText parse_kernel_text(std::string_view kallsyms);

/// Whether any of the frames is in one of the ranges, which are sorted.
[[nodiscard]] bool any_in(std::span<const std::uint64_t> frames,
                          const std::vector<TextRange>& ranges);

/// Errors: no BTF; addresses of the kernel hidden (kernel.kptr_restrict or CAP_SYSLOG).
[[nodiscard]] Result<KernelFacts> read_kernel_facts();

}  // namespace lb::observe
