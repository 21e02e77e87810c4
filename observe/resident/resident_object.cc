// SPDX-License-Identifier: Apache-2.0
#include "observe/resident/resident_object.h"

#include "bpf/observe_target.h"

// Behind the layout of its constants.
#include <bpf/observe_resident.skel.h>

namespace lb::observe {

std::span<const std::byte> resident_object() {
  std::size_t bytes = 0;
  const void* elf = observe_resident__elf_bytes(&bytes);
  return {static_cast<const std::byte*>(elf), bytes};
}

}  // namespace lb::observe
