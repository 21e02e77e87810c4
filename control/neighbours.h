// SPDX-License-Identifier: Apache-2.0
// NeighbourResolver: which MAC address each real server has. Fed with the kernel's neighbour events
// and with answers to our own tagged probes; asks for probes through Hooks. A known MAC is kept,
// stale or failed, until another one is known: a packet is never held up by resolution. Director's
// thread; no I/O and no clock in it.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/netlink.h"
#include "dataplane/base/ids.h"

namespace lb {

/// Where a real server is reached: the same address behind two ports or two tags is two neighbours.
struct NeighbourTarget {
  IpAddr address;
  PortIndex port{};
  std::uint16_t vlan = 0;  ///< 0: untagged, the kernel resolves it; else lbd does
  friend auto operator<=>(const NeighbourTarget&, const NeighbourTarget&) = default;
};

struct NeighbourView {
  NeighbourTarget target;
  std::optional<MacAddr> mac;
  std::string state;  ///< the kernel's name of the state; of tagged ones, by the same meaning
  std::uint64_t age_ms = 0;  ///< since the MAC was last confirmed; 0 when it never was
};

class NeighbourResolver {
 public:
  struct Hooks {
    /// Asks the target for its MAC (the kernel, or for tagged ones our own frame). Must not call
    /// back.
    std::function<void(const NeighbourTarget&)> probe;
    /// Asks everybody on the wire for the target's MAC, whatever the kernel thinks it knows. Must
    /// not call back. May be empty.
    std::function<void(const NeighbourTarget&)> ask;
    /// What the kernel knows of an untagged target already; it tells changes only. May be empty.
    std::function<std::optional<NeighbourEntry>(const NeighbourTarget&)> look_up;
  };
  explicit NeighbourResolver(Hooks hooks) : hooks_(std::move(hooks)) {}

  /// What is to be resolved from now on; new targets are looked up and probed at once, others
  /// forgotten.
  void set_targets(std::span<const NeighbourTarget> targets, std::uint64_t now_ms);
  /// An entry of the kernel's table (an event, or the dump at start). True: a MAC is new or another
  /// one.
  bool on_kernel_entry(PortIndex port, const NeighbourEntry& entry, bool gone,
                       std::uint64_t now_ms);
  /// A tagged ARP reply or neighbour advertisement. True: a MAC is new or another one.
  bool on_tagged_answer(const NeighbourTarget& target, const MacAddr& mac, std::uint64_t now_ms);
  /// A worker has dropped packets for want of this MAC: probe now unless that was done just before.
  void request(const NeighbourTarget& target, std::uint64_t now_ms);
  /// A check of this address failed: it may have another MAC by now. Asked at once behind every
  /// port and tag, kDoubtsMax times half a second apart until trust(), and no more than
  /// kProbesPerTick of all a second; the kernel alone would send to the old MAC for half a minute.
  void doubt(const IpAddr& address, std::uint64_t now_ms);
  /// A check of this address passed.
  void trust(const IpAddr& address);
  /// Every second: probes what is unresolved, failed or stale; at most kProbesPerTick of them.
  void tick(std::uint64_t now_ms);

  [[nodiscard]] std::optional<MacAddr> mac(const NeighbourTarget& target) const;
  [[nodiscard]] std::vector<NeighbourView> list(std::uint64_t now_ms) const;

  static constexpr std::size_t kProbesPerTick = 256;
  static constexpr unsigned kDoubtsMax = 3;
  static constexpr std::uint64_t kProbeIntervalMs = 1000;
  static constexpr std::uint64_t kReachableMs =
      30'000;  ///< of tagged ones, as the kernel's default

 private:
  struct State {
    std::optional<MacAddr> mac;
    std::uint16_t kernel_state = 0;  // NUD_*; of tagged ones kept by tick()
    std::uint64_t confirmed_ms = 0;
    std::uint64_t probed_ms = 0, asked_ms = 0;
    bool ever_probed = false;
    unsigned unanswered = 0, doubts = 0;
  };
  bool learn(State& state, const MacAddr& mac);
  void probe(const NeighbourTarget& target, State& state, std::uint64_t now_ms);
  static bool wants_probe(const NeighbourTarget& target, State& state, std::uint64_t now_ms);

  Hooks hooks_;
  std::map<NeighbourTarget, State> targets_;
  std::size_t asks_left_ = kProbesPerTick;
  std::optional<NeighbourTarget> resume_;  // where the last tick stopped for its limit
};

}  // namespace lb
