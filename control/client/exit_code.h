// SPDX-License-Identifier: Apache-2.0
// What lbctl's exit status means; scripts rely on it, so the numbers never change.
#pragma once

namespace lb::client {

enum class ExitCode : int {
  Done = 0,
  Failed = 1,     ///< refused by lbd, or the environment failed; nothing was changed
  Usage = 2,      ///< the command line is wrong
  Partly = 3,     ///< some of it was done; the message says what was not
  Unhealthy = 4,  ///< asked whether all is well, and it is not; explain: dropped
};

}  // namespace lb::client
