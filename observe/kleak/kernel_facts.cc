// SPDX-License-Identifier: Apache-2.0
#include "observe/kleak/kernel_facts.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>
#include <vector>

namespace lb::observe {
namespace {

constexpr const char* kBtfPath = "/sys/kernel/btf/vmlinux";
constexpr const char* kSymbolsPath = "/proc/kallsyms";

constexpr std::array kTracepoints = {
    "kmalloc",
    "kmalloc_node",
    "kmem_cache_alloc",
    "kfree",
    "kmem_cache_alloc_node",
    "kmem_cache_free",
    "alloc_vmap_area",
    "percpu_alloc_percpu",
    "percpu_free_percpu",
    "free_vmap_area_noflush",
};

// Functions of kernel/bpf/memalloc.c; which of them are inlined differs by build.
constexpr std::array<std::string_view, 14> kBpfAllocator = {"__alloc",
                                                            "unit_alloc",
                                                            "unit_free",
                                                            "alloc_bulk",
                                                            "free_one",
                                                            "free_all",
                                                            "drain_mem_cache",
                                                            "do_call_rcu",
                                                            "__free_rcu",
                                                            "__free_by_rcu",
                                                            "do_call_rcu_ttrace",
                                                            "bpf_mem_refill",
                                                            "bpf_mem_alloc_init",
                                                            "bpf_mem_cache_alloc_flags"};
constexpr std::string_view kBpfAllocatorAnchor = "alloc_bulk";
// The file is about 6 kB of text; a name that is far from the anchor is another file's.
constexpr std::uint64_t kBpfAllocatorReach = 1U << 14;

struct Symbol {
  std::uint64_t address;
  std::string_view name;
};

std::vector<Symbol> parse_text_symbols(std::string_view text) {
  std::vector<Symbol> symbols;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::uint64_t address = 0;
    auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), address, 16);
    line.remove_prefix(static_cast<std::size_t>(rest - line.data()));
    if (error != std::errc{} || address == 0 || line.size() < 4) continue;
    if (line[1] != 't' && line[1] != 'T') continue;
    line.remove_prefix(3);
    symbols.push_back({address, line.substr(0, line.find('\t'))});
  }
  std::ranges::stable_sort(symbols, {}, &Symbol::address);
  return symbols;
}

/// Below these a stack is that of an interrupt, not of the process. The functions around them also
/// run work of the process, on the way back to it.
bool runs_interrupts(std::string_view name) {
  return name == "handle_softirqs" || name == "__do_softirq" || name == "__common_interrupt" ||
         name == "generic_handle_domain_irq" || name.starts_with("__sysvec_");
}

bool is_trampoline(std::string_view name) {
  return name.starts_with("__traceiter_") || name.starts_with("__bpf_trace_");
}

bool is_of_bpf_allocator(const Symbol& symbol, const Symbol& anchor) {
  const std::uint64_t distance =
      std::max(symbol.address, anchor.address) - std::min(symbol.address, anchor.address);
  return distance <= kBpfAllocatorReach && std::ranges::count(kBpfAllocator, symbol.name) > 0;
}

Result<std::string> read_whole(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail_errno(errno, path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

bool btf_has_name(std::string_view btf, std::string_view name) {
  const std::string whole = '\0' + std::string(name) + '\0';
  return btf.find(whole) != std::string_view::npos;
}

KernelText parse_kernel_text(std::string_view kallsyms) {
  const std::vector<Symbol> symbols = parse_text_symbols(kallsyms);
  const auto anchor = std::ranges::find(symbols, kBpfAllocatorAnchor, &Symbol::name);
  KernelText text;
  for (auto symbol = symbols.begin(); symbol != symbols.end(); ++symbol) {
    const bool interrupt = runs_interrupts(symbol->name);
    const bool allocator = anchor != symbols.end() && is_of_bpf_allocator(*symbol, *anchor);
    const bool trampoline = is_trampoline(symbol->name);
    if (!interrupt && !allocator && !trampoline) continue;
    // A function ends where the next symbol is.
    const auto next =
        std::ranges::upper_bound(symbol, symbols.end(), symbol->address, {}, &Symbol::address);
    if (next == symbols.end()) break;
    const TextRange range{symbol->address, next->address};
    if (interrupt) text.interrupts.push_back(range);
    if (trampoline) text.trampolines.push_back(range);
    if (!allocator) continue;
    TextRange& all = text.bpf_allocator;
    all = {all.from == 0 ? range.from : all.from, range.to};
  }
  return text;
}

bool any_in(std::span<const std::uint64_t> frames, const std::vector<TextRange>& ranges) {
  return std::ranges::any_of(frames, [&ranges](std::uint64_t frame) {
    const auto behind = std::ranges::upper_bound(ranges, frame, {}, &TextRange::from);
    return behind != ranges.begin() && std::prev(behind)->holds(frame);
  });
}

Result<KernelFacts> read_kernel_facts() {
  auto btf = read_whole(kBtfPath);
  if (!btf) {
    return fail(ENOENT, std::string(kBtfPath) +
                            " cannot be read: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)");
  }
  KernelFacts facts;
  for (const char* name : kTracepoints) {
    if (btf_has_name(*btf, std::string("btf_trace_") + name)) facts.tracepoints.insert(name);
  }
  facts.has_get_kmem_cache = btf_has_name(*btf, "bpf_get_kmem_cache");
  LB_TRY_ASSIGN(const std::string symbols, read_whole(kSymbolsPath));
  facts.text = parse_kernel_text(symbols);
  if (facts.text.bpf_allocator.from == 0) {
    return fail(EPERM,
                "/proc/kallsyms does not tell where the BPF allocator is, and without that the "
                "tracer would account itself: run it as root or with CAP_SYSLOG, and with "
                "kernel.kptr_restrict at most 1");
  }
  return facts;
}

}  // namespace lb::observe
