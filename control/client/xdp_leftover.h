// SPDX-License-Identifier: Apache-2.0
// The XDP program of a dead lbd: is one on this interface, and off with it. One of the few files
// that know libbpf; lbctl's reset calls it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dataplane/base/result.h"

namespace lb::client {

struct AttachedXdp {
  std::uint32_t program_id = 0;
  std::string name;
  bool ours = false;  ///< named lb_xdp
};

/// The XDP program on an interface, whatever its mode. Errors: the kernel does not tell (EPERM).
[[nodiscard]] Result<std::optional<AttachedXdp>> attached_xdp(int ifindex);

/// Takes program `program_id` off; EBUSY when a BPF link holds it, which only the owner of the link
/// can end.
[[nodiscard]] Status detach_xdp(int ifindex, std::uint32_t program_id);

}  // namespace lb::client
