// SPDX-License-Identifier: Apache-2.0
// HashKeys: the secrets by which an instance spreads flows. Plain values, any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "bpf/lb_abi.h"
#include "dataplane/base/addr.h"

namespace lb {

/// The secrets of an instance, kept in the state file so that a restart picks the same real
/// servers.
struct HashKeys {
  lb_hash_key flow{};     ///< of the flow hash; of which kind it is, the config says
  lb_hash_key service{};  ///< of the Maglev arrays, and what the services' keys are derived from
  [[nodiscard]] static HashKeys random();
  /// Secret of a service's slots: the same after it was deleted and added again.
  [[nodiscard]] std::uint64_t of_service(const ServiceAddr& address) const;
};

/// "multiply-mix" or "siphash".
[[nodiscard]] std::string_view name_of(lb_hash_kind hash);

/// A keyed hash of an address; 64 bits that nobody without the key can steer.
[[nodiscard]] std::uint64_t hash_address(const IpAddr& address, std::uint64_t salt,
                                         const lb_hash_key& key);

}  // namespace lb
