// SPDX-License-Identifier: Apache-2.0
// `lbctl observe ...`: the tracers of observe/ behind the command line. Needs no lbd, but for
// --lbd, which asks the API socket whose it is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/client/session.h"
#include "observe/frame/options.h"

namespace lb::client {

/// The options of every tracer as they were written; times and sizes are not read yet.
struct ObserveOptions {
  observe::CommonOptions common;
  bool lbd = false;
  std::string interval, duration, mark, budget;
};

struct ObserveSelfOptions : ObserveOptions {
  bool all = false;
};

struct ObservePagesOptions : ObserveOptions {
  bool hidden = false;
  std::string older;
  std::uint32_t rows_max = 16384;
  std::uint32_t stacks_max = 8192;
};

struct ObserveLeakOptions : ObserveOptions {
  bool kernel = false;
  std::string tier = "probes";  ///< or "pages"
  bool show_allocs = false;
  bool trace = false;
  std::string min_size, max_size, older, suppressions;
  std::string sample;  ///< empty: all, or 512K with a budget
  std::uint64_t seed = 0;
  std::vector<std::string> alloc;   ///< processes alone
  std::vector<std::string> caches;  ///< the kernel alone
  std::uint32_t blocks_max = 512 * 1024;
  std::uint32_t stacks_max = 16 * 1024;
};

ExitCode observe_self(Session& session, const ObserveSelfOptions& options);
ExitCode observe_pages(Session& session, const ObservePagesOptions& options);
/// Of processes, or with `kernel` of the kernel.
ExitCode observe_leak(Session& session, const ObserveLeakOptions& options);

}  // namespace lb::client
