// SPDX-License-Identifier: Apache-2.0
// Dataplane: what control sees of the data plane. Engine (dataplane/io) is the real one; control's
// tests bring their own. All calls come from control's one thread; none blocks for longer than a
// system call.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/hand_reason.h"
#include "dataplane/base/pin_dir.h"
#include "dataplane/counters.h"
#include "dataplane/explain.h"
#include "dataplane/pipeline.h"
#include "dataplane/table/service_table.h"
#include "dataplane/table/table_object.h"

namespace lb {

enum class XdpMode : std::uint8_t { Auto, Native, Generic };
enum class ZeroCopy : std::uint8_t { Auto, On, Off };
/// Who forwards: the XDP program what it can and the workers the rest, or the workers all.
enum class EngineMode : std::uint8_t { Hybrid, Afxdp };
/// What an end leaves behind in the kernel.
enum class StopMode : std::uint8_t {
  Detach,  ///< nothing
  Pass,    ///< the program, which passes every packet, and the maps
  Keep,    ///< the program, which forwards by itself, and the maps
};
struct PortConfig {
  std::string interface;
};

/// What the config says of the data plane; 0 or Auto: choose by the interface.
struct DataplaneConfig {
  std::vector<PortConfig> ports;
  EngineMode engine = EngineMode::Hybrid;
  lb_hash_kind hash = LB_HASH_MULTIPLY_MIX;  ///< by which flows are spread
  std::uint32_t worker_stale_ms = 1'000;     ///< silent for so long, a worker is left out by XDP
  XdpMode xdp_mode = XdpMode::Auto;
  ZeroCopy zero_copy = ZeroCopy::Auto;  ///< never On with EngineMode::Hybrid; Auto is off there
  bool replace_foreign = false;         ///< --replace: take another XDP program off the interface
  bool need_wakeup = true;
  std::uint32_t busy_poll_us = 0;    ///< SO_BUSY_POLL; 0: off
  bool hugepages = true;             ///< try, then normal pages
  std::uint32_t frame_bytes = 2048;  ///< 2048 or 4096
  std::uint32_t rx_ring = 0;         ///< descriptors, powers of two
  std::uint32_t tx_ring = 0;
  std::uint32_t fill_ring = 0;
  std::uint32_t completion_ring = 0;
  std::uint32_t frames = 0;   ///< per worker
  std::uint32_t batch = 256;  ///< packets a step takes at most, 1..kBatchMax
  std::vector<int> cpus;      ///< CPU of worker i; empty: not pinned
  std::uint32_t spin_us =
      50;  ///< how long an idle worker spins before it sleeps; 0 on a shared core
  PipelineOptions path;
  std::uint32_t services_max = 1024;
  std::uint32_t rs_max = 4096;
  std::string pins = kPinsDefault;  ///< directory on a bpffs; empty: nothing is kept
  bool adopt = true;                ///< --no-adopt: what is in `pins` is made anew
  StopMode stop_mode = StopMode::Detach;
  lb_hash_key flow_key{};                      ///< not the config's: of the state file
  std::uint32_t acl_max = LB_ACL_ENTRIES_MAX;  ///< entries of all access lists together
  std::string offload_notes;  ///< file that tells what was switched off (offloads.h); empty: none
  std::uint32_t mh_slots_max = 0;  ///< control's: of all lookup arrays together; 0: automatic
};

struct PortInfo {
  std::string interface;
  int ifindex = 0;
  MacAddr mac;
  std::uint32_t mtu = 0;
  bool up = false;  ///< link is up and the device exists
  std::string driver;
  std::string xdp_mode;         ///< "native" or "generic": what is in force
  std::string xdp_mode_reason;  ///< why not the better one; empty when it is
  std::string copy_mode;        ///< "zero-copy" or "copy"
  std::string copy_mode_reason;
  std::string engine;            ///< "hybrid" or "afxdp": what is in force
  std::string engine_reason;     ///< why XDP forwards nothing from here; empty: it does
  std::uint32_t queues = 0;      ///< with a socket
  std::uint32_t queues_now = 0;  ///< in use by the interface
  std::string problem;           ///< what loses packets here and how to mend it; empty: nothing
  std::string vlan_reason;       ///< why not all tagged frames come in; empty: they do
  std::uint32_t program_id = 0;
  std::uint64_t xdp_passed = 0, xdp_panic_passed = 0;
  std::uint64_t xdp_sent = 0;       ///< forwarded by XDP, out of this port ...
  std::uint64_t xdp_forwarded = 0;  ///< ... and out of another one
  std::uint64_t xdp_alone = 0;      ///< of these: decided without the worker that should have
  std::uint64_t xdp_handed = 0;     ///< to the workers: the sum of `handed`
  std::array<std::uint64_t, kHandReasons> handed{};
  std::array<std::uint64_t, kDropReasons> xdp_drops{};
};

/// struct xdp_statistics of one socket (include/uapi/linux/if_xdp.h), since it was bound.
struct SocketStats {
  std::string interface;
  std::uint64_t rx_dropped = 0, rx_invalid_descs = 0, tx_invalid_descs = 0;
  std::uint64_t rx_ring_full = 0, rx_fill_ring_empty_descs = 0, tx_ring_empty_descs = 0;
  bool zero_copy = false;
  /// Entries in a ring now, and its size.
  struct Ring {
    std::uint32_t level = 0, size = 0;
  };
  Ring rx, tx, fill, completion;
  std::uint64_t tx_refused = 0;  ///< kicks answered by an error that we do not expect ...
  int tx_error = 0;              ///< ... and the last such errno; 0: none

  /// Packets for us that the kernel dropped at this socket.
  [[nodiscard]] std::uint64_t drops(DropReason reason) const noexcept {
    // In copy mode a packet that finds FILL empty is counted twice, rx_dropped being the second; in
    // zero-copy mode FILL is the driver's to ask, and an empty one costs no packet by itself.
    std::uint64_t no_frame = zero_copy ? 0 : rx_fill_ring_empty_descs;
    switch (reason) {
      case DropReason::RxTooLarge:
        return rx_dropped > no_frame ? rx_dropped - no_frame : 0;
      case DropReason::RxRingFull:
        return rx_ring_full;
      case DropReason::RxNoFrame:
        return no_frame;
      default:
        return 0;
    }
  }
};

struct WorkerInfo {
  WorkerIndex index{};
  int cpu = -1;
  std::string idle;  ///< how it waits: "io_uring" or "poll"
  Generation generation = Generation::None;
  std::uint32_t frames = 0, frames_free = 0;
  std::uint32_t last_step_ms = 0;  ///< since its last step; an idle worker takes one every 100 ms
  bool hugepages = false;
  std::uint32_t flows4 = 0, flows6 = 0;
  std::vector<SocketStats> sockets;
};

struct BpfObjectInfo {
  std::string kind;  ///< "program", "map" or "link"
  std::string name;
  std::uint32_t id = 0;
  std::string type;
  std::uint64_t entries_max = 0;  ///< maps
  std::uint64_t memory_bytes = 0;
  std::string attached_to;
  bool pinned = false;  ///< maps and links: outlives lbd
};

struct FlowInfo {
  WorkerIndex worker{};
  IpAddr client, vip;
  std::uint16_t client_port = 0, vip_port = 0;
  Proto proto = Proto::Tcp;
  FlowData data;
};

class Dataplane {
 public:
  virtual ~Dataplane() = default;
  /// What goes on to be forwarded of an lbd before, until the first publish(): services as far as
  /// an index tells of them (IndexedService), with their tables. Empty: nothing.
  [[nodiscard]] virtual std::vector<Service> adopted() const = 0;
  /// Where the tables of services are made that publish() is given; outlives them.
  [[nodiscard]] virtual TableMemory& table_memory() = 0;
  /// Publishes a table: to the workers first, then to the XDP programs, which hand packets over
  /// that are never newer than what a worker decides by. On error (no room, no memory) the workers
  /// have the table and the XDP programs may not: publish the one from before again.
  [[nodiscard]] virtual Result<Generation> publish(std::unique_ptr<ServiceTable> table) = 0;
  /// Frees what nobody asks any more: returns how many tables are kept (1: settled).
  virtual std::size_t reclaim() = 0;
  /// Brings counters() up to date with what is counted outside of the workers.
  virtual void refresh_counters() = 0;
  /// Every packet to the kernel's stack, or back.
  [[nodiscard]] virtual Status set_panic(bool on) = 0;
  [[nodiscard]] virtual bool panic() const = 0;
  /// Netlink saw a port's link change, or (nullopt) the device go.
  virtual void link_changed(PortIndex port, std::optional<bool> up) = 0;
  /// Looks at what changes without an event, and logs each change once. Every few seconds.
  virtual void watch() = 0;

  [[nodiscard]] virtual std::vector<PortInfo> ports() const = 0;
  [[nodiscard]] virtual std::vector<WorkerInfo> workers() const = 0;
  [[nodiscard]] virtual std::vector<BpfObjectInfo> bpf() const = 0;
  /// What an entry of a service's access list has decided for; zeros when it is not in force.
  [[nodiscard]] virtual AclCount acl_count(ServiceId service, const AclEntry& entry) const = 0;
  /// Counters by WorkerIndex, then those of what forwards without a worker; the reader adds up.
  [[nodiscard]] virtual std::vector<const Counters*> counters() const = 0;
  /// Calls `visit` for living flows (before the first publish(): for all) until it answers false.
  /// Consistent per flow, not over all.
  virtual void visit_flows(const std::function<bool(const FlowInfo&)>& visit) const = 0;
  /// What would become of a packet by the last table published; changes and counts nothing.
  /// REQUIRES: as of probe_frame(). Errors: no such port or queue, and what the kernel says; the
  /// first question for a port may take a tenth of a second.
  [[nodiscard]] virtual Result<Explanation> explain(const ExplainRequest& request) = 0;
  [[nodiscard]] virtual std::vector<std::uint32_t> take_resolve_requests() = 0;
};

}  // namespace lb
