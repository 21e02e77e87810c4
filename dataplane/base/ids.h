// SPDX-License-Identifier: Apache-2.0
// Ids as enum classes: an RS id cannot be passed where a service id is meant.
#pragma once

#include <cstdint>
#include <utility>

namespace lb {

/// A service for as long as lbd runs; never reused by a run of lbd. 0 is none.
enum class ServiceId : std::uint32_t { None = 0 };
/// A real server of one service (the same address in two services has two ids); never reused by a
/// run. 0 is none.
enum class RsId : std::uint32_t { None = 0 };
/// Index of an attached port in the order of the config: 0 .. ports-1.
enum class PortIndex : std::uint8_t {};
/// Index of a worker = index of the RX queue that it owns on every port.
enum class WorkerIndex : std::uint16_t {};
/// Number of a published ServiceTable; grows by one with each publication. 0 is none.
enum class Generation : std::uint64_t { None = 0 };

/// The number inside a strong id.
template <class E>
[[nodiscard]] constexpr auto raw(E id) noexcept {
  return std::to_underlying(id);
}

}  // namespace lb
