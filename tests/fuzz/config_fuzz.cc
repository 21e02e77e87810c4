// SPDX-License-Identifier: Apache-2.0
// Config::parse on any bytes. What it takes must survive the writer and a second parse, and be
// taken whole by a registry.
#include <cstdlib>
#include <string>
#include <string_view>

#include "control/registry.h"
#include "control/toml_writer.h"
#include "dataplane/base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lb;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto config = Config::parse(text, "fuzz.toml");
  if (!config) {
    LB_ASSERT(!config.error().message.empty());
    return 0;
  }
  auto again = Config::parse(to_toml(*config), "again.toml");
  LB_ASSERT(again.has_value());
  LB_ASSERT(daemon_rows(*again) == daemon_rows(*config));
  LB_ASSERT(again->services == config->services);
  Registry registry(limits_of(*config));
  LB_ASSERT(registry.load(config->services, 0).has_value());
  LB_ASSERT(registry.overlay() == Overlay{});
  return 0;
}
