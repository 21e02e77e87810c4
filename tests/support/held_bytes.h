// SPDX-License-Identifier: Apache-2.0
// What a tracer's maps and programs take of the kernel's memory, as the kernel accounts it.
#pragma once

#include "dataplane/base/bpf_object.h"
#include "observe/tracer.h"

namespace lb::test {

[[nodiscard]] inline double held_bytes(const observe::Tracer& tracer) {
  double bytes = 0;
  for (const BpfObject* object : tracer.objects()) {
    for (const BpfHeld& held : object->held()) bytes += static_cast<double>(held.memory_bytes);
  }
  return bytes;
}

}  // namespace lb::test
