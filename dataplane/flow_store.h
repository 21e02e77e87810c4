// SPDX-License-Identifier: Apache-2.0
// FlowStore: a flow table and the counters that must agree with it. Every change of a flow goes
// through here and nowhere else, so that at any time, for each RS slot, active + inactive is the
// number of entries whose RS id has that slot (also when the id is stale); flows_half_open is that
// of the entries in SYN_RECV of hashed services (FlowLimits says which those are); and
// flows_new + flows_from_peer + flows_adopted = entries + flows_expired + flows_evicted_*.
// One worker's own; the table itself may be read by other workers.
#pragma once

#include <cstdint>
#include <utility>

#include "dataplane/counters.h"
#include "dataplane/flow_limits.h"
#include "dataplane/table/flow_table.h"
#include "dataplane/table/service_table.h"

namespace lb {

/// Where an entry comes from.
enum class FlowOrigin : std::uint8_t {
  New,      ///< the flow begins, or nobody knew it: the service and the RS count it
  Running,  ///< of a hashed service: it was there without an entry, which it needs from now on
  Peer,     ///< another worker has it
};

template <class Key, class Table = FlowTable<Key>>
class FlowStore {
 public:
  using Entry = typename Table::Entry;

  /// `counters` and `limits` outlive the store and have a slot for every RS and service that will
  /// be stored.
  FlowStore(Table table, Counters& counters, FlowLimits& limits)
      : table_(std::move(table)), counters_(counters), limits_(limits) {}

  /// Counts the flows that the table came with; forgets those whose ids the counters have no slot
  /// for, as if they had never been. Call once, before any other change.
  void adopt() noexcept {
    if (table_.size() == 0) return;
    table_.sweep(table_.buckets(), [&](const Key&, const FlowData& flow) {
      if (slot_of(flow.rs) >= counters_.rs_max || slot_of(flow.service) >= counters_.services_max) {
        return true;
      }
      enter(flow);
      counters_.worker.flows_adopted.add();
      return false;
    });
  }

  void prefetch(std::uint64_t hash) const noexcept { table_.prefetch(hash); }
  void prefetch_entry(std::uint64_t hash) const noexcept { table_.prefetch_entry(hash); }
  [[nodiscard]] Entry* find(const Key& key, std::uint64_t hash) noexcept {
    return table_.find(key, hash);
  }
  [[nodiscard]] FlowData data(const Entry& entry) const noexcept { return table_.data(entry); }

  /// A packet of a living flow: `before` is data(entry).
  void touch(Entry& entry, const FlowData& before, FlowState state, TickMs now) noexcept {
    if (before.last_seen == now && before.state == state) return;
    if (before.state != state) {
      leave(before);
      enter({before.rs, before.service, now, state});
    }
    table_.update(entry, {before.rs, before.service, now, state});
  }

  /// The entry becomes another flow of the same key: the one that it held is over.
  void replace(Entry& entry, const FlowData& flow, FlowOrigin origin) noexcept {
    leave(data(entry));
    counters_.worker.flows_expired.add();
    enter(flow);
    count_origin(flow, origin);
    table_.update(entry, flow);
  }

  /// REQUIRES: find() said null. `expired(const FlowData&)` as in FlowTable::insert.
  template <class Expired>
  void insert(const Key& key, std::uint64_t hash, const FlowData& flow, FlowOrigin origin,
              Expired&& expired) noexcept {
    auto inserted = table_.insert(key, hash, flow, std::forward<Expired>(expired));
    if (inserted.replaced) {
      leave(inserted.evicted);
      (inserted.outcome == InsertOutcome::EvictedAlive ? counters_.worker.flows_evicted_alive
                                                       : counters_.worker.flows_evicted_idle)
          .add();
    }
    enter(flow);
    count_origin(flow, origin);
  }

  /// The flow is over: its entry goes.
  void erase(Entry& entry) noexcept {
    leave(data(entry));
    counters_.worker.flows_expired.add();
    table_.erase(entry);
  }

  /// Ages the next `buckets` buckets: erases the flows for which
  /// `expired(const Key&, const FlowData&)`.
  template <class Expired>
  void sweep(std::uint32_t buckets, Expired&& expired) noexcept {
    table_.sweep(buckets, [&](const Key& key, const FlowData& flow) {
      if (!expired(key, flow)) return false;
      leave(flow);
      counters_.worker.flows_expired.add();
      return true;
    });
  }

  [[nodiscard]] const Table& table() const noexcept { return table_; }

 private:
  [[nodiscard]] Counter& living(const FlowData& flow) noexcept {
    RsCounters& rs = counters_.rs[slot_of(flow.rs)];
    return is_active(flow.state) ? rs.active : rs.inactive;
  }
  void enter(const FlowData& flow) noexcept {
    living(flow).add();
    limits_.enter(flow);
  }
  void leave(const FlowData& flow) noexcept {
    living(flow).sub();
    limits_.leave(flow);
  }
  void count_origin(const FlowData& flow, FlowOrigin origin) noexcept {
    if (origin == FlowOrigin::Peer) {
      counters_.worker.flows_from_peer.add();
      return;
    }
    counters_.worker.flows_new.add();
    if (origin == FlowOrigin::Running) return;
    counters_.services[slot_of(flow.service)].new_flows.add();
    counters_.rs[slot_of(flow.rs)].new_flows.add();
  }

  Table table_;
  Counters& counters_;
  FlowLimits& limits_;
};

}  // namespace lb
