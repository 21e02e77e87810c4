// SPDX-License-Identifier: Apache-2.0
// The parts of an x86-64 instruction between the two halves of its decoder (x86_instruction.cc
// reads them, x86_writes.cc says which registers they change). For those two only.
#pragma once

#include <cstdint>

#include "observe/plan/x86_instruction.h"

namespace lb::observe {

/// The fields of an instruction in the order in which they stand.
struct Fields {
  bool operand16 = false;   // 66
  bool address32 = false;   // 67
  bool repeat = false;      // f3
  bool repeat_not = false;  // f2
  bool barred = false;      // a prefix on which the kernel registers no uprobe
  std::uint8_t rex = 0;
  std::uint8_t vector = 0;           // 0, or the first byte of a VEX or EVEX prefix
  std::uint8_t vector_register = 0;  // vvvv
  std::uint8_t map = 0;              // 0: one byte, 1: 0f, 2: 0f 38, 3: 0f 3a, 5 and 6: EVEX only
  std::uint8_t opcode = 0;
  std::uint8_t mod = 0;
  std::uint8_t reg = 0;  // with REX.R
  std::uint8_t rm = 0;   // with REX.B
  bool has_modrm = false;
  bool rip_memory = false;
  std::int32_t displacement = 0;
  std::int64_t immediate = 0;

  [[nodiscard]] unsigned digit() const { return reg & 7U; }
  [[nodiscard]] bool wide() const { return (rex & 8U) != 0; }
  [[nodiscard]] bool in(unsigned from, unsigned to) const { return opcode >= from && opcode <= to; }
};

/// General registers that the instruction may write (Instruction::writes).
[[nodiscard]] RegisterMask writes_of(const Fields& fields) noexcept;

}  // namespace lb::observe
