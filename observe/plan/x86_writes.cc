// SPDX-License-Identifier: Apache-2.0
// Which general registers an instruction may write: the other half of x86_instruction.cc. An
// instruction that is not listed may write all of them.
#include "observe/plan/x86_fields.h"

namespace lb::observe {
namespace {

constexpr RegisterMask kRax = 1U << 0;
constexpr RegisterMask kRcx = 1U << 1;
constexpr RegisterMask kRdx = 1U << 2;
constexpr RegisterMask kRbx = 1U << 3;
constexpr RegisterMask kRbp = 1U << 5;

RegisterMask bit(unsigned number) { return static_cast<RegisterMask>(1U << (number & 15U)); }

/// Register operands; in byte instructions without REX, 4 to 7 are the high halves of 0 to 3.
struct Operands {
  RegisterMask reg;
  RegisterMask rm;  // none when it is memory
};
Operands operands(const Fields& f, bool bytes) {
  auto one = [&](unsigned number) {
    return bytes && f.rex == 0 ? static_cast<RegisterMask>(bit(number) | bit(number & 3U))
                               : bit(number);
  };
  return {one(f.reg), f.mod == 3 ? one(f.rm) : RegisterMask{0}};
}

/// 00 to 3f: add, or, adc, sbb, and, sub, xor, cmp.
RegisterMask arithmetic_writes(const Fields& f) {
  if (f.opcode >= 0x38) return 0;
  const auto [reg, rm] = operands(f, (f.opcode & 1U) == 0);
  switch (f.opcode & 7U) {
    case 0:
    case 1:
      return rm;
    case 2:
    case 3:
      return reg;
    default:
      return kRax;
  }
}

/// c0 to ff of the one-byte map.
RegisterMask high_writes(const Fields& f) {
  const auto [reg, rm] = operands(f, (f.opcode & 1U) == 0);
  (void)reg;
  if (f.in(0xd8, 0xdf)) return f.opcode == 0xdf ? kRax : RegisterMask{0};  // fnstsw %ax
  if (f.in(0xc0, 0xc1) || f.in(0xd0, 0xd3)) return rm;
  switch (f.opcode) {
    case 0xc2:
    case 0xc3:
    case 0xe8:
      return kRsp;
    case 0xc6:
    case 0xc7:
      return f.digit() == 7 ? kRax : rm;
    case 0xc8:
    case 0xc9:
      return kRsp | kRbp;
    case 0xd7:
      return kRax;
    case 0xe0:
    case 0xe1:
    case 0xe2:
      return kRcx;
    case 0xe3:
    case 0xe9:
    case 0xeb:
    case 0xf5:
    case 0xf8:
    case 0xf9:
    case 0xfc:
    case 0xfd:
      return 0;
    case 0xf6:
    case 0xf7:
      return f.digit() < 2   ? RegisterMask{0}
             : f.digit() < 4 ? rm
                             : static_cast<RegisterMask>(kRax | kRdx);
    case 0xfe:
      return rm;
    case 0xff:
      return f.digit() < 2 ? rm : f.digit() == 4 ? RegisterMask{0} : kRsp;
    default:
      return kAllRegisters;
  }
}

/// 80 to bf of the one-byte map.
RegisterMask middle_writes(const Fields& f) {
  const auto [reg, rm] = operands(f, (f.opcode & 1U) == 0);
  const unsigned low = (f.opcode & 7U) | ((f.rex & 1U) << 3);
  if (f.in(0x80, 0x83)) return f.digit() == 7 ? RegisterMask{0} : rm;
  if (f.in(0x91, 0x97)) return kRax | bit(low);
  if (f.in(0xb0, 0xb7)) {
    return f.rex == 0 ? static_cast<RegisterMask>(bit(low) | bit(low & 3U)) : bit(low);
  }
  if (f.in(0xb8, 0xbf)) return bit(low);
  switch (f.opcode) {
    case 0x84:
    case 0x85:
    case 0x8e:
    case 0x9b:
    case 0x9e:
    case 0xa2:
    case 0xa3:
    case 0xa8:
    case 0xa9:
      return 0;
    case 0x86:
    case 0x87:
      return reg | rm;
    case 0x88:
    case 0x89:
    case 0x8c:
      return rm;
    case 0x8a:
    case 0x8b:
    case 0x8d:
      return reg;
    case 0x8f:
      return rm | kRsp;
    case 0x90:
      return (f.rex & 1U) != 0 ? kRax | bit(8) : RegisterMask{0};
    case 0x98:
    case 0x9f:
    case 0xa0:
    case 0xa1:
      return kRax;
    case 0x99:
      return kRdx;
    case 0x9c:
    case 0x9d:
      return kRsp;
    default:
      return kAllRegisters;
  }
}

RegisterMask one_byte_writes(const Fields& f) {
  if (f.opcode < 0x40) return arithmetic_writes(f);
  if (f.opcode >= 0xc0) return high_writes(f);
  if (f.opcode >= 0x80) return middle_writes(f);
  const unsigned low = (f.opcode & 7U) | ((f.rex & 1U) << 3);
  if (f.in(0x50, 0x57) || f.opcode == 0x68 || f.opcode == 0x6a) return kRsp;
  if (f.in(0x58, 0x5f)) return kRsp | bit(low);
  if (f.opcode == 0x63 || f.opcode == 0x69 || f.opcode == 0x6b) return bit(f.reg);
  return f.in(0x70, 0x7f) ? RegisterMask{0} : kAllRegisters;
}

/// Instructions of the map 0f that write no general register whatever their operands are.
bool two_byte_writes_none(const Fields& f) {
  if (f.opcode == 0x0d || f.in(0x10, 0x1d) || f.opcode == 0x1f || f.in(0x28, 0x2b)) return true;
  if (f.in(0x2e, 0x2f) || f.in(0x51, 0x77) || f.in(0x7c, 0x7d) || f.opcode == 0x7f) return true;
  if (f.in(0x80, 0x8f) || f.opcode == 0xa3 || f.in(0xc2, 0xc4) || f.opcode == 0xc6) return true;
  return f.in(0xd0, 0xfe) && f.opcode != 0xd7;
}

RegisterMask two_byte_writes(const Fields& f) {
  if (two_byte_writes_none(f)) return 0;
  const bool bytes = f.in(0x90, 0x9f) || f.opcode == 0xb0 || f.opcode == 0xc0;
  const auto [reg, rm] = operands(f, bytes);
  if (f.in(0x40, 0x50) || f.in(0x2c, 0x2d)) return reg;
  if (f.in(0x90, 0x9f) || f.opcode == 0x7e || f.opcode == 0xae) return rm;
  if (f.in(0xc8, 0xcf)) return bit((f.opcode & 7U) | ((f.rex & 1U) << 3));
  switch (f.opcode) {
    case 0x0b:
      return 0;
    case 0x1e:  // endbr64, rdssp
    case 0xa4:
    case 0xa5:
    case 0xab:
    case 0xac:
    case 0xad:
    case 0xb3:
    case 0xbb:
      return f.opcode == 0x1e && f.mod == 3 && f.reg == 7 ? RegisterMask{0} : rm;
    case 0xba:
      return f.digit() == 4 ? RegisterMask{0} : rm;
    case 0xaf:
    case 0xb6:
    case 0xb7:
    case 0xb8:
    case 0xbc:
    case 0xbd:
    case 0xbe:
    case 0xbf:
    case 0xc5:
    case 0xd7:
      return reg;
    case 0xb0:
    case 0xb1:
      return rm | kRax;
    case 0xc0:
    case 0xc1:
      return reg | rm;
    case 0xc7:
      return rm | kRax | kRdx;
    case 0xa2:
      return kRax | kRbx | kRcx | kRdx;
    case 0x31:
      return kRax | kRdx;
    default:
      return kAllRegisters;
  }
}

/// 0f 38 and 0f 3a, and all of VEX. Where it is not worth a table: every operand.
RegisterMask long_map_writes(const Fields& f) {
  const RegisterMask reg = bit(f.reg);
  const RegisterMask rm = f.mod == 3 ? bit(f.rm) : RegisterMask{0};
  if (f.map == 1) {
    if (f.opcode == 0x77) return 0;
    return f.in(0x90, 0x99) ? reg : two_byte_writes(f);
  }
  if (f.map == 2) return f.opcode < 0xf0 ? RegisterMask{0} : reg | rm | bit(f.vector_register);
  if (f.in(0x14, 0x17)) return rm;
  if (f.in(0x60, 0x63)) return kRcx;
  return f.opcode == 0xf0 ? reg : RegisterMask{0};
}

}  // namespace

RegisterMask writes_of(const Fields& f) noexcept {
  if (f.vector == 0x62) return kAllRegisters;
  if (f.vector != 0 || f.map > 1) return long_map_writes(f);
  return f.map == 0 ? one_byte_writes(f) : two_byte_writes(f);
}

}  // namespace lb::observe
