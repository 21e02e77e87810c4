// SPDX-License-Identifier: Apache-2.0
// The command line of lbctl: which words there are and what they call. Parsing is CLI11's (in the
// cli*.cc files alone); what a command does stands in its own file.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace lb::client {

/// Runs lbctl with these arguments (without the program's name) and returns its exit status
/// (ExitCode).
int run(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err,
        bool colour);

/// Whether stdout is a terminal that takes colours and the user has not said no (NO_COLOR,
/// TERM=dumb).
[[nodiscard]] bool wants_colour();

}  // namespace lb::client
