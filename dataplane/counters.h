// SPDX-License-Identifier: Apache-2.0
// Counters of one worker: written by that worker alone with relaxed stores, read by anyone, added
// up by readers. All memory is taken at start.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/base/drop_reason.h"
#include "dataplane/base/hand_reason.h"

namespace lb {

/// A 64-bit counter with one writer.
class Counter {
 public:
  [[gnu::always_inline]] void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void sub(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
  void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Per service, indexed by service slot (ServiceTable). 64 bytes: one cache line.
struct alignas(64) ServiceCounters {
  Counter packets;        ///< forwarded to a real server
  Counter bytes;          ///< of those, from the Ethernet header on
  Counter new_flows;      ///< flow entries made; of hashed services also SYNs that made none
  Counter unknown_flows;  ///< non-SYN TCP of an unknown flow (not of hashed services)
  Counter drops;          ///< packets of the service dropped, whatever the reason
  Counter unprotected;    ///< SYNs to a slot in transition that could not be remembered and went to
                          ///< its new owner: their connection may break
  Counter unremembered;   ///< packets of flows that were to be remembered and were not: over
                          ///< flow_rate or the half-open bound; decided by the hash alone
};
static_assert(sizeof(ServiceCounters) == 64);

/// Per real server, indexed by RS slot (ServiceTable).
struct alignas(64) RsCounters {
  Counter packets;
  Counter bytes;
  Counter new_flows;
  Counter active;    ///< living flows in ESTABLISHED (TCP) or any UDP/SCTP flow
  Counter inactive;  ///< living flows in any other state
};

struct alignas(64) WorkerCounters {
  Counter steps, batches, rx_packets, rx_bytes, tx_packets, tx_bytes;
  Counter sleeps, wakeups, kicks, kick_retries, fill_starved;
  Counter tx_stalls;       ///< a port that is up took nothing for kTxStallMs
  Counter frames_refused;  ///< descriptors from the kernel that named a frame it does not own
  Counter flows_new, flows_expired, flows_evicted_idle, flows_evicted_alive, flows_from_peer;
  Counter flows_adopted;    ///< found in the memory that the worker was given
  Counter flows_half_open;  ///< of hashed services: now, not since the start
  Counter icmp_echo_replies, icmp_time_exceeded, icmp_suppressed, icmp_errors_forwarded;
  Counter fragments_first, fragments_followed, fragments_held;
  std::array<Counter, kDropReasons> drops;
  std::array<Counter, kHandReasons> handed;  ///< frames received, by what the XDP program said
  void drop(DropReason reason) noexcept { drops[static_cast<std::size_t>(reason)].add(); }
};

/// The counters of one worker. Slots are given by control (ServiceTable) and below the limits given
/// here.
struct Counters {
  Counters(std::uint32_t service_slots, std::uint32_t rs_slots)
      : services(std::make_unique<ServiceCounters[]>(service_slots)),
        rs(std::make_unique<RsCounters[]>(rs_slots)),
        services_max(service_slots),
        rs_max(rs_slots) {}
  WorkerCounters worker;
  std::unique_ptr<ServiceCounters[]> services;
  std::unique_ptr<RsCounters[]> rs;
  std::uint32_t services_max;
  std::uint32_t rs_max;
};

}  // namespace lb
