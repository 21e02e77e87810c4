// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/bpf_types.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <cerrno>
#include <memory>

#include "dataplane/base/bpf_object.h"

namespace lb {
namespace {

struct FreeBtf {
  void operator()(btf* types) const noexcept { btf__free(types); }
};
using Types = std::unique_ptr<btf, FreeBtf>;

Result<Types> kernel_types() {
  Types types(btf__load_vmlinux_btf());
  if (!types) {
    return std::unexpected(
        Error{BpfError::NoBtf, "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"});
  }
  return types;
}

}  // namespace

Result<std::vector<std::pair<std::string, std::int64_t>>> kernel_enum_with(
    const std::string& enumerator) {
  LB_TRY_ASSIGN(Types types, kernel_types());
  const __u32 count = btf__type_cnt(types.get());
  for (__u32 id = 1; id < count; ++id) {
    const btf_type* type = btf__type_by_id(types.get(), id);
    if (!btf_is_enum(type)) continue;
    std::vector<std::pair<std::string, std::int64_t>> all;
    bool found = false;
    const auto* value = ::btf_enum(type);
    for (int i = 0; i < btf_vlen(type); ++i, ++value) {
      all.emplace_back(btf__name_by_offset(types.get(), value->name_off), value->val);
      found = found || all.back().first == enumerator;
    }
    if (found) return all;
  }
  return fail(ENOENT, fmt::format("this kernel has no enum with {}", enumerator));
}

Result<std::uint32_t> kernel_struct_bytes(const std::string& name) {
  LB_TRY_ASSIGN(Types types, kernel_types());
  const int id = btf__find_by_name_kind(types.get(), name.c_str(), BTF_KIND_STRUCT);
  if (id < 0) return fail(ENOENT, fmt::format("this kernel has no struct {}", name));
  return btf__type_by_id(types.get(), static_cast<__u32>(id))->size;
}

bool kernel_has_tracepoint(const std::string& name) {
  return kernel_tracepoint_arguments(name) > 0;
}

std::uint32_t kernel_tracepoint_arguments(const std::string& name) {
  auto types = kernel_types();
  if (!types) return 0;
  const int id =
      btf__find_by_name_kind(types->get(), ("btf_trace_" + name).c_str(), BTF_KIND_TYPEDEF);
  if (id < 0) return 0;
  // A pointer to a function whose first parameter is the tracepoint's own.
  const auto* type = btf__type_by_id(types->get(), static_cast<__u32>(id));
  for (int i = 0; i < 2 && type != nullptr; ++i) type = btf__type_by_id(types->get(), type->type);
  return type != nullptr && btf_is_func_proto(type) && btf_vlen(type) > 0 ? btf_vlen(type) - 1U
                                                                          : 0U;
}

}  // namespace lb
