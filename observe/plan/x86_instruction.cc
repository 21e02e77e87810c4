// SPDX-License-Identifier: Apache-2.0
// Tables after the Intel SDM, volume 2, appendix A (opcode maps, 64-bit mode).
#include "observe/plan/x86_instruction.h"

#include <array>
#include <cstddef>
#include <string_view>

#include "observe/plan/x86_fields.h"

namespace lb::observe {
namespace {

constexpr std::size_t kLengthMax = 15;

class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> code)
      : code_(code.first(code.size() < kLengthMax ? code.size() : kLengthMax)) {}
  [[nodiscard]] bool byte(std::uint8_t& out) {
    if (at_ >= code_.size()) return false;
    out = code_[at_++];
    return true;
  }
  void back() { --at_; }
  /// A little-endian number of `bytes` bytes, sign extended.
  [[nodiscard]] bool number(unsigned bytes, std::int64_t& out) {
    if (code_.size() - at_ < bytes) return false;
    std::uint64_t value = 0;
    for (unsigned i = 0; i < bytes; ++i) {
      value |= static_cast<std::uint64_t>(code_[at_ + i]) << (8 * i);
    }
    const unsigned unused = 64 - 8 * bytes;
    if (bytes != 0) out = static_cast<std::int64_t>(value << unused) >> unused;
    at_ += bytes;
    return true;
  }
  [[nodiscard]] std::size_t length() const { return at_; }

 private:
  std::span<const std::uint8_t> code_;
  std::size_t at_ = 0;
};

/// What follows an opcode.
enum class Tail : std::uint8_t {
  Bad,
  None,
  Modrm,
  ModrmB,
  ModrmZ,
  Byte,
  Word,
  Z,
  V,
  Enter,
  Offset
};

// One letter an opcode: . bad or handled elsewhere, - nothing, m ModRM, b ModRM and a byte, z ModRM
// and 2 or 4 bytes, 1 a byte, 2 two bytes, 4 two or four bytes, 8 up to eight bytes, e enter, o an
// absolute address.
constexpr std::array<std::string_view, 16> kOneByte = {
    "mmmm14..mmmm14..",  // 00
    "mmmm14..mmmm14..",  // 10
    "mmmm14..mmmm14..",  // 20
    "mmmm14..mmmm14..",  // 30
    "................",  // 40: REX
    "----------------",  // 50
    "...m....4z1b----",  // 60
    "1111111111111111",  // 70
    "bz.bmmmmmmmmmmmm",  // 80
    "----------.-----",  // 90
    "oooo----14------",  // a0
    "1111111188888888",  // b0
    "bb2-..bze-2--1.-",  // c0; c8 is enter
    "mmmm...-mmmmmmmm",  // d0
    "1111111144.1----",  // e0
    ".-..--mm------mm",  // f0
};
constexpr std::array<std::string_view, 16> kTwoByte = {
    "mmmm.-----.-.m-b",  // 00
    "mmmmmmmmmmmmmmmm",  // 10
    "mmmm....mmmmmmmm",  // 20
    "------.-........",  // 30
    "mmmmmmmmmmmmmmmm",  // 40
    "mmmmmmmmmmmmmmmm",  // 50
    "mmmmmmmmmmmmmmmm",  // 60
    "bbbbmmm-mm..mmmm",  // 70
    "4444444444444444",  // 80
    "mmmmmmmmmmmmmmmm",  // 90
    "---mbm..---mbmmm",  // a0
    "mmmmmmmmmmbmmmmm",  // b0
    "mmbmbbbm--------",  // c0
    "mmmmmmmmmmmmmmmm",  // d0
    "mmmmmmmmmmmmmmmm",  // e0
    "mmmmmmmmmmmmmmmm",  // f0
};

Tail tail_of(char letter) {
  switch (letter) {
    case '-':
      return Tail::None;
    case 'm':
      return Tail::Modrm;
    case 'b':
      return Tail::ModrmB;
    case 'z':
      return Tail::ModrmZ;
    case '1':
      return Tail::Byte;
    case '2':
      return Tail::Word;
    case '4':
      return Tail::Z;
    case '8':
      return Tail::V;
    case 'e':
      return Tail::Enter;
    case 'o':
      return Tail::Offset;
    default:
      return Tail::Bad;
  }
}

Tail tail_of(const Fields& f) {
  const auto& table = f.map == 0 ? kOneByte : kTwoByte;
  if (f.map == 2) return Tail::Modrm;
  if (f.map == 3) return Tail::ModrmB;
  if (f.map > 3) return Tail::Modrm;
  if (f.vector != 0) {
    if (f.opcode == 0x77) return f.vector == 0x62 ? Tail::Bad : Tail::None;  // vzeroupper
    const Tail tail = tail_of(table[f.opcode >> 4].at(f.opcode & 15U));
    return tail == Tail::ModrmB ? tail : Tail::Modrm;
  }
  // SSE4a has immediates here.
  if (f.map == 1 && f.in(0x78, 0x79) && (f.operand16 || f.repeat_not)) return Tail::Bad;
  return tail_of(table[f.opcode >> 4].at(f.opcode & 15U));
}

bool is_escape(const Fields& f) {
  return f.map == 0 ? f.opcode == 0x0f : f.map == 1 && (f.opcode == 0x38 || f.opcode == 0x3a);
}

/// Legacy prefixes, then REX. False: cut, or REX not in its place.
bool read_prefixes(Reader& in, Fields& f) {
  for (std::uint8_t byte = 0; in.byte(byte);) {
    switch (byte) {
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
      case 0xf0:
        f.barred = true;
        break;
      case 0x64:
      case 0x65:
        break;
      case 0x66:
        f.operand16 = true;
        break;
      case 0x67:
        f.address32 = true;
        break;
      case 0xf2:
        f.repeat_not = true;
        break;
      case 0xf3:
        f.repeat = true;
        break;
      default:
        if ((byte & 0xf0U) != 0x40) {
          f.opcode = byte;
          return true;
        }
        if (f.rex != 0) return false;
        f.rex = byte;
        continue;
    }
    if (f.rex != 0) return false;
  }
  return false;
}

/// VEX (c4, c5) and EVEX (62) prefixes; `f.opcode` is their first byte.
bool read_vector_prefix(Reader& in, Fields& f) {
  if (f.rex != 0 || f.operand16 || f.repeat || f.repeat_not) return false;
  f.vector = f.opcode;
  std::uint8_t first = 0;
  std::uint8_t second = 0;
  if (!in.byte(first)) return false;
  if (f.vector == 0xc5) {
    f.map = 1;
    f.rex = static_cast<std::uint8_t>((~first >> 5) & 4U);
    f.vector_register = static_cast<std::uint8_t>((~first >> 3) & 15U);
    return in.byte(f.opcode);
  }
  if (!in.byte(second)) return false;
  f.map = first & (f.vector == 0xc4 ? 31U : 7U);
  f.rex = static_cast<std::uint8_t>(((~first >> 5) & 7U) | ((second >> 4) & 8U));
  f.vector_register = static_cast<std::uint8_t>((~second >> 3) & 15U);
  if (f.vector == 0x62) {
    std::uint8_t third = 0;
    if ((second & 4U) == 0 || !in.byte(third)) return false;
    if (f.map == 0 || f.map == 4 || f.map == 7) return false;
  } else if (f.map == 0 || f.map > 3) {
    return false;
  }
  return in.byte(f.opcode);
}

bool read_opcode(Reader& in, Fields& f) {
  if (!read_prefixes(in, f)) return false;
  if (f.opcode == 0x62 || f.opcode == 0xc4 || f.opcode == 0xc5) return read_vector_prefix(in, f);
  for (int escapes = 0; escapes < 2 && is_escape(f); ++escapes) {
    f.map = f.map == 0 ? 1 : f.opcode == 0x38 ? 2 : 3;
    if (!in.byte(f.opcode)) return false;
  }
  return true;
}

bool read_modrm(Reader& in, Fields& f) {
  std::uint8_t modrm = 0;
  if (!in.byte(modrm)) return false;
  f.has_modrm = true;
  f.mod = modrm >> 6;
  f.reg = static_cast<std::uint8_t>(((modrm >> 3) & 7U) | ((f.rex & 4U) << 1));
  f.rm = static_cast<std::uint8_t>((modrm & 7U) | ((f.rex & 1U) << 3));
  if (f.mod == 3) return true;
  unsigned bytes = f.mod == 1 ? 1 : f.mod == 2 ? 4 : 0;
  if ((modrm & 7U) == 4) {
    std::uint8_t sib = 0;
    if (!in.byte(sib)) return false;
    if (f.mod == 0 && (sib & 7U) == 5) bytes = 4;
  } else if (f.mod == 0 && (modrm & 7U) == 5) {
    bytes = 4;
    f.rip_memory = true;
  }
  std::int64_t displacement = 0;
  if (!in.number(bytes, displacement)) return false;
  f.displacement = static_cast<std::int32_t>(displacement);
  return true;
}

bool is_near_branch(const Fields& f) {
  if (f.vector != 0) return false;
  return f.map == 0 ? f.opcode == 0xe8 || f.opcode == 0xe9 : f.map == 1 && f.in(0x80, 0x8f);
}

/// The bytes of immediate that follow.
unsigned immediate_bytes(const Fields& f, Tail tail) {
  const unsigned z = f.operand16 && !f.wide() ? 2 : 4;
  // test has an immediate, the other instructions of its group (not, neg, mul, ...) have none.
  const bool group3 = f.map == 0 && f.vector == 0 && f.in(0xf6, 0xf7) && f.digit() < 2;
  switch (tail) {
    case Tail::Modrm:
      return !group3 ? 0 : f.opcode == 0xf6 ? 1 : z;
    case Tail::ModrmB:
    case Tail::Byte:
      return 1;
    case Tail::Word:
      return 2;
    case Tail::ModrmZ:
    case Tail::Z:
      return z;
    case Tail::V:
      return f.wide() ? 8 : z;
    case Tail::Enter:
      return 3;
    case Tail::Offset:
      return f.address32 ? 4 : 8;
    default:
      return 0;
  }
}

/// Instructions that some bytes of the tables stand for and that do not exist.
bool is_bad_group(const Fields& f) {
  if (f.map != 0 || f.vector != 0) return false;
  if (f.opcode == 0x8f) return f.digit() != 0;  // pop, or XOP
  if (f.opcode == 0xc6 || f.opcode == 0xc7) {
    return f.digit() != 0 && !(f.digit() == 7 && f.mod == 3 && (f.rm & 7U) == 0);
  }
  if (f.opcode == 0xfe) return f.digit() > 1;
  if (f.opcode == 0xff) return f.digit() == 7;
  return false;
}

bool read_fields(Reader& in, Fields& f) {
  if (!read_opcode(in, f)) return false;
  const Tail tail = tail_of(f);
  if (tail == Tail::Bad) return false;
  const bool modrm = tail == Tail::Modrm || tail == Tail::ModrmB || tail == Tail::ModrmZ;
  if (modrm && !read_modrm(in, f)) return false;
  if (is_bad_group(f)) return false;
  // Intel and AMD disagree about a 16-bit near branch.
  if (is_near_branch(f) && f.operand16 && !f.wide()) return false;
  return in.number(immediate_bytes(f, tail), f.immediate);
}

Flow flow_of(const Fields& f) {
  if (f.vector != 0) return Flow::Next;
  if (f.map == 1) {
    if (f.in(0x80, 0x8f)) return Flow::Branch;
    return f.opcode == 0x0b || f.opcode == 0xb9 || f.opcode == 0xff ? Flow::Stop : Flow::Next;
  }
  if (f.map != 0) return Flow::Next;
  if (f.in(0x70, 0x7f) || f.in(0xe0, 0xe3)) return Flow::Branch;
  switch (f.opcode) {
    case 0xc2:
    case 0xc3:
    case 0xca:
    case 0xcb:
    case 0xcf:
      return Flow::Return;
    case 0xcc:
    case 0xf1:
    case 0xf4:
      return Flow::Stop;
    case 0xc7:
      return f.digit() == 7 ? Flow::Branch : Flow::Next;  // xbegin
    case 0xe8:
      return Flow::Call;
    case 0xe9:
    case 0xeb:
      return Flow::Jump;
    case 0xff:
      if (f.digit() == 2 || f.digit() == 3) return Flow::IndirectCall;
      return f.digit() == 4 || f.digit() == 5 ? Flow::IndirectJump : Flow::Next;
    default:
      return Flow::Next;
  }
}

/// After branch_setup_xol_ops(), push_setup_xol_ops() and the tables of the same file.
UprobeWay uprobe_of(const Fields& f, std::size_t length) {
  if (f.barred) return UprobeWay::Refused;
  if (f.vector != 0) return UprobeWay::Stepped;
  const bool branch = f.map == 0 ? f.in(0x70, 0x7f) || f.opcode == 0xe8 || f.opcode == 0xe9 ||
                                       f.opcode == 0xeb || f.opcode == 0x90
                                 : f.map == 1 && f.in(0x80, 0x8f);
  if (branch) {
    if (f.operand16) return UprobeWay::Refused;
    // 90 with REX.B is xchg, which some kernels take for a nop.
    const bool exchange = f.map == 0 && f.opcode == 0x90 && (f.rex & 1U) != 0;
    return exchange ? UprobeWay::Refused : UprobeWay::Emulated;
  }
  if (f.map != 0) return UprobeWay::Stepped;
  if (f.in(0x50, 0x57)) {
    return length == 1 || (length == 2 && f.rex == 0x41) ? UprobeWay::Emulated : UprobeWay::Stepped;
  }
  const bool barred = f.in(0x6c, 0x6f) || f.in(0xcc, 0xcf) || f.in(0xe4, 0xe7) ||
                      f.in(0xec, 0xef) || f.opcode == 0xf1 || f.opcode == 0xf4 || f.in(0xfa, 0xfb);
  return barred && f.opcode != 0xce ? UprobeWay::Refused : UprobeWay::Stepped;
}

}  // namespace

std::optional<Instruction> decode(std::span<const std::uint8_t> code) noexcept {
  Reader in(code);
  Fields f;
  if (!read_fields(in, f)) return std::nullopt;
  Instruction result;
  result.length = static_cast<std::uint8_t>(in.length());
  result.flow = flow_of(f);
  result.uprobe = uprobe_of(f, in.length());
  result.long_nop = f.vector == 0 && f.map == 1 && f.opcode == 0x1f;
  result.writes = writes_of(f);
  if (result.flow == Flow::Jump || result.flow == Flow::Branch || result.flow == Flow::Call) {
    result.target = static_cast<std::int64_t>(result.length) + f.immediate;
  }
  if (f.rip_memory && (result.flow == Flow::IndirectJump || result.flow == Flow::IndirectCall)) {
    result.slot = static_cast<std::int64_t>(result.length) + f.displacement;
  }
  return result;
}

}  // namespace lb::observe
