// SPDX-License-Identifier: Apache-2.0
#include "observe/unwind/cfa_program.h"

#include <algorithm>
#include <optional>

#include "observe/unwind/dwarf_reader.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kRbp = 6;
constexpr std::uint64_t kRsp = 7;
constexpr std::uint64_t kReturnAddress = 16;
constexpr std::int64_t kWord = 8;
constexpr std::size_t kRememberedMax = 64;

enum Operation : std::uint8_t {
  kDeref = 0x06,
  kAnd = 0x1a,
  kPlus = 0x22,
  kShl = 0x24,
  kGe = 0x2a,
  kLit0 = 0x30,
  kLit3 = 0x33,
  kLit15 = 0x3f,
  kBregRsp = 0x77,
  kBregRip = 0x80,
};

// DW_OP_breg7 160, deref: rsp of the sigcontext.
bool is_signal_cfa(DwarfReader expression) {
  return expression.byte() == kBregRsp && expression.sleb() == 160 && expression.byte() == kDeref &&
         expression.ok() && expression.at_end();
}

// rsp + 8 + (((rip & 15) >= N) << 3): N, or nothing for any other expression.
std::optional<std::int64_t> plt_threshold(DwarfReader expression) {
  if (expression.byte() != kBregRsp || expression.sleb() != kWord) return std::nullopt;
  if (expression.byte() != kBregRip || expression.sleb() != 0) return std::nullopt;
  if (expression.byte() != kLit15 || expression.byte() != kAnd) return std::nullopt;
  const std::int64_t threshold = expression.byte() - std::int64_t{kLit0};
  if (threshold < 0 || threshold > 15) return std::nullopt;
  for (const Operation next : {kGe, kLit3, kShl, kPlus}) {
    if (expression.byte() != next) return std::nullopt;
  }
  if (!expression.ok() || !expression.at_end()) return std::nullopt;
  return threshold;
}

// Nothing: not a multiple of 8.
std::optional<std::int64_t> in_words(std::int64_t bytes) {
  if (bytes % kWord != 0) return std::nullopt;
  return bytes / kWord;
}

std::int64_t product(std::uint64_t a, std::int64_t b) {  // wraps: hostile numbers
  return static_cast<std::int64_t>(a * static_cast<std::uint64_t>(b));
}

class Machine {
 public:
  Machine(std::span<const std::byte> program, std::uint64_t address, const CfaFactors& factors,
          const CfaState& initial, std::uint64_t begin, std::uint64_t end,
          std::vector<CfaStep>& steps)
      : reader_(program, address),
        factors_(factors),
        initial_(initial),
        state_(initial),
        pc_(begin),
        end_(end),
        steps_(steps) {}

  void run() {
    while (!reader_.at_end() && pc_ < end_) {
      if (steps_.size() >= kCfaStepsMax || !instruction(reader_.byte()) || !reader_.ok()) {
        state_ = CfaState{};
        break;
      }
    }
    if (pc_ < end_) keep();
  }

 private:
  bool instruction(std::uint8_t code) {
    const std::uint8_t operand = code & 0x3f;
    switch (code & 0xc0) {
      case 0x40:
        return advance(operand);
      case 0x80:
        return save(operand, product(reader_.uleb(), factors_.data));
      case 0xc0:
        return restore(operand);
      default:
        return place(code) || cfa(code) || saved(code);
    }
  }

  // Instructions that move the address, or touch all rules.
  bool place(std::uint8_t code) {
    switch (code) {
      case 0x00:
        return true;  // DW_CFA_nop
      case 0x01: {    // DW_CFA_set_loc
        const auto to = reader_.pointer(factors_.pointer_encoding);
        return to && move_to(*to);
      }
      case 0x02:
        return advance(reader_.byte());
      case 0x03:
        return advance(reader_.number<std::uint16_t>());
      case 0x04:
        return advance(reader_.number<std::uint32_t>());
      case 0x0a:  // DW_CFA_remember_state
        if (remembered_.size() >= kRememberedMax) return false;
        remembered_.push_back(state_);
        return true;
      case 0x0b:  // DW_CFA_restore_state
        if (remembered_.empty()) return false;
        state_ = remembered_.back();
        remembered_.pop_back();
        return true;
      case 0x2e:
        reader_.uleb();
        return true;  // DW_CFA_GNU_args_size
      default:
        return false;
    }
  }

  bool cfa(std::uint8_t code) {
    switch (code) {
      case 0x0c:  // DW_CFA_def_cfa
        state_.cfa_register = reader_.uleb();
        return cfa_offset(static_cast<std::int64_t>(reader_.uleb()), CfaState::Cfa::Register);
      case 0x12:  // DW_CFA_def_cfa_sf
        state_.cfa_register = reader_.uleb();
        return cfa_offset(factored_sleb(), CfaState::Cfa::Register);
      case 0x0d:  // DW_CFA_def_cfa_register
        state_.cfa_register = reader_.uleb();
        return true;
      case 0x0e:  // DW_CFA_def_cfa_offset
        return cfa_offset(static_cast<std::int64_t>(reader_.uleb()), state_.cfa);
      case 0x13:
        return cfa_offset(factored_sleb(), state_.cfa);
      case 0x0f:
        return cfa_expression();
      default:
        return false;
    }
  }

  bool saved(std::uint8_t code) {
    const std::uint64_t number = reader_.uleb();
    switch (code) {
      case 0x05:
        return save(number, product(reader_.uleb(), factors_.data));
      case 0x11:
        return save(number, factored_sleb());
      case 0x2f:
        return save(number, product(0 - reader_.uleb(), factors_.data));
      case 0x06:
        return restore(number);
      case 0x07:
        return rule(number, {.how = CfaState::Saved::Undefined});
      case 0x08:
        return rule(number, {.how = CfaState::Saved::Same});
      case 0x09:  // DW_CFA_register
      case 0x14:
        reader_.uleb();
        return rule(number, {.how = CfaState::Saved::Unknown});
      case 0x15:
        reader_.sleb();
        return rule(number, {.how = CfaState::Saved::Unknown});
      case 0x10:  // DW_CFA_expression
      case 0x16:
        reader_.take(reader_.uleb());
        return rule(number, {.how = CfaState::Saved::Unknown});
      default:
        return false;
    }
  }

  std::int64_t factored_sleb() {
    return product(static_cast<std::uint64_t>(reader_.sleb()), factors_.data);
  }

  bool cfa_offset(std::int64_t offset, CfaState::Cfa kind) {
    state_.cfa = kind;
    state_.cfa_offset = offset;
    return true;
  }

  bool cfa_expression() {
    const DwarfReader expression(reader_.take(reader_.uleb()), 0);
    state_.cfa_register = 0;
    state_.cfa_offset = 0;
    state_.cfa = CfaState::Cfa::Unknown;
    if (is_signal_cfa(expression)) {
      state_.cfa = CfaState::Cfa::Signal;
    } else if (const auto threshold = plt_threshold(expression)) {
      state_.cfa = CfaState::Cfa::Plt;
      state_.cfa_offset = *threshold;
    }
    return true;
  }

  bool save(std::uint64_t number, std::int64_t offset) {
    return rule(number, {.how = CfaState::Saved::AtCfa, .offset = offset});
  }
  bool restore(std::uint64_t number) {
    return rule(number, number == kRbp ? initial_.rbp : initial_.return_address);
  }
  bool rule(std::uint64_t number, CfaState::Rule rule) {
    if (number == kRbp) state_.rbp = rule;
    if (number == kReturnAddress) state_.return_address = rule;
    return true;
  }

  bool advance(std::uint64_t units) { return move_to(pc_ + units * factors_.code); }
  bool move_to(std::uint64_t pc) {
    if (pc < pc_) return false;
    if (pc > pc_) keep();
    pc_ = pc;
    return true;
  }
  void keep() {
    if (!steps_.empty() && steps_.back().state == state_) return;
    steps_.push_back({pc_, state_});
  }

  DwarfReader reader_;
  const CfaFactors& factors_;
  const CfaState& initial_;
  CfaState state_;
  std::uint64_t pc_;
  std::uint64_t end_;
  std::vector<CfaState> remembered_;
  std::vector<CfaStep>& steps_;
};

}  // namespace

observe_unwind_row CfaState::row(std::uint32_t pc, bool signal) const {
  observe_unwind_row row{.pc = pc, .cfa = 0, .kind = OBSERVE_UNWIND_NONE, .rbp = 0};
  if (return_address.how == Saved::Undefined) {
    row.kind = OBSERVE_UNWIND_END;
    return row;
  }
  if (signal) {
    if (cfa == Cfa::Signal) row.kind = OBSERVE_UNWIND_SIGNAL;
    return row;
  }
  const auto offset = cfa == Cfa::Plt ? std::optional(cfa_offset) : in_words(cfa_offset);
  if (return_address != Rule{.how = Saved::AtCfa, .offset = -kWord} || !offset ||
      *offset < -OBSERVE_UNWIND_CFA_MAX || *offset > OBSERVE_UNWIND_CFA_MAX) {
    return row;
  }
  if (cfa == Cfa::Plt) {
    row.kind = OBSERVE_UNWIND_PLT;
  } else if (cfa == Cfa::Register && cfa_register == kRsp) {
    row.kind = OBSERVE_UNWIND_RSP;
  } else if (cfa == Cfa::Register && cfa_register == kRbp) {
    row.kind = OBSERVE_UNWIND_RBP;
  } else {
    return row;
  }
  row.cfa = static_cast<std::int32_t>(*offset);
  const auto at = in_words(rbp.offset);
  if (rbp.how == Saved::AtCfa && at && *at != 0 && *at > OBSERVE_UNWIND_RBP_UNKNOWN && *at < 128) {
    row.rbp = static_cast<std::int32_t>(*at);
  } else if (rbp.how != Saved::Same) {
    row.rbp = OBSERVE_UNWIND_RBP_UNKNOWN;
  }
  return row;
}

void run_cfa_program(std::span<const std::byte> program, std::uint64_t address,
                     const CfaFactors& factors, const CfaState& initial, std::uint64_t begin,
                     std::uint64_t end, std::vector<CfaStep>& steps) {
  steps.clear();
  Machine(program, address, factors, initial, begin, end, steps).run();
}

}  // namespace lb::observe
