// SPDX-License-Identifier: Apache-2.0
// CfaProgram: runs the call frame instructions of one function (DWARF 5, section 6.4) as far as the
// x86-64 unwinder needs them: CFA, rbp, return address. What it cannot express is marked, never
// guessed. Pure; the bytes are untrusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bpf/observe_unwind.h"

namespace lb::observe {

/// The rules that hold from one address on.
struct CfaState {
  enum class Cfa : std::uint8_t {
    Register,  ///< register + offset
    Plt,       ///< the expression that linkers write for .plt; offset: see OBSERVE_UNWIND_PLT
    Signal,    ///< the expression of a signal frame: the interrupted rsp, in the ucontext
    Unknown,
  };
  enum class Saved : std::uint8_t { Same, AtCfa, Undefined, Unknown };
  struct Rule {
    Saved how = Saved::Same;
    std::int64_t offset = 0;  ///< bytes from the CFA

    bool operator==(const Rule&) const = default;
  };

  Cfa cfa = Cfa::Unknown;
  std::uint64_t cfa_register = 0;
  std::int64_t cfa_offset = 0;
  Rule rbp;
  Rule return_address{.how = Saved::Unknown};

  bool operator==(const CfaState&) const = default;
  /// As a row at `pc`. `signal`: of a signal frame (augmentation S).
  [[nodiscard]] observe_unwind_row row(std::uint32_t pc, bool signal) const;
};

/// What a CIE says for all its functions.
struct CfaFactors {
  std::uint64_t code = 1;
  std::int64_t data = 1;
  std::uint8_t pointer_encoding = 0;  ///< of DW_CFA_set_loc
};

/// What a program gives: the state from `pc` on, up to the next one's.
struct CfaStep {
  std::uint64_t pc;
  CfaState state;
};

/// No function has so many; a program may ask for one in three bytes.
inline constexpr std::size_t kCfaStepsMax = std::size_t{1} << 18;

/// Runs `program` (which stands at `address`) for the addresses [begin, end) from the state
/// `initial`, and puts the steps in order of pc into `steps` (emptied first; the first is at
/// `begin`). An instruction that is not known, or a cut one, makes the rest Unknown, and so
/// does a step past kCfaStepsMax.
void run_cfa_program(std::span<const std::byte> program, std::uint64_t address,
                     const CfaFactors& factors, const CfaState& initial, std::uint64_t begin,
                     std::uint64_t end, std::vector<CfaStep>& steps);

}  // namespace lb::observe
