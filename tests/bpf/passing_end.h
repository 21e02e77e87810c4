// SPDX-License-Identifier: Apache-2.0
// PassingEnd: what a veth needs at its other end to take what XDP sends, for as long as it lives.
#pragma once

#include <net/if.h>

#include <optional>
#include <utility>

#include "bpf/bench_fwd.skel.h"
#include "dataplane/base/bpf_object.h"

namespace lb {

class PassingEnd {
 public:
  explicit PassingEnd(const char* interface) {
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
  [[nodiscard]] bool attached() const { return static_cast<bool>(link_); }

 private:
  std::optional<BpfObject> object_;
  BpfLink link_;
};

}  // namespace lb
