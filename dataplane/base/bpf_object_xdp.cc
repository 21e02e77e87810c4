// SPDX-License-Identifier: Apache-2.0
// The XDP half of bpf_object.h: attach by link, find out who is attached, take others off.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>

#include <cerrno>
#include <cstring>

#include "dataplane/base/bpf_object.h"

namespace lb {
namespace {

std::unexpected<Error> xdp_fail(BpfError code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

/// The link through which program `id` is attached to `ifindex`, if it is by a link.
Fd find_xdp_link(int ifindex, std::uint32_t id) {
  __u32 link_id = 0;
  while (bpf_link_get_next_id(link_id, &link_id) == 0) {
    Fd link(bpf_link_get_fd_by_id(link_id));
    if (!link) continue;
    bpf_link_info info{};
    __u32 bytes = sizeof info;
    if (bpf_obj_get_info_by_fd(link.get(), &info, &bytes) != 0) continue;
    if (info.type == BPF_LINK_TYPE_XDP && info.prog_id == id &&
        info.xdp.ifindex == static_cast<__u32>(ifindex)) {
      return link;
    }
  }
  return {};
}

}  // namespace

Result<BpfLink> BpfObject::attach_xdp(const std::string& name, int ifindex,
                                      XdpAttachMode mode) const {
  LB_TRY_ASSIGN(int fd, program_fd(name));
  LIBBPF_OPTS(bpf_link_create_opts, options,
              .flags = mode == XdpAttachMode::Native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
  BpfLink link;
  link.fd_.reset(bpf_link_create(fd, ifindex, BPF_XDP, &options));
  if (link.fd_) return link;
  int error = errno;
  const char* mode_name = mode == XdpAttachMode::Native ? "native" : "generic";
  auto message = fmt::format("{} XDP does not attach: {}", mode_name, std::strerror(error));
  switch (error) {
    case EBUSY:
    case EEXIST:
      return xdp_fail(BpfError::Occupied, message);
    case EPERM:
      return xdp_fail(BpfError::NoPermission, message + "; CAP_NET_ADMIN and CAP_BPF are needed");
    case EOPNOTSUPP:
    case EINVAL:
    case ERANGE:
      return xdp_fail(BpfError::Unsupported, message);
    default:
      return xdp_fail(BpfError::Failed, message);
  }
}

Result<std::optional<XdpAttachment>> query_xdp(int ifindex) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  if (int error = bpf_xdp_query(ifindex, 0, &query); error != 0) {
    return fail_errno(-error, "XDP query");
  }
  __u32 id = query.prog_id != 0       ? query.prog_id
             : query.drv_prog_id != 0 ? query.drv_prog_id
             : query.hw_prog_id != 0  ? query.hw_prog_id
                                      : query.skb_prog_id;
  if (id == 0) return std::nullopt;
  XdpAttachment attachment;
  attachment.id = id;
  attachment.generic = id == query.skb_prog_id;
  attachment.by_link = static_cast<bool>(find_xdp_link(ifindex, id));
  Fd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  __u32 bytes = sizeof info;
  if (program && bpf_obj_get_info_by_fd(program.get(), &info, &bytes) == 0) {
    attachment.name = info.name;
  }
  return attachment;
}

Status detach_xdp(int ifindex) {
  LB_TRY_ASSIGN(auto attached, query_xdp(ifindex));
  if (!attached) return {};
  if (Fd link = find_xdp_link(ifindex, attached->id); link) {
    if (bpf_link_detach(link.get()) != 0) return fail_errno(errno, "detach the XDP link");
    return {};
  }
  __u32 flags = attached->generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
  if (int error = bpf_xdp_detach(ifindex, flags, nullptr); error != 0) {
    return fail_errno(-error, "detach the XDP program");
  }
  return {};
}

Result<TakenXdp> TakenXdp::take(int ifindex) {
  TakenXdp taken;
  LB_TRY_ASSIGN(auto attached, query_xdp(ifindex));
  if (!attached) return taken;
  // The descriptor keeps the program alive.
  Fd program(bpf_prog_get_fd_by_id(attached->id));
  if (!program) return fail_errno(errno, fmt::format("XDP program {}", attached->id));
  LB_TRY(detach_xdp(ifindex));
  taken.program_ = std::move(program);
  taken.ifindex_ = ifindex;
  taken.generic_ = attached->generic;
  return taken;
}

Status TakenXdp::put_back() {
  Fd program = std::move(program_);
  if (!program) return {};
  __u32 flags = XDP_FLAGS_UPDATE_IF_NOEXIST | (generic_ ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
  if (int error = bpf_xdp_attach(ifindex_, program.get(), flags, nullptr); error != 0) {
    return fail_errno(-error, "attach the XDP program again");
  }
  return {};
}

}  // namespace lb
