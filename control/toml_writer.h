// SPDX-License-Identifier: Apache-2.0
// The running state as TOML that Config::parse accepts: `lbctl save`, GET /v1/config. Keys at their
// default are left out. Any thread.
#pragma once

#include <string>
#include <vector>

#include "control/config.h"
#include "control/registry.h"

namespace lb {

/// `loaded` gives [control], [dataplane] and [[port]]; the services come from the registry. A
/// draining RS is written with weight 0.
[[nodiscard]] Config running_config(const Config& loaded, const Registry& registry);
[[nodiscard]] std::string to_toml(const Config& config);

/// A key of [control] or [dataplane] and its value as TOML writes it.
struct TomlRow {
  std::string table, key, value;
  friend bool operator==(const TomlRow&, const TomlRow&) = default;
};
/// All keys of [control] and [dataplane], those at their default too.
[[nodiscard]] std::vector<TomlRow> daemon_rows(const Config& config);

/// `text` as a TOML basic string, in quotes.
[[nodiscard]] std::string toml_string(std::string_view text);

}  // namespace lb
