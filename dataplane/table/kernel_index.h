// SPDX-License-Identifier: Apache-2.0
// KernelIndex: the XDP program's index of services (bpf/lb_abi.h), built from a ServiceTable into
// memory. Pure; control's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/result.h"
#include "dataplane/table/service_table.h"

namespace lb {

/// Sizes of an index; all powers of two.
struct IndexRoom {
  std::uint32_t slots = 0;
  std::uint32_t ranges = 0;
  std::uint32_t ids = 0;
  /// Room for `services_max` services, each with a VIP and a group of ranges of its own, and for
  /// the places of `rs_max` real servers and as many that have left.
  [[nodiscard]] static IndexRoom for_services(std::uint32_t services_max,
                                              std::uint32_t rs_max) noexcept;
  [[nodiscard]] constexpr std::size_t bytes() const noexcept {
    return LB_IDS_OFFSET(slots, ranges) + ids * sizeof(std::uint32_t);
  }
};

/// An index as bytes: room.bytes() of them. `table_refs`: by index into table.services(), what
/// lb_index_slot::table holds. A service whose members do not fit any more gets LB_TABLE_NONE: then
/// workers decide for it. The generation in its head is 0: two tables that differ in nothing the
/// index tells give the same bytes. Errors: E2BIG when the keys do not fit, with what to do.
[[nodiscard]] Result<std::vector<std::byte>> build_kernel_index(
    const ServiceTable& table, std::span<const std::uint32_t> table_refs, const IndexRoom& room);

/// A service as far as an index tells, without its table: its scheduler is one that remembers and
/// hashes alike.
struct IndexedService {
  Service service;
  std::uint32_t table_ref = LB_TABLE_NONE;
};
/// The services of an index that another lbd has built; nothing of it is trusted. `bytes`:
/// room.bytes() of them. Errors: EINVAL, with what cannot be.
[[nodiscard]] Result<std::vector<IndexedService>> read_kernel_index(
    std::span<const std::byte> bytes, const IndexRoom& room);

}  // namespace lb
