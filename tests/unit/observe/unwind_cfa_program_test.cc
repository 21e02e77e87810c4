// SPDX-License-Identifier: Apache-2.0
// A CFA program that asks for more steps than any function has.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "observe/unwind/cfa_program.h"

namespace lb::observe {
namespace {

// DW_CFA_advance_loc 1; DW_CFA_def_cfa_offset 16 or 24, by turns: each is a step.
std::vector<std::byte> steps(std::size_t count) {
  std::vector<std::byte> program;
  for (std::size_t i = 0; i < count; ++i) {
    program.insert(program.end(),
                   {std::byte{0x41}, std::byte{0x0e}, i % 2 == 0 ? std::byte{16} : std::byte{24}});
  }
  return program;
}

std::vector<CfaStep> run(const std::vector<std::byte>& program) {
  std::vector<CfaStep> found;
  CfaState initial;
  initial.cfa = CfaState::Cfa::Register;
  initial.cfa_register = 7;
  run_cfa_program(program, 0, CfaFactors{}, initial, 0, std::numeric_limits<std::uint32_t>::max(),
                  found);
  return found;
}

TEST(CfaProgram, EachChangeIsAStep) { EXPECT_EQ(run(steps(1000)).size(), 1001U); }

TEST(CfaProgram, MoreStepsThanAFunctionHasAreNotKept) {
  const auto found = run(steps(kCfaStepsMax + 1000));
  ASSERT_LE(found.size(), kCfaStepsMax + 1);
  EXPECT_EQ(found.back().state.cfa, CfaState::Cfa::Unknown);
}

}  // namespace
}  // namespace lb::observe
