// SPDX-License-Identifier: Apache-2.0
// What the running kernel's own type information (BTF) says: the values of an enum, the size of a
// struct. For tracers that show the kernel's flags by name, whatever its version. Reads
// /sys/kernel/btf/vmlinux once a call, some milliseconds.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/result.h"

namespace lb {

/// All enumerators of the first enum that has one of this name, in its order. Errors: NoBtf
/// (BpfError), ENOENT when no enum has it.
[[nodiscard]] Result<std::vector<std::pair<std::string, std::int64_t>>> kernel_enum_with(
    const std::string& enumerator);

/// Bytes of `struct NAME`. Errors: NoBtf, ENOENT.
[[nodiscard]] Result<std::uint32_t> kernel_struct_bytes(const std::string& name);

/// Whether the kernel has this tracepoint, by its type btf_trace_NAME. False without BTF.
[[nodiscard]] bool kernel_has_tracepoint(const std::string& name);

/// How many arguments it gives; 0: the kernel has it not, or no BTF.
[[nodiscard]] std::uint32_t kernel_tracepoint_arguments(const std::string& name);

}  // namespace lb
