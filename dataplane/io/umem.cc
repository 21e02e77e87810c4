// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/umem.h"

#include <fmt/format.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <utility>

namespace lb {

Result<Umem> Umem::map(std::size_t bytes, bool want_hugepages) {
  auto memory = MappedMemory::create(bytes, want_hugepages);
  if (!memory) return fail_in("packet frames", std::move(memory).error());
  return Umem(std::move(*memory));
}

Status Umem::register_with(int socket_fd, std::uint32_t frame_bytes) {
  xdp_umem_reg registration{};
  registration.addr = reinterpret_cast<std::uintptr_t>(data());
  registration.len = bytes();
  registration.chunk_size = frame_bytes;
  if (setsockopt(socket_fd, SOL_XDP, XDP_UMEM_REG, &registration, sizeof registration) == 0) {
    socket_fd_ = socket_fd;
    return {};
  }
  if (errno == ENOBUFS || errno == ENOMEM) {
    return fail(errno, fmt::format("{} bytes of frames are over the memory limit: raise it "
                                   "(ulimit -l, LimitMEMLOCK=) or give CAP_IPC_LOCK",
                                   bytes()));
  }
  return fail_errno(errno, "frames cannot be registered with the kernel");
}

}  // namespace lb
