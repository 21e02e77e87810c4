// SPDX-License-Identifier: Apache-2.0
// What the load tools need of XDP and of interfaces: attach a program, find an index, pin a thread.
// Tools only; the daemon has its own loader (BpfObject).
#pragma once

#include <bpf/libbpf.h>

#include <memory>
#include <string>

#include "dataplane/base/result.h"

namespace lb::bench {

struct LinkDeleter {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
/// An attached program; detached when this goes, and by the kernel when the process is killed.
using XdpLink = std::unique_ptr<bpf_link, LinkDeleter>;

/// Index of `interface` in this network namespace.
[[nodiscard]] Result<int> interface_index(const std::string& interface);

/// Attaches in the mode that the driver offers (native on veth).
[[nodiscard]] Result<XdpLink> attach_xdp(bpf_program* program, const std::string& interface);

/// Binds the calling thread to `cpu`; a negative number leaves it where it is.
[[nodiscard]] Status pin_this_thread(int cpu);

/// Nanoseconds of CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns().
[[nodiscard]] unsigned long long monotonic_ns();

/// Keeps libbpf from printing anything but warnings.
void quiet_libbpf();

}  // namespace lb::bench
