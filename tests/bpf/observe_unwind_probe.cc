// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/observe_unwind_probe.h"

#include <bpf/test_unwind.skel.h>

namespace lb::observe {

std::span<const std::byte> test_unwind_object() {
  std::size_t bytes = 0;
  const void* elf = test_unwind__elf_bytes(&bytes);
  return {static_cast<const std::byte*>(elf), bytes};
}

}  // namespace lb::observe
