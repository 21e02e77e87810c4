// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/vip_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

namespace lb {
namespace {

ServiceTable::VipMapEntry entry(std::uint16_t port, std::uint32_t flags) {
  ServiceTable::VipMapEntry made{};
  made.key.family = 4;
  made.key.port_be = port;
  made.value.flags = flags;
  return made;
}

/// The map that a change makes of `from`, as port -> flags.
std::map<std::uint16_t, std::uint32_t> applied(const VipEntries& from, const VipMapChange& change) {
  std::map<std::uint16_t, std::uint32_t> map;
  for (const auto& e : from) map[e.key.port_be] = e.value.flags;
  for (const auto& key : change.remove) EXPECT_EQ(map.erase(key.port_be), 1U);
  for (const auto& e : change.put) map[e.key.port_be] = e.value.flags;
  return map;
}

TEST(VipMapChange, NothingChangesBetweenEqualMaps) {
  VipEntries entries = {entry(2, 0), entry(1, 0)};
  auto change = vip_map_change(entries, {entry(1, 0), entry(2, 0)});
  EXPECT_TRUE(change.put.empty());
  EXPECT_TRUE(change.remove.empty());
}

TEST(VipMapChange, FromNothingAndToNothing) {
  EXPECT_EQ(vip_map_change({}, {entry(1, 0)}).put.size(), 1U);
  EXPECT_EQ(vip_map_change({entry(1, 0)}, {}).remove.size(), 1U);
  EXPECT_TRUE(vip_map_change({}, {}).put.empty());
}

TEST(VipMapChange, ChangedValueIsPutAndNotRemoved) {
  auto change = vip_map_change({entry(1, 0)}, {entry(1, 7)});
  ASSERT_EQ(change.put.size(), 1U);
  EXPECT_EQ(change.put[0].value.flags, 7U);
  EXPECT_TRUE(change.remove.empty());
}

TEST(VipMapChange, LeadsFromAnyMapToAnyOther) {
  std::mt19937 random(3);
  for (int i = 0; i < 500; ++i) {
    VipEntries from;
    VipEntries to;
    for (std::uint16_t port = 0; port < 20; ++port) {
      if (random() % 2 == 0) from.push_back(entry(port, random() % 2));
      if (random() % 2 == 0) to.push_back(entry(port, random() % 2));
    }
    std::ranges::shuffle(from, random);
    std::ranges::shuffle(to, random);
    EXPECT_EQ(applied(from, vip_map_change(from, to)), applied(to, {}));
  }
}

}  // namespace
}  // namespace lb
