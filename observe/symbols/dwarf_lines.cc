// SPDX-License-Identifier: Apache-2.0
#include "observe/symbols/dwarf_lines.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "observe/symbols/demangle.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kDebugBytesMax = std::uint64_t{1} << 30;
// More than any real file has; they end the walks of a file that leads in a circle.
constexpr std::size_t kRangesMax = 1 << 24;
constexpr std::size_t kEntriesMax = 1 << 24;
constexpr int kDepthMax = 256;
constexpr int kStepsBack = 16;
constexpr std::size_t kLineBytes = 48;  // what libdw keeps of a line: Dwarf_Line, and its pointer

/// Code that one entry of the DWARF covers.
struct Range {
  std::uint64_t low;
  std::uint64_t high;
  Dwarf_Off die;
};

/// Adds what an entry covers to `ranges`.
void add_ranges(Dwarf_Die& die, std::vector<Range>& ranges) {
  Dwarf_Addr base = 0;
  Dwarf_Addr low = 0;
  Dwarf_Addr high = 0;
  for (ptrdiff_t at = 0; (at = dwarf_ranges(&die, at, &base, &low, &high)) > 0;) {
    // Code that the linker threw away is left at address 0.
    if (low != 0 && low < high) ranges.push_back({low, high, dwarf_dieoffset(&die)});
    if (ranges.size() >= kRangesMax) return;
  }
}

/// The range that begins last of those around the address.
const Range* find_range(const std::vector<Range>& ranges, std::uint64_t address) {
  auto at = std::ranges::upper_bound(ranges, address, {}, &Range::low);
  for (int step = 0; step < kStepsBack && at != ranges.begin(); ++step) {
    --at;
    if (address < at->high) return &*at;
  }
  return nullptr;
}

/// Functions with code below an entry: where compilers put them, at the top and in namespaces; or
/// anywhere, which takes far longer in units that know many types.
struct FunctionWalk {
  bool anywhere;
  std::vector<Range> functions;
  std::size_t entries = 0;

  void below(Dwarf_Die& parent, int depth) {
    Dwarf_Die die;
    if (depth > kDepthMax || dwarf_child(&parent, &die) != 0) return;
    do {
      if (++entries > kEntriesMax || functions.size() >= kRangesMax) return;
      const int tag = dwarf_tag(&die);
      if (tag == DW_TAG_subprogram) add_ranges(die, functions);
      if (anywhere || tag == DW_TAG_namespace) below(die, depth + 1);
    } while (dwarf_siblingof(&die, &die) == 0);
  }
};

/// The calls that were inlined around an address, outermost first.
struct InlineWalk {
  std::uint64_t address;
  std::vector<Dwarf_Die> calls;
  std::size_t entries = 0;

  void below(Dwarf_Die& parent, int depth) {
    Dwarf_Die die;
    if (depth > kDepthMax || dwarf_child(&parent, &die) != 0) return;
    do {
      if (++entries > kEntriesMax) return;
      const int tag = dwarf_tag(&die);
      const bool call = tag == DW_TAG_inlined_subroutine;
      const bool block = tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
                         tag == DW_TAG_catch_block || tag == DW_TAG_with_stmt;
      if (!call && !block) continue;
      const bool without_code =
          !dwarf_hasattr(&die, DW_AT_low_pc) && !dwarf_hasattr(&die, DW_AT_ranges);
      const bool around = dwarf_haspc(&die, address) == 1 || (block && without_code);
      if (!around) continue;
      const std::size_t before = calls.size();
      if (call) calls.push_back(die);
      below(die, depth + 1);
      if (calls.size() > before) return;
    } while (dwarf_siblingof(&die, &die) == 0);
  }
};

std::string function_name(Dwarf_Die& die) {
  Dwarf_Attribute attribute;
  for (const unsigned linkage : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (dwarf_attr_integrate(&die, linkage, &attribute) == nullptr) continue;
    if (const char* const name = dwarf_formstring(&attribute)) return demangled(name);
  }
  const char* const name = dwarf_diename(&die);
  return name == nullptr ? "" : name;
}

struct SourceLine {
  std::string file;
  std::uint32_t line = 0;
};

SourceLine line_of(Dwarf_Die& unit, std::uint64_t address) {
  Dwarf_Line* const found = dwarf_getsrc_die(&unit, address);
  int number = 0;
  if (found == nullptr || dwarf_lineno(found, &number) != 0) return {};
  const char* const file = dwarf_linesrc(found, nullptr, nullptr);
  return {.file = file == nullptr ? "" : file, .line = static_cast<std::uint32_t>(number)};
}

/// Where an inlined function was called.
SourceLine call_of(Dwarf_Die& unit, Dwarf_Die& call) {
  const auto number = [&call](unsigned name) {
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    const bool found = dwarf_formudata(dwarf_attr(&call, name, &attribute), &value) == 0;
    return found ? std::optional(value) : std::nullopt;
  };
  SourceLine out;
  out.line = static_cast<std::uint32_t>(number(DW_AT_call_line).value_or(0));
  const auto index = number(DW_AT_call_file);
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  if (!index || dwarf_getsrcfiles(&unit, &files, &count) != 0 || *index >= count) return out;
  const char* const file = dwarf_filesrc(files, *index, nullptr, nullptr);
  if (file != nullptr) out.file = file;
  return out;
}

struct CloseDwarf {
  void operator()(Dwarf* dwarf) const noexcept { dwarf_end(dwarf); }
};

}  // namespace

struct DwarfLines::State {
  // In this order: what is below stands on what is above.
  std::optional<ElfFile> shared_file;
  std::unique_ptr<Dwarf, CloseDwarf> shared;
  ElfFile file;
  std::unique_ptr<Dwarf, CloseDwarf> dwarf;
  std::vector<Range> units;  // by address
  /// By address; first those of the usual places, then all.
  struct Functions {
    std::vector<Range> ranges;
    bool whole = false;
  };
  std::unordered_map<Dwarf_Off, Functions> functions;  // by unit
  std::size_t bytes = 0;

  bool open_shared(const FindShared& find_shared);
  void read_units();
  const Range* find_function(Dwarf_Die& unit, std::uint64_t address);
  void read_functions(Dwarf_Die& unit, Functions& known, bool anywhere);
};

// libdw would look for that file by itself, by whatever name a traced program gives.
bool DwarfLines::State::open_shared(const FindShared& find_shared) {
  const char* name = nullptr;
  const void* id = nullptr;
  const ssize_t id_bytes = dwelf_dwarf_gnu_debugaltlink(dwarf.get(), &name, &id);
  if (id_bytes == 0) return true;
  if (id_bytes < 0) return false;
  std::string build_id;
  for (ssize_t i = 0; i < id_bytes; ++i) {
    build_id += fmt::format("{:02x}", static_cast<const unsigned char*>(id)[i]);
  }
  shared_file = find_shared(name, build_id);
  const auto size = shared_file ? shared_file->debug_bytes() : std::nullopt;
  if (!size || *size > kDebugBytesMax) return false;
  shared.reset(dwarf_begin_elf(shared_file->get(), DWARF_C_READ, nullptr));
  if (!shared) return false;
  bytes += *size;
  dwarf_setalt(dwarf.get(), shared.get());
  return true;
}

void DwarfLines::State::read_units() {
  Dwarf_CU* unit = nullptr;
  Dwarf_Die die;
  // Without the last argument a unit of split DWARF does not look for its other file.
  while (dwarf_get_units(dwarf.get(), unit, &unit, nullptr, nullptr, &die, nullptr) == 0) {
    if (dwarf_tag(&die) == DW_TAG_compile_unit || dwarf_tag(&die) == DW_TAG_skeleton_unit) {
      add_ranges(die, units);
    }
  }
  std::ranges::stable_sort(units, {}, &Range::low);
  bytes += units.capacity() * sizeof(Range);
}

void DwarfLines::State::read_functions(Dwarf_Die& unit, Functions& known, bool anywhere) {
  FunctionWalk walk{.anywhere = anywhere, .functions = {}};
  walk.below(unit, 0);
  std::ranges::stable_sort(walk.functions, {}, &Range::low);
  walk.functions.shrink_to_fit();
  bytes -= known.ranges.capacity() * sizeof(Range);
  known = {.ranges = std::move(walk.functions), .whole = anywhere};
  bytes += known.ranges.capacity() * sizeof(Range);
}

const Range* DwarfLines::State::find_function(Dwarf_Die& unit, std::uint64_t address) {
  const auto [entry, added] = functions.try_emplace(dwarf_dieoffset(&unit));
  Functions& known = entry->second;
  if (added) {
    read_functions(unit, known, false);
    Dwarf_Lines* lines = nullptr;
    std::size_t count = 0;
    if (dwarf_getsrclines(&unit, &lines, &count) == 0) bytes += count * kLineBytes;
  }
  const Range* found = find_range(known.ranges, address);
  if (found != nullptr || known.whole) return found;
  read_functions(unit, known, true);
  return find_range(known.ranges, address);
}

DwarfLines::DwarfLines(std::unique_ptr<State> state) : state_(std::move(state)) {}
DwarfLines::~DwarfLines() = default;

std::unique_ptr<DwarfLines> DwarfLines::open(ElfFile file, const FindShared& find_shared) {
  const auto size = file.has_debug_info() ? file.debug_bytes() : std::nullopt;
  if (!size || *size > kDebugBytesMax) return nullptr;
  auto state = std::make_unique<State>();
  state->file = std::move(file);
  state->dwarf.reset(dwarf_begin_elf(state->file.get(), DWARF_C_READ, nullptr));
  if (!state->dwarf) return nullptr;
  state->bytes = *size;
  if (!state->open_shared(find_shared)) return nullptr;
  state->read_units();
  return std::unique_ptr<DwarfLines>(new DwarfLines(std::move(state)));
}

DwarfLines::Found DwarfLines::find(std::uint64_t address) {
  Found out;
  const Range* const unit_range = find_range(state_->units, address);
  Dwarf_Die unit;
  if (unit_range == nullptr ||
      dwarf_offdie(state_->dwarf.get(), unit_range->die, &unit) == nullptr) {
    return out;
  }
  InlineWalk walk{.address = address, .calls = {}};
  const Range* const function = state_->find_function(unit, address);
  Dwarf_Die outermost;
  const bool named = function != nullptr &&
                     dwarf_offdie(state_->dwarf.get(), function->die, &outermost) != nullptr;
  if (named) {
    walk.below(outermost, 0);
    Dwarf_Addr entry = 0;
    if (dwarf_entrypc(&outermost, &entry) == 0) out.entry = entry;
  }
  SourceLine line = line_of(unit, address);
  for (auto call = walk.calls.rbegin(); call != walk.calls.rend(); ++call) {
    out.places.push_back({function_name(*call), std::move(line.file), line.line, true});
    line = call_of(unit, *call);
  }
  if (!named && line.file.empty()) return out;
  out.places.push_back(
      {named ? function_name(outermost) : "", std::move(line.file), line.line, false});
  return out;
}

std::size_t DwarfLines::memory_bytes() const noexcept { return state_->bytes; }

}  // namespace lb::observe
