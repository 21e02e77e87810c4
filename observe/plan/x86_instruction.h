// SPDX-License-Identifier: Apache-2.0
// One x86-64 instruction as the attach planner needs it: how long it is, where it may go, which
// general registers it may write, and what the kernel does with a uprobe on it. Pure; any thread;
// reads bytes of files, so every byte is checked. What it does not know it does not guess.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace lb::observe {

/// How control leaves an instruction.
enum class Flow : std::uint8_t {
  Next,          ///< to the next instruction
  Jump,          ///< jmp with a known target
  Branch,        ///< a condition (jcc, loop, jrcxz): to the target or the next instruction
  Call,          ///< call with a known target
  IndirectJump,  ///< jmp through a register or memory
  IndirectCall,  ///< call through a register or memory
  Return,        ///< ret
  Stop,          ///< ud2, hlt, int3: does not go on
};

/// What a uprobe on an instruction does (arch/x86/kernel/uprobes.c, Linux 4.x to 6.18).
enum class UprobeWay : std::uint8_t {
  Emulated,  ///< push, nop, jmp, jcc, call: one trap
  Stepped,   ///< a copy of it is single-stepped: two traps, many times the cost
  Refused,   ///< the kernel registers no uprobe on it
};

/// Registers as bits in the order of their numbers: rax rcx rdx rbx rsp rbp rsi rdi r8 ... r15.
using RegisterMask = std::uint16_t;
inline constexpr RegisterMask kRsp = 1U << 4;
inline constexpr RegisterMask kAllRegisters = 0xffff;

struct Instruction {
  std::uint8_t length = 0;  ///< bytes, 1 to 15
  Flow flow = Flow::Next;
  UprobeWay uprobe = UprobeWay::Stepped;
  bool long_nop = false;  ///< 0f 1f: a nop of several bytes
  /// Target of Jump, Branch and Call, in bytes from the start of this instruction.
  std::int64_t target = 0;
  /// Of IndirectJump and IndirectCall: the memory that holds the target when it is addressed by
  /// rip, in bytes from the start of this instruction.
  std::optional<std::int64_t> slot;
  /// General registers that it may write, in any width; kAllRegisters when that is not known.
  RegisterMask writes = 0;
};

/// The instruction at the start of `code`. Nothing when it is cut, invalid, or of a kind that is
/// not known here (XOP, a prefix after REX, 16-bit branches).
[[nodiscard]] std::optional<Instruction> decode(std::span<const std::uint8_t> code) noexcept;

}  // namespace lb::observe
