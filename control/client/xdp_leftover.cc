// SPDX-License-Identifier: Apache-2.0
#include "control/client/xdp_leftover.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>

#include "dataplane/base/fd.h"

namespace lb::client {

Result<std::optional<AttachedXdp>> attached_xdp(int ifindex) {
  bpf_xdp_query_opts options{};
  options.sz = sizeof(options);
  if (int error = bpf_xdp_query(ifindex, 0, &options); error != 0) {
    return fail_errno(-error,
                      fmt::format("cannot ask for the XDP program of interface {}", ifindex));
  }
  AttachedXdp attached;
  for (auto id : {options.prog_id, options.drv_prog_id, options.skb_prog_id, options.hw_prog_id}) {
    if (attached.program_id == 0) attached.program_id = id;
  }
  if (attached.program_id == 0) return std::nullopt;
  Fd program(bpf_prog_get_fd_by_id(attached.program_id));
  if (!program) {
    return fail_errno(
        errno, fmt::format("cannot look at XDP program {} (this needs root)", attached.program_id));
  }
  bpf_prog_info info{};
  std::uint32_t length = sizeof(info);
  if (bpf_obj_get_info_by_fd(program.get(), &info, &length) != 0) {
    return fail_errno(errno, fmt::format("cannot look at XDP program {}", attached.program_id));
  }
  attached.name = info.name;
  attached.ours = attached.name == "lb_xdp";
  return attached;
}

Status detach_xdp(int ifindex, std::uint32_t program_id) {
  Fd program(bpf_prog_get_fd_by_id(program_id));
  if (!program) return fail_errno(errno, fmt::format("cannot open XDP program {}", program_id));
  bpf_xdp_attach_opts options{};
  options.sz = sizeof(options);
  options.old_prog_fd = program.get();  // not the program of somebody who came in between
  int error = 0;
  for (std::uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
    error = bpf_xdp_detach(ifindex, mode | XDP_FLAGS_REPLACE, &options);
    if (error == 0) return {};
  }
  return fail_errno(-error, fmt::format("cannot take XDP program {} off", program_id));
}

}  // namespace lb::client
