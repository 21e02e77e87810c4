// SPDX-License-Identifier: Apache-2.0
// FlowKey4, FlowKey6: what names a flow, as seen from the client towards the VIP. Plain values
// without holes.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "bpf/lb_abi.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/byte_order.h"

namespace lb {

/// Client and VIP port in packet order; for ICMP and other protocols without ports both are zero.
struct FlowKey4 {
  Be32 client;
  Be32 vip;
  Be16 client_port;
  Be16 vip_port;
  std::uint8_t proto = 0;
  std::uint8_t zero[3] = {};
  friend bool operator==(const FlowKey4& a, const FlowKey4& b) noexcept {
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
};
static_assert(sizeof(FlowKey4) == 16);

struct FlowKey6 {
  std::uint64_t client[2] = {};  // packet byte order
  std::uint64_t vip[2] = {};
  Be16 client_port;
  Be16 vip_port;
  std::uint8_t proto = 0;
  std::uint8_t zero[3] = {};
  friend bool operator==(const FlowKey6& a, const FlowKey6& b) noexcept {
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
};
static_assert(sizeof(FlowKey6) == 40);

[[nodiscard]] inline std::uint32_t ports_raw(Be16 client, Be16 vip) noexcept {
  return client.raw() | static_cast<std::uint32_t>(vip.raw()) << 16;
}
[[nodiscard]] inline std::uint64_t flow_hash(const FlowKey4& key,
                                             const lb_hash_key& secret) noexcept {
  return lb_hash_flow4(key.client.raw(), key.vip.raw(), ports_raw(key.client_port, key.vip_port),
                       key.proto, &secret);
}
[[nodiscard]] inline std::uint64_t flow_hash(const FlowKey6& key,
                                             const lb_hash_key& secret) noexcept {
  return lb_hash_flow6(reinterpret_cast<const __u64*>(key.client),
                       reinterpret_cast<const __u64*>(key.vip),
                       ports_raw(key.client_port, key.vip_port), key.proto, &secret);
}

/// Hash of the client's address alone (source hash), and of the VIP alone (destination hash).
[[nodiscard]] inline std::uint64_t client_hash(const FlowKey4& key,
                                               const lb_hash_key& secret) noexcept {
  return lb_hash_flow4(key.client.raw(), 0, 0, 0, &secret);
}
[[nodiscard]] inline std::uint64_t vip_hash(const FlowKey4& key,
                                            const lb_hash_key& secret) noexcept {
  return lb_hash_flow4(0, key.vip.raw(), 0, 0, &secret);
}
[[nodiscard]] inline std::uint64_t client_hash(const FlowKey6& key,
                                               const lb_hash_key& secret) noexcept {
  const __u64 none[2] = {};
  return lb_hash_flow6(reinterpret_cast<const __u64*>(key.client), none, 0, 0, &secret);
}
[[nodiscard]] inline std::uint64_t vip_hash(const FlowKey6& key,
                                            const lb_hash_key& secret) noexcept {
  const __u64 none[2] = {};
  return lb_hash_flow6(none, reinterpret_cast<const __u64*>(key.vip), 0, 0, &secret);
}

}  // namespace lb
