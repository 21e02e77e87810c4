// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/passing_end.h"

#include <net/if.h>

#include <utility>

#include "bpf/bench_fwd.skel.h"

namespace lb {

PassingEnd::PassingEnd(const char* interface) {
  std::size_t bytes = 0;
  const void* elf = bench_fwd__elf_bytes(&bytes);
  auto object = BpfObject::load({.name = "bench_fwd",
                                 .elf = {static_cast<const std::byte*>(elf), bytes},
                                 .constants = {},
                                 .shared_maps = {},
                                 .alternatives = {}});
  if (!object) return;
  auto link = object->attach_xdp("bench_pass", static_cast<int>(if_nametoindex(interface)),
                                 XdpAttachMode::Native);
  if (!link) return;
  object_.emplace(std::move(*object));
  link_ = std::move(*link);
}

}  // namespace lb
