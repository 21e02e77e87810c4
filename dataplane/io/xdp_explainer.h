// SPDX-License-Identifier: Apache-2.0
// XdpExplainer: bpf/lb_explain.bpf.c, which decides as the XDP program of a port does, by the same
// maps, settings and sockets, and tells why. It is never attached; no packet leaves. Control's
// thread.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/base/bpf_object.h"
#include "dataplane/explain.h"
#include "dataplane/io/bpf_map.h"
#include "dataplane/io/fast_path.h"
#include "dataplane/io/xdp_program.h"

namespace lb {

class XdpExplainer {
 public:
  /// For the port whose program is `port`. Takes about as long as a start does. Errors: BpfError.
  [[nodiscard]] static Result<XdpExplainer> load(const FastPath& shared, const XdpProgram& port);

  /// All of Explanation but `worker`, for a frame that arrives on RX queue `queue` of an interface.
  /// Errors: what BPF_PROG_TEST_RUN says (ENODEV: the interface is gone; EINVAL: no such queue).
  [[nodiscard]] Result<Explanation> run(std::span<const std::uint8_t> frame, int ifindex,
                                        std::uint32_t queue);
  [[nodiscard]] const BpfObject& object() const noexcept { return program_.object(); }

 private:
  explicit XdpExplainer(XdpProgram program) : program_(std::move(program)) {}
  XdpProgram program_;
  BpfMap trace_;
};

}  // namespace lb
