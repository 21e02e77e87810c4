// SPDX-License-Identifier: Apache-2.0
// add-acl, del-acl, show acl.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/client/session.h"

namespace lb::client {

struct AclOptions {
  std::string service;
  std::vector<std::string> prefixes;
  std::optional<std::string> file;  ///< more of them, one a line; "-": standard input
  bool deny = false, allow = false;
  std::optional<std::uint64_t> limit, burst;
  bool all = false;  ///< del-acl: every entry
};

struct AclFilter {
  std::optional<std::string> service, match;
  std::uint64_t limit = 1000;
};

/// The prefixes of a list: one a line, blank lines and what follows a # left out. Errors: EINVAL
/// with the first line that is none.
[[nodiscard]] Result<std::vector<std::string>> read_prefix_list(std::string_view text);

/// A long list goes in several requests, so that lbd is never busy with it for long; 3 when a later
/// one was refused.
ExitCode add_acl(Session& session, const AclOptions& options);
ExitCode del_acl(Session& session, const AclOptions& options);
ExitCode show_acl(Session& session, const AclFilter& filter);

}  // namespace lb::client
