// SPDX-License-Identifier: Apache-2.0
// RandomWorld: services of every kind and changes to them, one after the other, as control makes
// them: an owner of a slot is up, a member keeps its place in its table, an id is not used again.
// The same seed gives the same world. Tests only.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "dataplane/table/service_table.h"
#include "dataplane/table/slot_plan.h"
#include "tests/support/packet_builder.h"

namespace lb::test {

class RandomWorld {
 public:
  static constexpr std::uint32_t kServices = 16;
  static constexpr std::uint32_t kPlaces = 9;  ///< members of a service; the last is the sorry one

  /// `memory` outlives the world.
  RandomWorld(std::uint64_t seed, TableMemory& memory);
  /// Changes something: a server is added, removed, drained, weighed anew, fails or comes back,
  /// loses its MAC; slots close; a service comes or goes; a port goes down ...
  void change();
  /// What there is now, and its tables.
  [[nodiscard]] Result<ServiceTableSpec> spec();
  /// Where packets go to.
  [[nodiscard]] std::vector<ServiceAddr> addresses() const;

 private:
  struct Member {
    bool present = false;
    RealServer rs;
    std::uint16_t incarnation = 0;
  };
  struct Place {
    Service service;
    bool present = true;
    std::uint16_t incarnation = 1;
    std::uint64_t salt = 0;
    std::vector<Member> members{kPlaces};
    SlotPlan plan;
    std::uint32_t slots = 251;
  };
  [[nodiscard]] std::uint32_t one_of(std::size_t count) {
    return static_cast<std::uint32_t>(random_() % count);
  }
  void add_service(const char* address);
  void add_member(std::size_t place, std::size_t member);
  void change_member(Place& place, Member& member);
  void change_slots(Place& place);
  void change_around();
  void plan(Place& place);
  [[nodiscard]] std::vector<std::uint16_t> owners_of(const Place& place) const;
  [[nodiscard]] static MemberBits alive(const Place& place);
  [[nodiscard]] Result<std::shared_ptr<TableObject>> table_of(const Place& place);

  std::mt19937_64 random_;
  TableMemory& memory_;
  std::vector<Place> places_;
  ServiceTableSpec base_;  // VIPs, ports, keys
  std::uint32_t now_s_ = 1000;
};

}  // namespace lb::test
