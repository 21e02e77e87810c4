// SPDX-License-Identifier: Apache-2.0
// The compiled tables against a second implementation: elfutils' reading of the same .eh_frame, at
// random addresses of the objects of this machine.
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <libelf.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dataplane/base/fd.h"
#include "observe/unwind/elf_layout.h"

namespace lb::observe {
namespace {

using testing::Message;

std::vector<char> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

const observe_unwind_row& row_at(const UnwindTable& table, std::uint64_t pc) {
  const auto after = std::ranges::upper_bound(table.rows, pc, {}, &observe_unwind_row::pc);
  return *std::prev(after);
}

bool is(const Dwarf_Op& operation, unsigned atom, std::int64_t a = 0, std::int64_t b = 0) {
  return operation.atom == atom && static_cast<std::int64_t>(operation.number) == a &&
         static_cast<std::int64_t>(operation.number2) == b;
}

// Where a register of the caller is, as elfutils tells it.
struct Saved {
  enum { Same, Undefined, AtCfa, Other } how = Other;
  std::int64_t offset = 0;
};

Saved saved_register(Dwarf_Frame* frame, int number) {
  std::array<Dwarf_Op, 3> room{};
  Dwarf_Op* operations = nullptr;
  std::size_t count = 0;
  if (dwarf_frame_register(frame, number, room.data(), &operations, &count) != 0) return {};
  if (count == 0) return {operations == nullptr ? Saved::Same : Saved::Undefined};
  if (operations[0].atom != DW_OP_call_frame_cfa) return {};
  if (count == 1) return {Saved::AtCfa, 0};
  if (count != 2 || operations[1].atom != DW_OP_plus_uconst) return {};
  return {Saved::AtCfa, static_cast<std::int64_t>(operations[1].number)};
}

// DW_OP_breg7 8, breg16 0, lit15, and, litN, ge, lit3, shl, plus.
bool is_plt(const Dwarf_Op* operations, std::size_t count) {
  return count == 9 && is(operations[0], DW_OP_breg7, 8) && is(operations[1], DW_OP_breg16) &&
         is(operations[5], DW_OP_ge) && is(operations[8], DW_OP_plus);
}

// The row that elfutils' frame amounts to; pc is not set.
observe_unwind_row expected_row(Dwarf_Frame* frame) {
  observe_unwind_row row{};
  bool signal = false;
  dwarf_frame_info(frame, nullptr, nullptr, &signal);
  const Saved address = saved_register(frame, 16);
  if (address.how == Saved::Undefined) {
    row.kind = OBSERVE_UNWIND_END;
    return row;
  }
  Dwarf_Op* operations = nullptr;
  std::size_t count = 0;
  if (dwarf_frame_cfa(frame, &operations, &count) != 0) return row;
  if (signal) {
    const bool known =
        count == 2 && is(operations[0], DW_OP_breg7, 160) && is(operations[1], DW_OP_deref);
    row.kind = known ? OBSERVE_UNWIND_SIGNAL : OBSERVE_UNWIND_NONE;
    return row;
  }
  if (address.how != Saved::AtCfa || address.offset != -8) return row;
  if (is_plt(operations, count)) {
    row.kind = OBSERVE_UNWIND_PLT;
    row.cfa = operations[4].atom - DW_OP_lit0;
  } else if (count == 1 && operations[0].atom == DW_OP_bregx &&
             (operations[0].number == 6 || operations[0].number == 7)) {
    row.kind = operations[0].number == 7 ? OBSERVE_UNWIND_RSP : OBSERVE_UNWIND_RBP;
    row.cfa = static_cast<std::int32_t>(static_cast<std::int64_t>(operations[0].number2) / 8);
  } else {
    return row;
  }
  const Saved rbp = saved_register(frame, 6);
  if (rbp.how == Saved::AtCfa) {
    row.rbp = static_cast<std::int32_t>(rbp.offset / 8);
  } else if (rbp.how != Saved::Same) {
    row.rbp = OBSERVE_UNWIND_RBP_UNKNOWN;
  }
  return row;
}

std::array<int, 3> rule(const observe_unwind_row& row) {
  return {static_cast<int>(row.kind), row.cfa, row.rbp};
}

struct Compared {
  int rules = 0;
  int without = 0;  // elfutils knows no rule there
};

void compare(const std::string& path, std::size_t addresses, Compared& compared) {
  const auto bytes = read_bytes(path);
  const ReadAt object = read_from(std::as_bytes(std::span(bytes)));
  const auto layout = ElfLayout::read(object);
  if (!layout) return;  // a script
  const auto table = compile_object(object, *layout);
  ASSERT_TRUE(table) << table.error().message;
  if (table->rows.empty()) return;
  EXPECT_EQ(table->refused, 0U);

  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  elf_version(EV_CURRENT);
  const std::unique_ptr<Elf, decltype(&elf_end)> elf(elf_begin(fd.get(), ELF_C_READ, nullptr),
                                                     elf_end);
  const std::unique_ptr<Dwarf_CFI, decltype(&dwarf_cfi_end)> cfi(dwarf_getcfi_elf(elf.get()),
                                                                 dwarf_cfi_end);
  ASSERT_NE(cfi, nullptr) << dwarf_errmsg(-1);
  std::mt19937_64 random(1);
  const std::uint64_t last = table->rows.back().pc;
  for (std::size_t i = 0; i < addresses; ++i) {
    // The start of a row, or any byte.
    const std::uint64_t pc =
        i % 2 == 0 ? table->rows[random() % table->rows.size()].pc : random() % (last + 1);
    Dwarf_Frame* frame = nullptr;
    if (dwarf_cfi_addrframe(cfi.get(), layout->base + pc, &frame) != 0) {
      ++compared.without;
      continue;
    }
    const auto expected = expected_row(frame);
    const auto& row = row_at(*table, pc);
    ++compared.rules;
    free(frame);
    ASSERT_EQ(rule(row), rule(expected))
        << Message() << path << " at " << std::hex << layout->base + pc;
  }
}

TEST(EhFrameAgainstElfutils, AgreesOnTheLargeObjects) {
  for (const char* path :
       {"/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libstdc++.so.6",
        "/usr/bin/redis-server", "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libcrypto.so.3", "/lib/x86_64-linux-gnu/libjemalloc.so.2"}) {
    if (!std::filesystem::exists(path)) continue;
    Compared compared;
    compare(path, 20'000, compared);
    EXPECT_GT(compared.rules, 10'000) << path;
  }
}

TEST(EhFrameAgainstElfutils, AgreesOnThisMachinesPrograms) {
  Compared compared;
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/bin")) {
    std::error_code error;
    if (entry.is_regular_file(error) && entry.file_size(error) < 8 << 20) {
      paths.push_back(entry.path());
    }
  }
  std::ranges::sort(paths);
  std::ranges::shuffle(paths, std::mt19937_64(2));
  paths.resize(std::min<std::size_t>(paths.size(), 100));
  for (const std::string& path : paths) compare(path, 500, compared);
  EXPECT_GT(compared.rules, 1000);
}

TEST(EhFrameAgainstElfutils, CompilesLibcInMilliseconds) {
  const auto bytes = read_bytes("/lib/x86_64-linux-gnu/libc.so.6");
  if (bytes.empty()) GTEST_SKIP() << "no libc.so.6 at its usual place";
  const ReadAt object = read_from(std::as_bytes(std::span(bytes)));
  const auto began = std::chrono::steady_clock::now();
  const auto table = compile_object(object, *ElfLayout::read(object));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
  ASSERT_TRUE(table);
  EXPECT_GT(table->rows.size(), 10'000U);
  std::printf("%zu functions, %zu rows, %.1f ms\n", table->functions, table->rows.size(),
              took.count());
}

}  // namespace
}  // namespace lb::observe
