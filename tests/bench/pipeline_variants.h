// SPDX-License-Identifier: Apache-2.0
// Tables to put in the place of FlowTable: none at all (every packet finds the same flow, no hash
// is computed), and boost::unordered_flat_map behind the same interface. For pipeline_bench.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <optional>

#include "dataplane/pipeline_core.h"

namespace lb::bench {

template <class Key>
class NoTable {
 public:
  struct Entry {
    FlowData data;
  };
  explicit NoTable(const FlowData& flow) : entry_{flow} {}
  void prefetch(std::uint64_t) const noexcept {}
  void prefetch_entry(std::uint64_t) const noexcept {}
  Entry* find(const Key&, std::uint64_t) noexcept { return &entry_; }
  template <class Expired>
  typename FlowTable<Key>::Inserted insert(const Key&, std::uint64_t, const FlowData&,
                                           Expired&&) noexcept {
    return {};
  }
  void update(Entry& entry, const FlowData& flow) noexcept { entry.data = flow; }
  void erase(Entry&) noexcept {}
  static FlowData data(const Entry& entry) noexcept { return entry.data; }
  template <class Visit>
  void sweep(std::uint32_t, Visit&&) noexcept {}
  std::optional<FlowData> read(const Key&, std::uint64_t) const noexcept { return std::nullopt; }
  std::uint32_t buckets() const noexcept { return 0; }
  std::size_t memory_bytes() const noexcept { return sizeof *this; }

 private:
  Entry entry_;
};

/// The flow hash is computed once and handed in with the key, as FlowTable has it.
template <class Key>
class FlatMap {
  struct Hashed {
    Key key;
    std::uint64_t hash;
    friend bool operator==(const Hashed& a, const Hashed& b) noexcept { return a.key == b.key; }
  };
  struct Hash {
    using is_avalanching = void;
    std::size_t operator()(const Hashed& hashed) const noexcept { return hashed.hash; }
  };
  // The hash need not be stored: it is needed again only when the map grows, which it does not.
  using Map = boost::unordered_flat_map<Hashed, FlowData, Hash>;

 public:
  using Entry = typename Map::value_type;
  explicit FlatMap(std::size_t flows) { map_.reserve(flows); }
  void prefetch(std::uint64_t) const noexcept {}
  void prefetch_entry(std::uint64_t) const noexcept {}
  Entry* find(const Key& key, std::uint64_t hash) noexcept {
    auto found = map_.find(Hashed{key, hash});
    return found == map_.end() ? nullptr : &*found;
  }
  template <class Expired>
  typename FlowTable<Key>::Inserted insert(const Key& key, std::uint64_t hash, const FlowData& flow,
                                           Expired&&) noexcept {
    map_.emplace(Hashed{key, hash}, flow);
    return {nullptr, InsertOutcome::Inserted, {}, false};
  }
  void update(Entry& entry, const FlowData& flow) noexcept { entry.second = flow; }
  void erase(Entry& entry) noexcept { map_.erase(entry.first); }
  static FlowData data(const Entry& entry) noexcept { return entry.second; }
  template <class Visit>
  void sweep(std::uint32_t, Visit&&) noexcept {}
  std::optional<FlowData> read(const Key&, std::uint64_t) const noexcept { return std::nullopt; }
  std::uint32_t buckets() const noexcept { return 0; }
  std::size_t memory_bytes() const noexcept { return sizeof *this; }

 private:
  Map map_;
};

struct NoTables {
  template <class Key>
  using Table = NoTable<Key>;
  static constexpr bool kHash = false;
};
struct FlatMaps {
  template <class Key>
  using Table = FlatMap<Key>;
  static constexpr bool kHash = true;
};

}  // namespace lb::bench
