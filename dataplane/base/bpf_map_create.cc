// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/bpf_map_create.h"

#include <bpf/bpf.h>

#include <cerrno>

#include "dataplane/base/assert.h"

namespace lb {

Result<BpfOwnedMap> BpfOwnedMap::inner_array(const std::string& name, std::uint32_t value_bytes,
                                             std::uint32_t entries) {
  LB_ASSERT(value_bytes % 8 == 0 && entries > 0);
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_INNER_MAP | BPF_F_MMAPABLE);
  BpfOwnedMap map;
  map.fd_.reset(bpf_map_create(BPF_MAP_TYPE_ARRAY, name.substr(0, BPF_OBJ_NAME_LEN - 1).c_str(),
                               sizeof(std::uint32_t), value_bytes, entries, &options));
  if (!map.fd_) return fail_errno(errno, "making the BPF array " + name);
  map.bytes_ = static_cast<std::size_t>(value_bytes) * entries;
  return map;
}

}  // namespace lb
