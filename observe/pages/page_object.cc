// SPDX-License-Identifier: Apache-2.0
#include "observe/pages/page_object.h"

#include <bpf/observe_pages.skel.h>

namespace lb::observe {

std::span<const std::byte> pages_object() {
  std::size_t bytes = 0;
  const void* elf = observe_pages__elf_bytes(&bytes);
  return {static_cast<const std::byte*>(elf), bytes};
}

}  // namespace lb::observe
