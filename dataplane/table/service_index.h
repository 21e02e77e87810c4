// SPDX-License-Identifier: Apache-2.0
// ServiceIndex: the flat hash behind ServiceTable's lookups: (address, protocol, port, what is
// sought) -> a number. ExactIndex4: the same for what most packets ask, an IPv4 address, protocol
// and port, all in one word. Open addressing at half load or less, built once by control, then read
// by workers without locks.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/byte_order.h"

namespace lb {

class ServiceIndex {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;
  enum class Kind : std::uint8_t {
    Exact = 1,  ///< a service on one port
    Ports = 2,  ///< the ranges of an address and protocol; port is 0
    Vip = 3,    ///< an address; protocol and port are 0
  };
  /// What is looked up; equal keys are equal words.
  struct Key {
    std::uint64_t address[2];
    std::uint64_t what;
    friend bool operator==(const Key&, const Key&) = default;
  };
  /// The port as it lies in the packet: ports of flow keys need not be turned around.
  [[nodiscard]] static Key key_v4(std::uint32_t address_raw, Kind kind, std::uint8_t proto,
                                  Be16 port) noexcept {
    return {{address_raw, 0}, what(Family::V4, kind, proto, port)};
  }
  /// REQUIRES: 16 bytes at `address`.
  [[nodiscard]] static Key key_v6(const void* address, Kind kind, std::uint8_t proto,
                                  Be16 port) noexcept {
    Key key{{0, 0}, what(Family::V6, kind, proto, port)};
    std::memcpy(key.address, address, sizeof key.address);
    return key;
  }
  [[nodiscard]] static Key key_of(const IpAddr& address, Kind kind, std::uint8_t proto,
                                  std::uint16_t port) noexcept {
    const Be16 raw_port = Be16::from_host(port);
    return address.is_v4() ? key_v4(address.as_v4().raw(), kind, proto, raw_port)
                           : key_v6(address.data(), kind, proto, raw_port);
  }

  ServiceIndex() : ServiceIndex(0, {}) {}
  /// Room for `entries` keys.
  ServiceIndex(std::size_t entries, const lb_hash_key& secret)
      : slots_(std::bit_ceil(2 * entries + 2)), mask_(slots_.size() - 1), secret_(secret) {}

  /// False when the key is there already. REQUIRES: no more keys than there is room for; value is
  /// not kNone.
  bool insert(const Key& key, std::uint32_t value) {
    Slot& slot = slots_[position(key)];
    if (slot.value != kNone) return false;
    slot = {key, value};
    return true;
  }
  /// The value of the key, or kNone.
  [[nodiscard]] std::uint32_t find(const Key& key) const noexcept {
    return slots_[position(key)].value;
  }
  /// How many slots behind the first one a search for the key ends.
  [[nodiscard]] std::size_t steps(const Key& key) const noexcept {
    return (position(key) - home(key)) & mask_;
  }
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return slots_.size() * sizeof(Slot); }

 private:
  struct Slot {
    Key key{};
    std::uint32_t value = kNone;
  };
  static constexpr std::uint64_t kMultiplier = 0xd6e8feb86659fd93;  // that of lb_mix64()
  [[nodiscard]] static std::uint64_t what(Family family, Kind kind, std::uint8_t proto,
                                          Be16 port) noexcept {
    return port.raw() | std::uint64_t{proto} << 16 | static_cast<std::uint64_t>(kind) << 24 |
           static_cast<std::uint64_t>(family) << 32;
  }
  /// Where a search for the key begins.
  [[nodiscard]] std::size_t home(const Key& key) const noexcept {
    // Cheap, since it is done for every packet: who sends packets chooses among keys that are
    // there.
    std::uint64_t h = (key.address[0] ^ lb_rotl64(key.what, 32) ^ secret_.k0) * kMultiplier;
    std::uint64_t end = key.address[1] * 0x9e3779b97f4a7c15U;
    end ^= end >> 32;  // products carry upwards only, and the end of an IPv6 address is uppermost
    h = (h ^ (h >> 32) ^ end) * kMultiplier;
    return (h >> 32) & mask_;
  }
  /// Where the key stands, or the empty slot where it would. Ends, since at least half of the slots
  /// are empty.
  [[nodiscard]] std::size_t position(const Key& key) const noexcept {
    std::size_t at = home(key);
    while (slots_[at].value != kNone && slots_[at].key != key) at = (at + 1) & mask_;
    return at;
  }

  std::vector<Slot> slots_;
  std::size_t mask_;
  lb_hash_key secret_;
};

class ExactIndex4 {
 public:
  static constexpr std::uint32_t kNone = ServiceIndex::kNone;
  /// Never 0: no service has protocol 0.
  [[nodiscard]] static std::uint64_t key_of(Be32 address, std::uint8_t proto, Be16 port) noexcept {
    return address.raw() | std::uint64_t{port.raw()} << 32 | std::uint64_t{proto} << 48;
  }

  ExactIndex4() : ExactIndex4(0, {}) {}
  /// Room for `entries` keys.
  ExactIndex4(std::size_t entries, const lb_hash_key& secret)
      : slots_(std::bit_ceil(2 * entries + 2)), mask_(slots_.size() - 1), secret_(secret.k0) {}

  /// REQUIRES: no more keys than there is room for, each once; value is not kNone.
  void insert(std::uint64_t key, std::uint32_t value) {
    std::size_t at = place(key);
    while (slots_[at].key != 0) at = (at + 1) & mask_;
    slots_[at] = {key, value};
  }
  /// The value of the key, or kNone.
  [[nodiscard]] std::uint32_t find(std::uint64_t key) const noexcept {
    std::size_t at = place(key);
    while (slots_[at].key != key) {
      if (slots_[at].key == 0) return kNone;
      at = (at + 1) & mask_;
    }
    return slots_[at].value;
  }
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return slots_.size() * sizeof(Slot); }

 private:
  struct Slot {
    std::uint64_t key = 0;
    std::uint32_t value = kNone;
  };
  /// Two multiplications: it is done for every packet, and who sends packets chooses only among the
  /// keys that are there.
  [[nodiscard]] std::size_t place(std::uint64_t key) const noexcept {
    constexpr std::uint64_t kMultiplier = 0xd6e8feb86659fd93;  // that of lb_mix64()
    std::uint64_t h = (key ^ secret_) * kMultiplier;
    h = (h ^ (h >> 32)) * kMultiplier;
    return (h >> 32) & mask_;
  }

  std::vector<Slot> slots_;
  std::size_t mask_;
  std::uint64_t secret_;
};

}  // namespace lb
