// SPDX-License-Identifier: Apache-2.0
// Worker: one turn of the packet path, step(), between two ends: drain COMPLETION, refill FILL,
// receive, load the generation, process, send, flush. Runs on the worker's own thread. The ends are
// a template parameter: AF_XDP sockets (io/xsk_ends.h) or the tests' fake kernel; so is the path,
// for tests. No wait, no log, no allocation in here, and every loop has a bound.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "bpf/lb_abi.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/hand_reason.h"
#include "dataplane/counters.h"
#include "dataplane/frame_pool.h"
#include "dataplane/pipeline.h"
#include "dataplane/table/service_table.h"
#include "dataplane/table/snapshots.h"

namespace lb {

inline constexpr std::uint32_t kPortsMax = 16;
/// Tries of one kick: a copy-mode socket without a larger budget sends 32 frames a call, a batch at
/// most 512.
inline constexpr std::uint32_t kKickTries = 20;
/// How often a port that answered ENETDOWN is tried again.
inline constexpr std::int32_t kLinkProbeMs = 10;
/// How long a TX ring without room for a batch may hold up receiving before packets for that port
/// are dropped instead.
inline constexpr std::int32_t kTxStallMs = 20;
/// How long a worker without packets may sleep: it ages flows and shows that it lives.
inline constexpr std::uint32_t kIdleMs = 100;

enum class LinkState : std::uint8_t { Up, Down, Gone };
/// What control knows of the links, by PortIndex: netlink tells it, an AF_XDP socket would not.
using PortLinks = std::array<std::atomic<LinkState>, kPortsMax>;

/// What the kernel answered when it was told to transmit.
enum class Kick : std::uint8_t {
  Done,       ///< all was taken
  Again,      ///< EAGAIN: some was taken, or COMPLETION must be drained first
  Busy,       ///< EBUSY: the driver's queue is full
  NoBuffers,  ///< ENOBUFS: no memory for the packet
  Down,       ///< ENETDOWN or unknown: probed again and again; what is queued is sent then
  Gone,       ///< ENODEV, ENXIO in copy mode: the device is gone, for good
};

/// What others may read of a worker while it runs.
struct alignas(64) WorkerGauges {
  std::atomic<TickMs> heartbeat{0};  ///< tick of the last step
  std::atomic<std::uint32_t> frames_free{0};
};

/// All that a worker works on; everything outlives it.
template <class Ends, class Path, class Table = ServiceTable>
struct WorkerSetup {
  WorkerIndex index{};
  std::uint32_t batch = 64;  ///< 1..kBatchMax
  Ends& ends;
  FramePool& pool;
  std::uint8_t* memory;  ///< the UMEM
  Path& path;
  Snapshots<Table>& tables;
  Counters& counters;
  const PortLinks& links;
  /// Where else the tick of each step goes: the XDP program leaves out a worker that is silent.
  std::uint32_t* beat = nullptr;
};

/// REQUIRES of Ends (all noexcept; `port` < ports()):
///   ports()                      how many
///   complete(port, f)            f(address) for what COMPLETION holds; returns how many
///   fill_room(port), fill_size(port)
///   fill(port, n, f)             appends n addresses f() to FILL; n <= fill_room
///   fill_wakes(port), wake_fill(port)
///   tx_room(port), tx_size(port) descriptors that fit now, and in an empty ring
///   receive(port, n, f)          f(address, bytes) for up to n received frames; returns how many
///   put_tx(port, address, bytes), submit_tx(port)
///   tx_pending(port)             descriptors that the kernel has not taken yet
///   tx_wakes(port), kick(port)
template <class Ends, class Path = Pipeline, class Table = ServiceTable>
class Worker {
 public:
  using Setup = WorkerSetup<Ends, Path, Table>;
  explicit Worker(const Setup& setup)
      : s_(setup), ports_(setup.ends.ports()), out_(std::make_unique<BatchOut>()) {
    LB_ASSERT(setup.batch >= 1 && setup.batch <= kBatchMax);
    LB_ASSERT(ports_ >= 1 && ports_ <= kPortsMax);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// One turn. True when it moved anything; else idle_ms() says how long the thread may sleep.
  bool step(TickMs now) noexcept {
    s_.counters.worker.steps.add();
    now_ = now;
    bool moved = false;
    for (std::uint32_t port = 0; port < ports_; ++port) {
      follow_link(port);
      moved |= drain(port) != 0;
    }
    for (std::uint32_t k = 0; k < ports_; ++k) refill(rotated(k));
    std::uint32_t received = receive(receive_limit());
    const Table* table = s_.tables.adopt(raw(s_.index));
    if (received != 0) process(received, table);
    for (std::uint32_t port = 0; port < ports_; ++port) moved |= flush(port);
    if (maintain(table)) {  // after the batch is on its way
      for (std::uint32_t port = 0; port < ports_; ++port) moved |= flush(port);
    }
    first_ = ports_ == 1 ? 0 : (first_ + 1) % ports_;
    settle();
    return moved || received != 0;
  }

  /// Milliseconds that the thread may sleep after a step that moved nothing.
  [[nodiscard]] std::uint32_t idle_ms() const noexcept {
    for (std::uint32_t port = 0; port < ports_; ++port) {
      if (usable(port) && s_.ends.tx_pending(port) != 0) return 1;
    }
    return behind_ ? 1 : kIdleMs;
  }

  /// Gives back what the path holds (before the worker ends).
  void release_held() noexcept {
    out_->clear();
    s_.path.release_held(*out_);
    finish_batch();
    settle();
  }

  [[nodiscard]] const WorkerGauges& gauges() const noexcept { return gauges_; }

 private:
  using Frame = FramePool::Frame;

  /// What the worker knows of a port's way out.
  struct Lane {
    LinkState link = LinkState::Up;  ///< as control said last
    bool refused = false;            ///< the last kick said Down
    bool gone = false;               ///< a kick said Gone
    bool full = false;               ///< no room for a batch since full_since
    bool stalled = false;            ///< full for kTxStallMs
    bool asked = false;              ///< make_room() was tried in this step
    TickMs probed = 0;
    TickMs full_since = 0;
    std::uint32_t room = 0;
    std::uint32_t staged = 0;
  };

  [[nodiscard]] std::uint32_t rotated(std::uint32_t k) const noexcept {
    std::uint32_t port = first_ + k;
    return port < ports_ ? port : port - ports_;
  }
  [[nodiscard]] bool usable(std::uint32_t port) const noexcept {
    const Lane& lane = lanes_[port];
    return lane.link == LinkState::Up && !lane.refused && !lane.gone;
  }

  void follow_link(std::uint32_t port) noexcept {
    Lane& lane = lanes_[port];
    LinkState link = s_.links[port].load(std::memory_order_relaxed);
    bool back = link == LinkState::Up && lane.link != LinkState::Up;
    lane.link = link;
    if (!lane.refused || lane.gone || link != LinkState::Up) return;
    if (!back && ms_since(now_, lane.probed) < kLinkProbeMs) return;
    lane.probed = now_;
    lane.refused = s_.ends.tx_pending(port) != 0 && s_.ends.kick(port) == Kick::Down;
  }

  std::uint32_t drain(std::uint32_t port) noexcept {
    std::uint32_t done = 0;
    std::uint32_t seen = s_.ends.complete(port, [&](std::uint64_t address) noexcept {
      Frame frame = s_.pool.frame_at(address);
      if (!s_.pool.move(frame, FrameOwner::Tx, FrameOwner::Completion)) return;
      s_.pool.give(frame, FrameOwner::Completion);
      ++done;
    });
    if (seen != done) s_.counters.worker.frames_refused.add(seen - done);
    s_.pool.count(FrameOwner::Tx, FrameOwner::Free, done);
    return seen;
  }

  void refill(std::uint32_t port) noexcept {
    if (lanes_[port].gone) return;
    std::uint32_t room = s_.ends.fill_room(port);
    std::uint32_t n = std::min(room, s_.pool.free_frames());
    if (n != 0) {
      s_.ends.fill(port, n,
                   [&]() noexcept { return s_.pool.address(s_.pool.take(FrameOwner::Fill)); });
      s_.pool.count(FrameOwner::Free, FrameOwner::Fill, n);
    } else if (room == s_.ends.fill_size(port)) [[unlikely]] {
      s_.counters.worker.fill_starved.add();
    }
    if (s_.ends.fill_wakes(port)) s_.ends.wake_fill(port);
  }

  /// No more than every port that is up has room for: a packet may leave by any of them. A port
  /// that has not had room for a batch (or half of its ring) for kTxStallMs no longer counts, or
  /// one that drains slowly would slow down all.
  std::uint32_t receive_limit() noexcept {
    std::uint32_t limit = s_.batch;
    for (std::uint32_t port = 0; port < ports_; ++port) {
      Lane& lane = lanes_[port];
      lane.room = s_.ends.tx_room(port);
      lane.asked = false;
      if (lane.room >= std::min(s_.batch, s_.ends.tx_size(port) / 2)) {
        lane.full = lane.stalled = false;
      } else if (!lane.full) {
        lane.full = true;
        lane.full_since = now_;
      } else if (!lane.stalled && ms_since(now_, lane.full_since) >= kTxStallMs) {
        lane.stalled = true;
        if (usable(port)) s_.counters.worker.tx_stalls.add();
      }
      if (usable(port) && !lane.stalled) limit = std::min(limit, lane.room);
    }
    return limit;
  }

  std::uint32_t receive(std::uint32_t limit) noexcept {
    std::uint32_t n = 0;
    std::uint32_t seen = 0;
    std::uint64_t bytes_sum = 0;
    for (std::uint32_t k = 0; k < ports_ && seen < limit; ++k) {
      std::uint32_t port = rotated(k);
      seen += s_.ends.receive(port, limit - seen,
                              [&](std::uint64_t address, std::uint32_t bytes) noexcept {
                                if (!accept(packets_[n], address, bytes)) return;
                                packets_[n].port = static_cast<PortIndex>(port);
                                bytes_sum += bytes;
                                ++n;
                              });
    }
    if (seen != n) s_.counters.worker.frames_refused.add(seen - n);
    if (n == 0) return 0;
    count_handed(std::span(packets_.data(), n));
    s_.pool.count(FrameOwner::Fill, FrameOwner::Worker, n);
    s_.counters.worker.batches.add();
    s_.counters.worker.rx_packets.add(n);
    s_.counters.worker.rx_bytes.add(bytes_sum);
    return n;
  }

  /// Makes a Packet of a descriptor; false when it does not name a frame that was in FILL.
  bool accept(Packet& packet, std::uint64_t address, std::uint32_t bytes) noexcept {
    Frame frame = s_.pool.frame_at(address);
    std::uint64_t offset = address & (s_.pool.frame_bytes() - 1);
    if (offset + bytes > s_.pool.frame_bytes()) [[unlikely]]
      return false;
    if (!s_.pool.move(frame, FrameOwner::Fill, FrameOwner::Worker)) [[unlikely]]
      return false;
    packet.frame = address - offset;
    packet.data = s_.memory + address;
    __builtin_prefetch(packet.data);
    __builtin_prefetch(packet.data - std::min(offset, std::uint64_t{sizeof(lb_meta)}));
    packet.bytes = bytes;
    packet.headroom = static_cast<std::uint16_t>(offset);
    packet.tailroom = static_cast<std::uint16_t>(s_.pool.frame_bytes() - offset - bytes);
    return true;
  }

  void count_handed(std::span<const Packet> packets) noexcept {
    auto& handed = s_.counters.worker.handed;
    std::uint64_t silent = 0;
    for (const Packet& packet : packets) {
      const HandReason reason = take_meta(packet);
      if (reason == HandReason::None) {
        ++silent;
      } else {
        handed[raw(reason)].add();
      }
    }
    handed[raw(HandReason::None)].add(silent);
  }

  /// What the XDP program wrote before the frame, if it did. Only the reason is used, and only to
  /// be counted. The magic goes, so that nobody takes it for that of the next frame in this chunk.
  [[nodiscard]] static HandReason take_meta(const Packet& packet) noexcept {
    lb_meta meta;
    if (packet.headroom < sizeof meta) return HandReason::None;
    std::uint8_t* at = packet.data - sizeof meta;
    std::memcpy(&meta, at, sizeof meta);
    if (meta.magic != LB_META_MAGIC) return HandReason::None;
    std::memset(at + offsetof(lb_meta, magic), 0, sizeof meta.magic);
    return meta.reason < LB_HAND_COUNT ? static_cast<HandReason>(meta.reason) : HandReason::None;
  }

  void process(std::uint32_t received, const Table* table) noexcept {
    out_->clear();
    if (table == nullptr) {  // before the first publication nothing of ours is in the VIP map
      for (std::uint32_t i = 0; i < received; ++i)
        drop(packets_[i].frame, DropReason::VipUnmatched);
      return;
    }
    s_.path.process(std::span(packets_.data(), received), now_, *table, *out_);
    finish_batch();
  }

  /// Ageing, at most once a millisecond. True when it put something into a TX ring.
  bool maintain(const Table* table) noexcept {
    if (table == nullptr || (maintaining_ && ms_since(now_, maintained_) <= 0)) return false;
    maintaining_ = true;
    maintained_ = now_;
    out_->clear();
    behind_ = s_.path.maintain(now_, *table, *out_);
    if (out_->tx_count == 0 && out_->freed_count == 0) return false;
    finish_batch();
    return true;
  }

  /// Puts a batch's packets into the TX rings and its freed frames into the pool.
  void finish_batch() noexcept {
    for (std::uint32_t i = 0; i < out_->freed_count; ++i) {
      s_.pool.give(s_.pool.frame_at(out_->freed[i]), FrameOwner::Worker);
    }
    s_.pool.count(FrameOwner::Worker, FrameOwner::Free, out_->freed_count);
    std::uint64_t bytes = 0;
    std::uint32_t sent = 0;
    for (std::uint32_t i = 0; i < out_->tx_count; ++i) {
      const Packet& packet = out_->tx[i];
      if (!put(packet)) continue;
      bytes += packet.bytes;
      ++sent;
    }
    s_.pool.count(FrameOwner::Worker, FrameOwner::Tx, sent);
    s_.counters.worker.tx_packets.add(sent);
    s_.counters.worker.tx_bytes.add(bytes);
    for (std::uint32_t port = 0; port < ports_; ++port) submit(port);
  }

  bool put(const Packet& packet) noexcept {
    std::uint32_t port = raw(packet.port);
    LB_DCHECK(port < ports_);
    Lane& lane = lanes_[port];
    if (!usable(port)) [[unlikely]] {
      drop(packet.frame, DropReason::TxLinkDown);
      return false;
    }
    if (lane.room == 0 && !make_room(port)) [[unlikely]] {
      drop(packet.frame, DropReason::TxRingFull);
      return false;
    }
    s_.pool.hand_on(s_.pool.frame_at(packet.frame), FrameOwner::Worker, FrameOwner::Tx);
    s_.ends.put_tx(port, static_cast<std::uint64_t>(packet.data - s_.memory), packet.bytes);
    --lane.room;
    ++lane.staged;
    return true;
  }

  void submit(std::uint32_t port) noexcept {
    if (lanes_[port].staged == 0) return;
    lanes_[port].staged = 0;
    s_.ends.submit_tx(port);
  }

  /// The ring is full in mid batch (held packets came on top): flush what is there and look again,
  /// once.
  bool make_room(std::uint32_t port) noexcept {
    Lane& lane = lanes_[port];
    if (lane.asked) return false;
    lane.asked = true;
    submit(port);
    (void)flush(port);
    lane.room = usable(port) ? s_.ends.tx_room(port) : 0;
    return lane.room != 0;
  }

  void drop(std::uint64_t address, DropReason reason) noexcept {
    s_.pool.give(s_.pool.frame_at(address), FrameOwner::Worker);
    s_.pool.count(FrameOwner::Worker, FrameOwner::Free, 1);
    s_.counters.worker.drop(reason);
  }

  /// Tells the kernel to transmit what is in the ring, if it wants telling; at most kKickTries
  /// times. True when it took any.
  bool flush(std::uint32_t port) noexcept {
    if (!usable(port)) return false;
    const std::uint32_t before = s_.ends.tx_pending(port);
    if (before == 0 || !s_.ends.tx_wakes(port)) return false;
    std::uint32_t pending = before;
    std::uint32_t idle_tries = 0;
    for (std::uint32_t i = 0; i < kKickTries && idle_tries < 2; ++i) {
      s_.counters.worker.kicks.add();
      if (i != 0) s_.counters.worker.kick_retries.add();
      Kick answer = s_.ends.kick(port);
      if (answer == Kick::Again) {
        std::uint32_t drained = drain(port);
        std::uint32_t left = s_.ends.tx_pending(port);
        if (left == 0) return true;
        idle_tries = left < pending || drained != 0 ? 0 : idle_tries + 1;
        pending = left;
        continue;
      }
      if (answer == Kick::Down) {
        lanes_[port].refused = true;
        lanes_[port].probed = now_;
      }
      if (answer == Kick::Gone) lanes_[port].gone = true;
      break;  // Busy and NoBuffers: what is left is kicked by the next step
    }
    return s_.ends.tx_pending(port) < before;
  }

  void settle() noexcept {
    LB_ASSERT(s_.pool.balanced());
    LB_DCHECK(s_.pool.owned_by(FrameOwner::Worker) == s_.path.held());
    gauges_.heartbeat.store(now_, std::memory_order_relaxed);
    if (s_.beat != nullptr) __atomic_store_n(s_.beat, now_ | 1, __ATOMIC_RELAXED);  // 0: not begun
    gauges_.frames_free.store(s_.pool.free_frames(), std::memory_order_relaxed);
  }

  // Hot:
  Setup s_;
  std::uint32_t ports_;
  std::uint32_t first_ = 0;  ///< the port that is served first, in turn
  TickMs now_ = 0;
  TickMs maintained_ = 0;
  bool maintaining_ = false;
  bool behind_ = false;  ///< the path has ageing left over for the next millisecond
  std::array<Lane, kPortsMax> lanes_{};
  std::unique_ptr<BatchOut> out_;
  std::array<Packet, kBatchMax> packets_{};
  WorkerGauges gauges_;
};

}  // namespace lb
