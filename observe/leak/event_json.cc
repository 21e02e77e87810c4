// SPDX-License-Identifier: Apache-2.0
#include "observe/leak/event_json.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstring>

#include "observe/output/text_safe.h"
#include "observe/plan/roles.h"

namespace lb::observe {

std::string event_json(const observe_heap_event& event) {
  const std::string_view comm(event.comm, strnlen(event.comm, sizeof event.comm));
  return boost::json::serialize(
      boost::json::object{{"event", event.kind == OBSERVE_HEAP_ALLOCATED ? "alloc" : "free"},
                          {"time_ns", event.time_ns},
                          {"pid", event.tgid},
                          {"tid", event.tid},
                          {"comm", valid_utf8(comm)},
                          {"function", std::string(use_of(static_cast<Role>(event.role)).name)},
                          {"address", fmt::format("{:#x}", event.address)},
                          {"bytes", event.bytes},
                          {"stack", fmt::format("{:016x}", event.stack)}});
}

}  // namespace lb::observe
