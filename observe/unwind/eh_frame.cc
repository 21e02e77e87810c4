// SPDX-License-Identifier: Apache-2.0
#include "observe/unwind/eh_frame.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "observe/unwind/cfa_program.h"
#include "observe/unwind/dwarf_reader.h"

namespace lb::observe {
namespace {

// Limits to the work that many long CIEs, one inside another, can make us do.
constexpr std::size_t kCieBytesMax = 4096;
constexpr std::size_t kCiesMax = 65536;
constexpr std::size_t kRowsMax = std::size_t{OBSERVE_UNWIND_CHUNK_ROWS}
                                 << OBSERVE_UNWIND_CHUNKS_LOG2;
constexpr std::uint64_t kPcMax = std::numeric_limits<std::uint32_t>::max() - 1;
constexpr std::uint64_t kPadding = 16;
constexpr std::uint8_t kOmitted = 0xff;
constexpr std::uint64_t kReturnAddress = 16;

struct Cie {
  CfaFactors factors;
  CfaState initial;
  bool sized = false;   // z: its FDEs have augmentation data
  bool signal = false;  // S
};

// A function's rows, in the order of the section.
struct Function {
  std::uint64_t begin;
  std::uint64_t end;
  std::size_t first_row;
  std::size_t row_count;
};

// An entry: what follows its length.
struct Entry {
  std::size_t offset;  // in the section
  std::span<const std::byte> bytes;
};

class Compiler {
 public:
  explicit Compiler(const EhFrame& section) : section_(section) {}

  UnwindTable compile() {
    std::size_t at = 0;
    while (at < section_.bytes.size()) {
      DwarfReader reader(section_.bytes.subspan(at), 0);
      const auto entry = next_entry(reader, at);
      if (!entry) break;
      at += reader.position();
      if (entry->bytes.empty()) {
        if (section_.whole) continue;
        break;
      }
      take(*entry);
    }
    join();
    return std::move(table_);
  }

 private:
  // Nothing: the section ends in the middle of it.
  std::optional<Entry> next_entry(DwarfReader& reader, std::size_t at) {
    std::uint64_t length = reader.number<std::uint32_t>();
    if (length == std::numeric_limits<std::uint32_t>::max())
      length = reader.number<std::uint64_t>();
    const Entry entry{.offset = at + reader.position(), .bytes = reader.take(length)};
    if (reader.ok()) return entry;
    ++table_.refused;
    return std::nullopt;
  }

  void take(const Entry& entry) {
    DwarfReader reader(entry.bytes, section_.address + entry.offset);
    const auto back = reader.number<std::uint32_t>();
    if (reader.ok() && back == 0) return;  // a CIE; read when an FDE names it
    if (!reader.ok() || back > entry.offset || !function(reader, entry, entry.offset - back)) {
      ++table_.refused;
    }
  }

  bool function(DwarfReader& reader, const Entry& entry, std::size_t cie_offset) {
    const Cie* cie = cie_at(cie_offset);
    if (cie == nullptr) return false;
    const auto begin = reader.pointer(cie->factors.pointer_encoding);
    const auto bytes = reader.plain_pointer(cie->factors.pointer_encoding & 0x0f);
    if (cie->sized) reader.take(reader.uleb());
    if (!begin || !bytes || !reader.ok()) return false;
    if (*bytes == 0) return true;  // what a linker left of a function it dropped
    const std::uint64_t pc = *begin - section_.base;
    if (*begin < section_.base || pc > kPcMax || *bytes > kPcMax - pc) return false;

    const std::uint64_t address = section_.address + entry.offset + reader.position();
    run_cfa_program(reader.take(reader.left()), address, cie->factors, cie->initial, *begin,
                    *begin + *bytes, steps_);
    if (steps_.size() > kRowsMax - rows_.size()) return false;
    functions_.push_back({pc, pc + *bytes, rows_.size(), steps_.size()});
    for (const CfaStep& step : steps_) {
      rows_.push_back(
          step.state.row(static_cast<std::uint32_t>(step.pc - section_.base), cie->signal));
    }
    return true;
  }

  // Null: it cannot be read. Each is read once.
  const Cie* cie_at(std::size_t offset) {
    auto [found, is_new] = cies_.try_emplace(offset);
    if (is_new && cies_.size() <= kCiesMax) found->second = read_cie(offset);
    return found->second ? &*found->second : nullptr;
  }

  std::optional<Cie> read_cie(std::size_t offset) const {
    DwarfReader outer(section_.bytes.subspan(offset), 0);
    const auto bytes = outer.take(outer.number<std::uint32_t>());
    if (!outer.ok() || bytes.size() > kCieBytesMax) return std::nullopt;

    Cie cie;
    DwarfReader reader(bytes, 0);
    const auto id = reader.number<std::uint32_t>();
    const std::uint8_t version = reader.byte();
    if (id != 0 || (version != 1 && version != 3)) return std::nullopt;
    const std::string_view augmentation = text(reader);
    cie.factors.code = reader.uleb();
    cie.factors.data = reader.sleb();
    const std::uint64_t return_register = version == 1 ? reader.byte() : reader.uleb();
    if (!reader.ok() || return_register != kReturnAddress) return std::nullopt;
    if (!augment(cie, augmentation, reader)) return std::nullopt;

    std::vector<CfaStep> steps;
    run_cfa_program(reader.take(reader.left()), 0, cie.factors, CfaState{}, 0, 1, steps);
    if (!steps.empty()) cie.initial = steps.back().state;
    return cie;
  }

  static std::string_view text(DwarfReader& reader) {
    DwarfReader ahead = reader;
    std::size_t length = 0;
    while (ahead.byte() != 0) ++length;
    const auto bytes = reader.take(length);
    reader.byte();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  static bool augment(Cie& cie, std::string_view augmentation, DwarfReader& reader) {
    if (augmentation.empty()) return true;
    if (augmentation.front() != 'z') return false;
    cie.sized = true;
    DwarfReader data(reader.take(reader.uleb()), 0);
    for (const char what : augmentation.substr(1)) {
      switch (what) {
        case 'R':
          cie.factors.pointer_encoding = data.byte();
          break;
        case 'L':
          data.byte();
          break;
        case 'P': {
          const std::uint8_t encoding = data.byte();
          if (encoding != kOmitted && !data.plain_pointer(encoding & 0x0f)) return false;
          break;
        }
        case 'S':
          cie.signal = true;
          break;
        default:
          return false;
      }
    }
    return data.ok() && reader.ok();
  }

  // All functions in order of address, gaps closed, equal neighbours made one.
  void join() {
    if (functions_.empty()) return;
    std::ranges::stable_sort(functions_, {}, &Function::begin);
    table_.functions = functions_.size();
    table_.rows.reserve(rows_.size() + 1);
    std::uint64_t end = 0;
    add({.pc = 0, .cfa = 0, .kind = OBSERVE_UNWIND_NONE, .rbp = 0});
    for (const Function& function : functions_) {
      if (function.begin >= end + kPadding) close(end);
      for (std::size_t i = 0; i < function.row_count; ++i) {
        add(rows_[function.first_row + i]);
      }
      end = std::max(end, function.end);
    }
    close(end);
    if (table_.rows.size() > kRowsMax) table_.rows.resize(kRowsMax);
  }

  void close(std::uint64_t pc) {
    add({.pc = static_cast<std::uint32_t>(pc), .cfa = 0, .kind = OBSERVE_UNWIND_NONE, .rbp = 0});
  }

  // Functions that overlap: the rows of the later one hold, and the order of pc is kept.
  void add(const observe_unwind_row& row) {
    auto& rows = table_.rows;
    while (!rows.empty() && rows.back().pc >= row.pc && rows.size() > 1) rows.pop_back();
    if (!rows.empty()) {
      auto& last = rows.back();
      if (last.kind == row.kind && last.cfa == row.cfa && last.rbp == row.rbp) return;
      if (last.pc == row.pc) {
        last = row;
        return;
      }
    }
    rows.push_back(row);
  }

  const EhFrame& section_;
  UnwindTable table_;
  std::unordered_map<std::size_t, std::optional<Cie>> cies_;
  std::vector<Function> functions_;
  std::vector<observe_unwind_row> rows_;
  std::vector<CfaStep> steps_;
};

}  // namespace

UnwindTable compile_eh_frame(const EhFrame& section) { return Compiler(section).compile(); }

}  // namespace lb::observe
