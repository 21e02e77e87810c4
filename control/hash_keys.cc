// SPDX-License-Identifier: Apache-2.0
#include "control/hash_keys.h"

#include <sys/random.h>

#include <cstring>

#include "dataplane/base/assert.h"
#include "dataplane/base/ids.h"

namespace lb {

HashKeys HashKeys::random() {
  std::uint64_t words[4];
  // Up to 256 bytes getrandom() is neither short nor interrupted once the kernel's pool is ready.
  LB_ASSERT(getrandom(words, sizeof words, 0) == static_cast<ssize_t>(sizeof words));
  return {.flow = {words[0], words[1]}, .service = {words[2], words[3]}};
}

std::string_view name_of(lb_hash_kind hash) {
  return hash == LB_HASH_SIPHASH ? "siphash" : "multiply-mix";
}

std::uint64_t HashKeys::of_service(const ServiceAddr& address) const {
  std::uint64_t ports = static_cast<std::uint64_t>(address.port_first) << 32 |
                        static_cast<std::uint64_t>(address.port_last) << 16 | raw(address.proto);
  return hash_address(address.vip, ports << 8, service);
}

std::uint64_t hash_address(const IpAddr& address, std::uint64_t salt, const lb_hash_key& key) {
  std::uint64_t words[2];
  std::memcpy(words, address.data(), sizeof words);
  std::uint64_t h = lb_hash_word(words[0], key.k0) + lb_hash_word(words[1], key.k1);
  h += raw(address.family());
  return lb_mix64(h ^ lb_mix64(key.k1 ^ salt));
}

}  // namespace lb
