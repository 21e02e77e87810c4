// SPDX-License-Identifier: Apache-2.0
// Pipeline: the packet path of one worker as a function over a batch: no I/O, no clock, no
// allocation, no log.
//   parse all -> hash all, find services, prefetch -> look up all -> rewrite all
// The same code runs between real rings (Worker), on the fake kernel, in benchmarks and in fuzzers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/base/clock.h"
#include "dataplane/counters.h"
#include "dataplane/packet/packet.h"
#include "dataplane/table/flow_table.h"
#include "dataplane/table/service_table.h"

namespace lb {

inline constexpr std::uint32_t kBatchMax = 256;

struct PipelineOptions {
  std::uint32_t flows_max = 1'048'576;   ///< IPv4 flows of this worker
  std::uint32_t flows_max_v6 = 262'144;  ///< IPv6 flows of this worker
  std::uint32_t fragments_max = 4096;    ///< datagrams under way
  std::uint32_t held_max = 64;           ///< early fragments that wait for their first one
  std::uint32_t fragment_timeout_ms = 2'000;
  std::uint32_t icmp_rate = 100;         ///< ICMP time exceeded a second, per worker
  std::uint32_t half_open_max = 65'536;  ///< flows of hashed services that wait for their first ACK
  bool hugepages = true;                 ///< for the flow tables: try, then normal pages
};

/// RS whose MAC is missing, by slot: workers set, control takes. Any thread.
class ResolveRequests {
 public:
  explicit ResolveRequests(std::uint32_t rs_max);
  void request(std::uint32_t rs_slot) noexcept;
  /// Slots requested since the last call.
  [[nodiscard]] std::vector<std::uint32_t> take();

 private:
  std::vector<std::atomic<std::uint64_t>> words_;
};

/// Where every packet of a batch went. Filled by Pipeline::process; fixed capacity, nothing
/// allocated. Every Packet handed in is afterwards in exactly one of: tx, freed, or held by the
/// pipeline. Held packets come back in tx or freed of a later call.
struct BatchOut {
  static constexpr std::uint32_t kMax = 2 * kBatchMax;
  std::uint32_t tx_count = 0;
  std::uint32_t freed_count = 0;
  Packet tx[kMax];            ///< to be sent by Packet::port
  std::uint64_t freed[kMax];  ///< Packet::frame values to give back to the pool
  void clear() noexcept { tx_count = freed_count = 0; }
  /// Field by field: a copy of the whole would read what rewrite() has just written in other
  /// widths, and wait for the stores (6 ns a packet).
  void send(const Packet& packet) noexcept {
    Packet& sent = tx[tx_count++];
    sent.frame = packet.frame;
    sent.data = packet.data;
    sent.bytes = packet.bytes;
    sent.headroom = packet.headroom;
    sent.tailroom = packet.tailroom;
    sent.port = packet.port;
  }
};

class Pipeline;

/// What one worker may read of another: flows and fragments (a fragment or an ICMP error hashes to
/// another queue than its flow does). Filled once at start, before any worker runs.
struct PipelinePeers {
  std::vector<const Pipeline*> pipelines;  ///< by WorkerIndex, the worker's own included
  std::vector<const Counters*> counters;   ///< likewise
};

/// Memory for a worker's flows that somebody else owns and that outlives the pipeline (a mapped BPF
/// array), zeroed or with the flows of an earlier lbd in it: FlowTable::over(). Empty: the pipeline
/// takes its own.
struct FlowMemory {
  std::span<std::byte> flows4;
  std::span<std::byte> flows6;
};

class Pipeline {
 public:
  /// Takes all memory of the path. Errors: ENOMEM, EINVAL with the option named.
  [[nodiscard]] static Result<std::unique_ptr<Pipeline>> create(WorkerIndex index,
                                                                const PipelineOptions& options,
                                                                Counters& counters,
                                                                ResolveRequests& resolve);
  /// The same over flow memory that is there; its flows are counted as flows_adopted. `now` is the
  /// tick of this moment. Errors: also EINVAL for memory that does not fit the options.
  [[nodiscard]] static Result<std::unique_ptr<Pipeline>> create(
      WorkerIndex index, const PipelineOptions& options, Counters& counters,
      ResolveRequests& resolve, const FlowMemory& memory, TickMs now);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// `peers` outlives the pipeline. Call before the first process().
  void set_peers(const PipelinePeers& peers) noexcept;

  /// Worker thread. REQUIRES: packets.size() <= kBatchMax; `out` is clear. Also releases held
  /// packets whose time has come, so call it with an empty batch now and then (maintain() does).
  void process(std::span<Packet> packets, TickMs now, const ServiceTable& table,
               BatchOut& out) noexcept;

  /// Worker thread, about once a ms: ages the buckets that are due (a full turn takes 8 s; longer
  /// in tables of over 50 M flows, since a call ages no more than 1,024), expires fragments,
  /// releases held packets into `out`. True when buckets are overdue: call again in a ms.
  [[nodiscard]] bool maintain(TickMs now, const ServiceTable& table, BatchOut& out) noexcept;

  /// Packets held now (for the frame accounting).
  [[nodiscard]] std::uint32_t held() const noexcept;
  /// Gives all held packets' frames back (stop, panic).
  void release_held(BatchOut& out) noexcept;

  [[nodiscard]] const FlowTable<FlowKey4>& flows4() const noexcept;
  [[nodiscard]] const FlowTable<FlowKey6>& flows6() const noexcept;
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  struct Impl;
  Pipeline();
  std::unique_ptr<Impl> impl_;
};

}  // namespace lb
