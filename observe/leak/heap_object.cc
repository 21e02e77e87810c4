// SPDX-License-Identifier: Apache-2.0
#include "observe/leak/heap_object.h"

#include <bpf/observe_heap.skel.h>

namespace lb::observe {

std::span<const std::byte> heap_object() {
  std::size_t bytes = 0;
  const void* elf = observe_heap__elf_bytes(&bytes);
  return {static_cast<const std::byte*>(elf), bytes};
}

}  // namespace lb::observe
