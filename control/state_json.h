// SPDX-License-Identifier: Apache-2.0
// The text form of State. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "control/state.h"

namespace lb {

inline constexpr std::uint32_t kStateVersion = 1;

/// `now`: the clocks of this moment, to which what is left of a drain is told.
[[nodiscard]] std::string state_to_json(const State& state, const StateClock& now);
/// Refuses what it does not understand, unknown keys included: half a state is worse than none.
[[nodiscard]] Result<State> state_from_json(std::string_view text, const StateClock& now);

}  // namespace lb
