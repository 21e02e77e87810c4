// SPDX-License-Identifier: Apache-2.0
#include "observe/kleak/event_json.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

namespace lb::observe {
namespace {

constexpr std::array<std::string_view, 3> kTypes = {"alloc", "free", "reused"};
constexpr std::array<std::string_view, KMEM_KINDS> kKinds = {"slab", "percpu", "vmalloc"};

/// As a JSON string. Bytes that are not ASCII (a process may name itself anything) become '?'.
std::string json_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (c < ' ' || c == '\x7f') {
      quoted += c < 0 || c == '\x7f' ? "?" : fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace

std::string event_json(const kmem_event& event, std::string_view cache,
                       std::span<const std::uint64_t> stack) {
  const kmem_group_key& group = event.block.group;
  std::string frames;
  for (const std::uint64_t address : stack) {
    frames += fmt::format("{}\"{:#x}\"", frames.empty() ? "" : ",", address);
  }
  return fmt::format(
      R"({{"event":"{}","ns":{},"kind":"{}","cache":{},"address":"{:#x}","bytes":{},"gfp":"{:#x}",)"
      R"("thread":{},"comm":{},"allocated_by":{},"allocated_ns":{},"cgroup":{},"stack":[{}]}})",
      kTypes.at(event.type % kTypes.size()), event.now_ns, kKinds.at(group.kind % kKinds.size()),
      json_string(cache), event.address, group.bytes, event.block.gfp, event.tid,
      json_string({event.comm, strnlen(event.comm, sizeof event.comm)}), group.tgid,
      event.block.time_ns, event.block.cgroup, frames);
}

}  // namespace lb::observe
