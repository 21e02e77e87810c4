// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/bpf_map.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sys/mman.h>

#include <cerrno>

#include "dataplane/base/bpf_object.h"

namespace lb {
namespace {

std::unexpected<Error> map_failed(const BpfMapSpec& spec, const char* what, int error) {
  BpfError code = BpfError::Failed;
  std::string hint;
  if (error == EPERM) {
    code = BpfError::NoPermission;
    hint = "; CAP_BPF and CAP_NET_ADMIN are needed";
  } else if (error == ENOMEM || error == E2BIG) {
    code = BpfError::NoMemory;
    hint = fmt::format(
        "; it takes {} x {} bytes: lower flows_max, flows_max_v6, services_max or "
        "rs_max, or raise the memory limit",
        spec.entries, spec.value_bytes);
  }
  return std::unexpected(Error{code, fmt::format("BPF map {}: {}: {}{}", spec.name, what,
                                                 std::generic_category().message(error), hint)});
}

std::size_t memory_bytes(const BpfMapSpec& spec) {
  const std::size_t value = (std::size_t{spec.value_bytes} + 7) / 8 * 8;
  constexpr std::size_t kPage = 4096;
  return (value * spec.entries + kPage - 1) / kPage * kPage;
}

}  // namespace

BpfMap::~BpfMap() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

std::uint32_t BpfMap::id() const noexcept {
  bpf_map_info info{};
  __u32 bytes = sizeof info;
  return bpf_obj_get_info_by_fd(fd_.get(), &info, &bytes) == 0 ? info.id : 0;
}

Result<BpfMap> BpfMap::create(const BpfMapSpec& spec) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = spec.flags);
  if (spec.inner_fd >= 0) options.inner_map_fd = static_cast<__u32>(spec.inner_fd);
  Fd fd(bpf_map_create(static_cast<bpf_map_type>(spec.type), spec.name.c_str(), spec.key_bytes,
                       spec.value_bytes, spec.entries, &options));
  if (!fd) return map_failed(spec, "create", errno);
  BpfMap map;
  map.fd_ = std::move(fd);
  LB_TRY(map.map_memory(spec));
  return map;
}

Result<BpfMap> BpfMap::over(Fd fd, const BpfMapSpec& spec) {
  bpf_map_info info{};
  __u32 bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) != 0) {
    return fail(EINVAL, fmt::format("{}: no BPF map", spec.name));
  }
  if (info.type != spec.type || info.key_size != spec.key_bytes ||
      info.value_size != spec.value_bytes || info.max_entries != spec.entries ||
      (info.map_flags & BPF_F_MMAPABLE) != (spec.flags & BPF_F_MMAPABLE)) {
    return fail(EINVAL, fmt::format("{}: a map of type {} with {} values of {} bytes, not of type "
                                    "{} with {} of {}",
                                    spec.name, info.type, info.max_entries, info.value_size,
                                    spec.type, spec.entries, spec.value_bytes));
  }
  BpfMap map;
  map.fd_ = std::move(fd);
  LB_TRY(map.map_memory(spec));
  return map;
}

Status BpfMap::map_memory(const BpfMapSpec& spec) {
  if ((spec.flags & BPF_F_MMAPABLE) == 0) return {};
  const std::size_t bytes = memory_bytes(spec);
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) return map_failed(spec, "map its memory", errno);
  memory_ = static_cast<std::byte*>(at);
  bytes_ = bytes;
  return {};
}

}  // namespace lb
