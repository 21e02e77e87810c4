// SPDX-License-Identifier: Apache-2.0
// The API as a client may misuse it: a sequence of requests, one a line pair, over a FakeDataplane.
// Line 1: METHOD TARGET; line 2: body. Nothing may crash, every answer has a status, and the
// published table follows the registry.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "control/api_router.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/log.h"
#include "tests/support/control_world.h"

namespace {
constexpr int kRequestsMax = 16;

std::string_view take_line(std::string_view& text) {
  std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lb::log_init("error");
  lb::ControlWorld world;
  LB_ASSERT(world.controller.start().has_value());
  lb::ApiRouter router(world.controller);
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (int i = 0; i < kRequestsMax && !text.empty(); ++i) {
    std::string_view line = take_line(text);
    std::size_t space = line.find(' ');
    lb::ApiRequest request;
    request.method = std::string(line.substr(0, space));
    if (space != std::string_view::npos) request.target = std::string(line.substr(space + 1));
    request.body = std::string(take_line(text));
    lb::ApiResponse answer = router.handle(request);
    LB_ASSERT(answer.status >= 200 && answer.status < 600);
    // A reload reads a file that is not there; nothing else touches the environment.
    LB_ASSERT(answer.status != 500 || request.target.starts_with("/v1/reload"));
    LB_ASSERT(world.dataplane.table->services().size() ==
              world.controller.registry().services().size());
    world.now_ms += 400;
    world.controller.tick();
  }
  return 0;
}
