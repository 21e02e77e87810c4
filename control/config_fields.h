// SPDX-License-Identifier: Apache-2.0
// The numbers of [dataplane] as tables, for the parser and the writer of lbd.toml. Internal to
// these two.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "control/config.h"

namespace lb {

enum class NumberKind : std::uint8_t {
  Plain,             ///< any integer in the range
  PowerOfTwo,        ///< a power of two in the range
  AutoOrPowerOfTwo,  ///< 0, or a power of two in the range
  AutoOrPlain,       ///< 0, or an integer in the range
  Duration,          ///< milliseconds, written "2s"
};

template <class Owner>
struct NumberField {
  std::string_view key;
  std::uint32_t Owner::* member;
  std::uint32_t min, max;
  NumberKind kind = NumberKind::Plain;
};

inline constexpr std::array<NumberField<DataplaneConfig>, 14> kDataplaneNumbers{{
    {"busy_poll_us", &DataplaneConfig::busy_poll_us, 0, 10'000},
    {"frame_bytes", &DataplaneConfig::frame_bytes, 2048, 4096, NumberKind::PowerOfTwo},
    {"rx_ring", &DataplaneConfig::rx_ring, 64, 32768, NumberKind::AutoOrPowerOfTwo},
    {"tx_ring", &DataplaneConfig::tx_ring, 64, 32768, NumberKind::AutoOrPowerOfTwo},
    {"fill_ring", &DataplaneConfig::fill_ring, 64, 32768, NumberKind::AutoOrPowerOfTwo},
    {"completion_ring", &DataplaneConfig::completion_ring, 64, 32768, NumberKind::AutoOrPowerOfTwo},
    {"frames", &DataplaneConfig::frames, 256, 4'194'304, NumberKind::AutoOrPlain},
    {"batch", &DataplaneConfig::batch, 1, kBatchMax},
    {"spin_us", &DataplaneConfig::spin_us, 0, 1'000'000},
    {"worker_stale", &DataplaneConfig::worker_stale_ms, 100, 60'000, NumberKind::Duration},
    {"services_max", &DataplaneConfig::services_max, 1, kServicesLimit},
    {"rs_max", &DataplaneConfig::rs_max, 1, kRsLimit},
    {"acl_max", &DataplaneConfig::acl_max, 1, LB_ACL_ENTRIES_MAX},
    {"mh_slots_max", &DataplaneConfig::mh_slots_max, 2, 0xffffffff, NumberKind::AutoOrPlain},
}};

inline constexpr std::array<NumberField<PipelineOptions>, 7> kPathNumbers{{
    {"flows_max", &PipelineOptions::flows_max, 1024, 1U << 28},
    {"flows_max_v6", &PipelineOptions::flows_max_v6, 1024, 1U << 28},
    {"half_open_max", &PipelineOptions::half_open_max, 1024, 1U << 24},
    {"fragments_max", &PipelineOptions::fragments_max, 64, 1U << 20},
    {"fragments_held_max", &PipelineOptions::held_max, 0, kBatchMax},
    {"fragment_timeout", &PipelineOptions::fragment_timeout_ms, 100, 60'000, NumberKind::Duration},
    {"icmp_rate", &PipelineOptions::icmp_rate, 0, 1'000'000},
}};

inline constexpr std::array<std::string_view, 4> kLogLevels{"debug", "info", "warn", "error"};

}  // namespace lb
