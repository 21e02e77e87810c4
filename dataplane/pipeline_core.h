// SPDX-License-Identifier: Apache-2.0
// PipelineCore: the packet path behind Pipeline, with the flow tables as a policy so that
// benchmarks can put others in their place. Runs on one worker; peers read its tables.
// A batch goes through in chunks that fit the first-level cache, each in stages: parse all, hash
// all, find all services and prefetch what they decide by (a slot, or a flow), look up all (in
// order, so that two packets of a new flow agree), send all.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/flow_limits.h"
#include "dataplane/flow_store.h"
#include "dataplane/packet/fragments.h"
#include "dataplane/packet/icmp_reply.h"
#include "dataplane/packet/parse.h"
#include "dataplane/packet/rewrite.h"
#include "dataplane/pipeline.h"
#include "dataplane/table/scheduler.h"
#include "dataplane/table/slot_decision.h"

namespace lb {

/// The tables of the real thing.
struct FlowTables {
  template <class Key>
  using Table = FlowTable<Key>;
  static constexpr bool kHash = true;  ///< false: no hash is computed (for benchmarks)
};

template <class Tables>
class PipelineCore {
 public:
  using Table4 = typename Tables::template Table<FlowKey4>;
  using Table6 = typename Tables::template Table<FlowKey6>;

  PipelineCore(const PipelineOptions& options, const lb_hash_key& secret, Counters& counters,
               ResolveRequests& resolve, Table4 table4, Table6 table6)
      : counters_(counters),
        resolve_(resolve),
        limits_(counters.services_max, options.half_open_max, counters.worker.flows_half_open),
        flows4_(std::move(table4), counters, limits_),
        flows6_(std::move(table6), counters, limits_),
        fragments_(options.fragments_max, options.fragment_timeout_ms, secret),
        held_(options.held_max),
        fragment_timeout_ms_(options.fragment_timeout_ms),
        icmp_tokens_(options.icmp_rate),
        scheduler_states_(counters.services_max),
        own_counters_{&counters},
        load_(own_counters_),
        random_(secret.k0 | 1) {}
  PipelineCore(const PipelineCore&) = delete;
  PipelineCore& operator=(const PipelineCore&) = delete;

  /// Counts the flows that the tables came with. Call before the first process().
  void adopt_flows() noexcept {
    flows4_.adopt();
    flows6_.adopt();
  }

  /// Null peers and this one are left out.
  void set_peers(std::span<const PipelineCore* const> peers,
                 std::span<const Counters* const> counters) {
    peers_.clear();
    for (const PipelineCore* peer : peers) {
      if (peer != nullptr && peer != this) peers_.push_back(peer);
    }
    load_ = LoadView(counters);
  }

  void process(std::span<Packet> packets, TickMs now, const ServiceTable& table,
               BatchOut& out) noexcept {
    LB_ASSERT(packets.size() <= kBatchMax && out.tx_count == 0 && out.freed_count == 0);
    begin(now, table, out);
    while (!packets.empty()) {
      const std::size_t count = std::min<std::size_t>(packets.size(), kChunk);
      process_chunk(packets.first(count));
      packets = packets.subspan(count);
    }
    if (first_fragment_seen_) release_followed(false);
  }

  [[nodiscard]] bool maintain(TickMs now, const ServiceTable& table, BatchOut& out) noexcept {
    begin(now, table, out);
    const std::uint32_t elapsed = std::min(now - swept_, kSweepTurnMs);
    swept_ = now;
    for (std::uint32_t i = 0; i < std::clamp(elapsed, 1U, kFragmentTurnsMax); ++i) {
      fragments_.age(now);
    }
    auto over = [this](const auto& key, const FlowData& flow) {
      return is_over(flow) || is_needless(key, flow);
    };
    flows4_.sweep(buckets_due(flows4_.table().buckets(), elapsed, sweep_rest4_), over);
    flows6_.sweep(buckets_due(flows6_.table().buckets(), elapsed, sweep_rest6_), over);
    return std::max(sweep_rest4_, sweep_rest6_) >= kSweepTurnMs;
  }

  void release_held(BatchOut& out) noexcept {
    held_.take_if([](const HeldFragment&) { return true; },
                  [&](const HeldFragment& held) { free(held.packet, out); });
  }

  [[nodiscard]] std::uint32_t held() const noexcept { return held_.count(); }
  [[nodiscard]] const Table4& flows4() const noexcept { return flows4_.table(); }
  [[nodiscard]] const Table6& flows6() const noexcept { return flows6_.table(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return sizeof *this + flows4().memory_bytes() + flows6().memory_bytes() +
           fragments_.memory_bytes() + held_.memory_bytes() + limits_.memory_bytes() +
           scheduler_states_.capacity() * sizeof(SchedulerState);
  }

 private:
  static constexpr std::size_t kChunk = 64;
  static constexpr std::size_t kParseAhead = 8;  // packets whose headers are prefetched
  static constexpr std::uint32_t kSweepTurnMs =
      8'000;  // a full turn of the ageing: how late a drain can see an end
  static constexpr std::uint64_t kSweepCallBuckets = 1024;  // in a call: packets wait meanwhile
  static constexpr std::uint32_t kFragmentTurnsMax = 128;   // made up for after a sleep

  enum class Action : std::uint8_t { Forward, Drop, TimeExceeded, EchoReply, Hold };
  // Written in place, field by field: a verdict that is returned is copied in other widths than it
  // was written in, and each copy waits for the stores (6 ns a packet).
  struct Verdict {
    const RealServer* rs = nullptr;
    const Service* service = nullptr;
    Action action = Action::Drop;
    DropReason reason = DropReason::Truncated;

    void forward(const RealServer* to, const Service* of) noexcept {
      rs = to;
      service = of;
      action = Action::Forward;
    }
    void drop(DropReason why, const Service* of = nullptr) noexcept {
      service = of;
      action = Action::Drop;
      reason = why;
    }
  };

  // What takes a packet: its service (null: none), and by what that decides.
  enum class Way : std::uint8_t { None, Slot, Memory };
  struct Found {
    const Service* service = nullptr;
    std::uint32_t slot = 0;  // Way::Slot: of the service's table
    Way way = Way::None;     // of a service: it is hashed and has no table
  };

  template <class Key>
  using EntryOf = typename Tables::template Table<Key>::Entry;
  template <class Key>
  [[nodiscard]] auto& store() noexcept {
    if constexpr (std::is_same_v<Key, FlowKey4>) {
      return flows4_;
    } else {
      return flows6_;
    }
  }
  template <class Key>
  [[nodiscard]] const auto& store() const noexcept {
    if constexpr (std::is_same_v<Key, FlowKey4>) {
      return flows4_;
    } else {
      return flows6_;
    }
  }

  // pipeline_lookup.h: what becomes of a packet.
  [[gnu::always_inline]] inline void look_up(const Packet& packet, const ParsedPacket& parsed,
                                             const Found& found, Verdict& verdict) noexcept;
  [[gnu::noinline]] void look_up_other(const Packet& packet, const ParsedPacket& parsed,
                                       const Found& found, Verdict& verdict) noexcept;
  template <class Key>
  [[gnu::always_inline]] inline void look_up_flow(const ParsedPacket& parsed, const Key& key,
                                                  const Found& found, Verdict& verdict) noexcept;
  template <class Key>
  void look_up_icmp_error(const Packet& packet, const ParsedPacket& parsed, const Key& key,
                          const Found& found, Verdict& verdict) noexcept;
  void look_up_fragment(const Packet& packet, const ParsedPacket& parsed,
                        Verdict& verdict) noexcept;
  void look_up_echo(const ParsedPacket& parsed, Verdict& verdict) const noexcept;
  void follow(const FragmentTarget& target, const ParsedPacket& parsed,
              Verdict& verdict) const noexcept;
  [[nodiscard]] std::optional<FragmentTarget> find_fragment(const FragmentKey& key,
                                                            bool ask_peers) const noexcept;

  // pipeline_flows.h: by slot and by memory.
  template <class Key>
  [[gnu::always_inline]] inline void look_up_hashed(const ParsedPacket& parsed, const Key& key,
                                                    const Found& found, Verdict& verdict) noexcept;
  template <class Key>
  [[gnu::noinline]] void look_up_asking(const ParsedPacket& parsed, const Key& key,
                                        const Found& found, FlowPart part,
                                        Verdict& verdict) noexcept;
  template <class Key>
  [[gnu::always_inline]] inline void look_up_stateful(const ParsedPacket& parsed, const Key& key,
                                                      const Service& service,
                                                      Verdict& verdict) noexcept;
  template <class Key>
  [[gnu::always_inline]] inline bool follow_entry(const ParsedPacket& parsed,
                                                  const Service& service, EntryOf<Key>& entry,
                                                  Verdict& verdict) noexcept;
  template <class Key>
  [[gnu::noinline]] void new_in_slot(const ParsedPacket& parsed, const Key& key, const Found& found,
                                     FlowPart part, EntryOf<Key>* entry, Verdict& verdict) noexcept;
  template <class Key>
  [[gnu::noinline]] void new_flow(const ParsedPacket& parsed, const Key& key,
                                  const Service& service, EntryOf<Key>* entry,
                                  Verdict& verdict) noexcept;
  template <class Key>
  [[nodiscard]] bool follow_peer(const ParsedPacket& parsed, const Key& key, const Service& service,
                                 EntryOf<Key>* entry, Verdict& verdict) noexcept;
  template <class Key>
  [[nodiscard]] std::optional<FlowData> peer_flow(const ParsedPacket& parsed, const Key& key,
                                                  const Service& service) const noexcept;
  template <class Key>
  [[nodiscard]] std::optional<FlowData> known_flow(const ParsedPacket& parsed, const Key& key,
                                                   const Service& service) noexcept;
  [[nodiscard]] const RealServer* pick_unremembered(const Service& service, const SlotServers& slot,
                                                    FlowPart part, Affinity affinity) noexcept;
  template <class Key>
  void remember(const Key& key, std::uint64_t hash, EntryOf<Key>* entry, const FlowData& flow,
                FlowOrigin origin) noexcept;
  template <class Key>
  void forget(EntryOf<Key>* entry) noexcept;
  template <class Key>
  [[nodiscard]] const RealServer* schedule(const Service& service, const Key& key,
                                           std::uint64_t hash) noexcept;
  [[nodiscard]] SlotServers hash_servers(const Service& service, std::uint64_t hash) const noexcept;
  void count_start(const Service& service, const RealServer& rs) noexcept;
  [[nodiscard, gnu::always_inline]] inline bool is_usable(const FlowData& flow, const Service* of,
                                                          const RealServer* rs,
                                                          const ParsedPacket& parsed,
                                                          const Service& service) const noexcept;
  [[nodiscard, gnu::always_inline]] inline bool is_idle(const FlowData& flow,
                                                        const Service& of) const noexcept;
  [[nodiscard]] bool is_over(const FlowData& flow) const noexcept;
  template <class Key>
  [[nodiscard]] bool is_needless(const Key& key, const FlowData& flow) const noexcept;

  void begin(TickMs now, const ServiceTable& table, BatchOut& out) noexcept {
    now_ = now;
    table_ = &table;
    out_ = &out;
    first_fragment_seen_ = false;
    if (table.generation != checked_ || table.generation == Generation::None) check_slots();
    if (held_.count() != 0 && held_checked_ != now) release_followed(true);
  }

  // Counters are indexed by slot without a further look, and tables by slot and member.
  void check_slots() noexcept {
    for (const Service& service : table_->services()) {
      LB_ASSERT(slot_of(service.id) < counters_.services_max);
      if (service.table == nullptr) continue;
      const lb_table_head& head = service.table->head();
      LB_ASSERT(head.slots != 0 && head.slots <= service.table->room().slots &&
                head.members <= service.table->room().members);
    }
    for (const RealServer& rs : table_->real_servers()) {
      LB_ASSERT(slot_of(rs.id) < counters_.rs_max);
    }
    limits_.follow(table_->services());
    checked_ = table_->generation;
  }

  void process_chunk(std::span<Packet> packets) noexcept {
    const std::size_t count = packets.size();
    for (std::size_t i = 0; i < std::min(kParseAhead, count); ++i) {
      __builtin_prefetch(packets[i].data + 12);
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (i + kParseAhead < count) __builtin_prefetch(packets[i + kParseAhead].data + 12);
      parse(packets[i].data, packets[i].bytes, parsed_[i]);
    }
    for (std::size_t i = 0; i < count; ++i) find(parsed_[i], found_[i]);
    for (std::size_t i = 0; i < count; ++i) prefetch_entry(parsed_[i], found_[i]);
    for (std::size_t i = 0; i < count; ++i) {
      look_up(packets[i], parsed_[i], found_[i], verdicts_[i]);
    }
    for (std::size_t i = 0; i < count; ++i) finish(packets[i], parsed_[i], verdicts_[i]);
  }

  // The flow hash, the service, and a prefetch of what that decides by first: a slot, or the tags
  // of the flow.
  void find(ParsedPacket& parsed, Found& found) const noexcept {
    found.way = Way::None;
    if (parsed.kind != PacketKind::Flow && parsed.kind != PacketKind::IcmpError) return;
    if (parsed.family == Family::V4) {
      find_by(parsed.key.v4, parsed.hash, found);
    } else {
      find_by(parsed.key.v6, parsed.hash, found);
    }
  }
  template <class Key>
  void find_by(const Key& key, std::uint64_t& hash, Found& found) const noexcept {
    if constexpr (Tables::kHash) hash = flow_hash(key, table_->flow_key());
    const Service* service = table_->find(key);
    found.service = service;
    if (service == nullptr) return;
    if (!is_hashed(service->scheduler)) {
      found.way = Way::Memory;
      return store<Key>().prefetch(hash);
    }
    if (service->table == nullptr) return;
    found.way = Way::Slot;
    found.slot = slot_of_flow(*service, *service->table, key, hash, table_->flow_key());
    service->table->prefetch(found.slot);
  }
  // When that has come: the entry of the flow, or the tags for a slot that asks the memory.
  void prefetch_entry(const ParsedPacket& parsed, const Found& found) const noexcept {
    if (found.way == Way::Memory) {
      if (parsed.family == Family::V4) {
        flows4_.prefetch_entry(parsed.hash);
      } else {
        flows6_.prefetch_entry(parsed.hash);
      }
    } else if (found.way == Way::Slot && slot_asks(parsed, found)) {
      if (parsed.family == Family::V4) {
        flows4_.prefetch(parsed.hash);
      } else {
        flows6_.prefetch(parsed.hash);
      }
    }
  }
  [[nodiscard]] static bool slot_asks(const ParsedPacket& parsed, const Found& found) noexcept {
    const Service& service = *found.service;
    return asks_memory((service.table->hot(found.slot) & LB_SLOT_ASK) != 0,
                       flow_part(parsed.proto, parsed.tcp_flags), service.affinity);
  }

  void finish(Packet& packet, const ParsedPacket& parsed, const Verdict& verdict) noexcept {
    switch (verdict.action) {
      [[likely]] case Action::Forward:
        return send(packet, parsed, *verdict.rs, *verdict.service);
      case Action::Drop:
        return drop_packet(packet, verdict.reason, verdict.service);
      case Action::TimeExceeded:
        return send_time_exceeded(packet, parsed, verdict);
      case Action::EchoReply:
        return send_echo_reply(packet, parsed);
      case Action::Hold:
        return;
    }
  }

  void send(Packet& packet, const ParsedPacket& parsed, const RealServer& rs,
            const Service& service) noexcept {
    if (!rs.has_mac) [[unlikely]] {
      resolve_.request(slot_of(rs.id));
      return drop_packet(packet, DropReason::NoNeighbour, &service);
    }
    const EgressPort& port = table_->port(rs.egress);
    if (!port.up) [[unlikely]]
      return drop_packet(packet, DropReason::TxLinkDown, &service);
    if (auto reason = rewrite(packet, parsed, rs, port, table_->decrement_ttl())) [[unlikely]] {
      return drop_packet(packet, *reason, &service);
    }
    ServiceCounters& service_counters = counters_.services[slot_of(service.id)];
    service_counters.packets.add();
    service_counters.bytes.add(packet.bytes);
    RsCounters& rs_counters = counters_.rs[slot_of(rs.id)];
    rs_counters.packets.add();
    rs_counters.bytes.add(packet.bytes);
    out_->send(packet);
  }

  void drop_packet(const Packet& packet, DropReason reason, const Service* service) noexcept {
    counters_.worker.drop(reason);
    if (service != nullptr) counters_.services[slot_of(service->id)].drops.add();
    free(packet, *out_);
  }
  static void free(const Packet& packet, BatchOut& out) noexcept {
    out.freed[out.freed_count++] = packet.frame;
  }

  // The port a packet came from, when it can carry an answer.
  [[nodiscard]] const EgressPort* answer_port(const Packet& packet) const noexcept {
    if (raw(packet.port) >= table_->ports().size()) return nullptr;
    const EgressPort& port = table_->port(packet.port);
    return port.up ? &port : nullptr;
  }

  void send_time_exceeded(Packet& packet, const ParsedPacket& parsed,
                          const Verdict& verdict) noexcept {
    const EgressPort* port = answer_port(packet);
    if (port == nullptr || !icmp_tokens_.take(now_) ||
        !make_icmp_error(packet, parsed, port->mac, IcmpProblem::TimeExceeded)) {
      counters_.worker.icmp_suppressed.add();
      return drop_packet(packet, DropReason::TtlExpired, verdict.service);
    }
    counters_.worker.icmp_time_exceeded.add();
    counters_.worker.drop(DropReason::TtlExpired);
    if (verdict.service != nullptr) counters_.services[slot_of(verdict.service->id)].drops.add();
    out_->send(packet);
  }

  void send_echo_reply(Packet& packet, const ParsedPacket& parsed) noexcept {
    const EgressPort* port = answer_port(packet);
    if (port == nullptr) return drop_packet(packet, DropReason::TxLinkDown, nullptr);
    make_echo_reply(packet, parsed, port->mac);
    counters_.worker.icmp_echo_replies.add();
    out_->send(packet);
  }

  // Sends the held fragments whose first one has come, and with `ask_peers` also those whose first
  // one a peer has seen; drops those that waited too long.
  void release_followed(bool ask_peers) noexcept {
    std::optional<FragmentTarget> target;
    held_checked_ = now_;
    held_.take_if(
        [&](const HeldFragment& held) {
          target = find_fragment(held.key, ask_peers);
          return target || ms_since(now_, held.since) > static_cast<int>(fragment_timeout_ms_);
        },
        [&](HeldFragment& held) {
          if (!target) return drop_packet(held.packet, DropReason::FragmentTimeout, nullptr);
          counters_.worker.fragments_followed.add();
          Verdict verdict;
          follow(*target, held.parsed, verdict);
          finish(held.packet, held.parsed, verdict);
        });
  }

  // Buckets to age after `elapsed` ms; `rest` carries what is less than a bucket or over the bound
  // of a call, but no more than a turn.
  static std::uint32_t buckets_due(std::uint32_t buckets, std::uint32_t elapsed,
                                   std::uint64_t& rest) noexcept {
    rest += std::uint64_t{buckets} * elapsed;
    rest = std::min(rest, std::uint64_t{buckets} * kSweepTurnMs);
    const std::uint64_t due = std::min(rest / kSweepTurnMs, kSweepCallBuckets);
    rest -= due * kSweepTurnMs;
    return static_cast<std::uint32_t>(due);
  }

  // Hot: what a batch is under way with.
  TickMs now_ = 0;
  bool first_fragment_seen_ = false;
  const ServiceTable* table_ = nullptr;
  BatchOut* out_ = nullptr;
  Counters& counters_;
  ResolveRequests& resolve_;
  FlowLimits limits_;
  FlowStore<FlowKey4, Table4> flows4_;
  FlowStore<FlowKey6, Table6> flows6_;
  std::array<ParsedPacket, kChunk> parsed_;
  std::array<Found, kChunk> found_;
  std::array<Verdict, kChunk> verdicts_;
  // Cold:
  FragmentTable fragments_;
  HeldFragments held_;
  std::uint32_t fragment_timeout_ms_;
  TickMs held_checked_ = 0;
  TickMs swept_ = 0;
  std::uint64_t sweep_rest4_ = 0;
  std::uint64_t sweep_rest6_ = 0;
  TokenBucket icmp_tokens_;
  std::vector<SchedulerState> scheduler_states_;
  std::array<const Counters*, 1> own_counters_;
  LoadView load_;
  std::uint64_t random_;
  Generation checked_ = Generation::None;
  std::vector<const PipelineCore*> peers_;
};

}  // namespace lb

#include "dataplane/pipeline_flows.h"   // IWYU pragma: export
#include "dataplane/pipeline_lookup.h"  // IWYU pragma: export
