// SPDX-License-Identifier: Apache-2.0
// The index as the XDP program searches it, compared with ServiceTable::find.
#include "dataplane/table/kernel_index.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "tests/support/slot_table.h"
#include "tests/unit/dataplane/table_fixture.h"

namespace lb {
namespace {

/// The search of bpf/xdp_lookup.bpf.h, over bytes.
class Index {
 public:
  Index(std::vector<std::byte> bytes, IndexRoom room) : bytes_(std::move(bytes)), room_(room) {}
  [[nodiscard]] const lb_index_head& head() const {
    return *reinterpret_cast<const lb_index_head*>(bytes_.data());
  }
  [[nodiscard]] const lb_index_slot& slot(std::uint32_t at) const {
    return reinterpret_cast<const lb_index_slot*>(bytes_.data() +
                                                  sizeof(lb_index_head))[at & (room_.slots - 1)];
  }
  [[nodiscard]] const lb_index_range& range(std::uint32_t at) const {
    return reinterpret_cast<const lb_index_range*>(&slot(0) + room_.slots)[at];
  }
  [[nodiscard]] const lb_index_slot* find(const IpAddr& address, std::uint8_t proto,
                                          std::uint16_t port) const {
    std::uint64_t words[2];
    std::memcpy(words, address.data(), sizeof words);
    const std::uint32_t what = Be16::from_host(port).raw() | std::uint32_t{proto} << 16 |
                               std::uint32_t{raw(address.family())} << 24;
    const auto at =
        static_cast<std::uint32_t>(lb_hash_vip(words[0], words[1], what, &head().index_key));
    for (std::uint32_t i = 0; i < LB_INDEX_PROBES; ++i) {
      const lb_index_slot& there = slot(at + i);
      std::uint32_t its = 0;
      std::memcpy(&its, &there.key.port_be, sizeof its);
      if (its == what && std::memcmp(there.key.addr, words, sizeof words) == 0) return &there;
      if (there.key.family == 0) break;
    }
    return nullptr;
  }
  /// How far a slot is behind the place of its key.
  [[nodiscard]] int away(const lb_index_slot& there) const {
    std::uint64_t words[2];
    std::uint32_t what = 0;
    std::memcpy(words, there.key.addr, sizeof words);
    std::memcpy(&what, &there.key.port_be, sizeof what);
    const auto home =
        static_cast<std::uint32_t>(lb_hash_vip(words[0], words[1], what, &head().index_key));
    const auto at = static_cast<std::uint32_t>(&there - &slot(0));
    return static_cast<int>((at - home) & (room_.slots - 1));
  }
  [[nodiscard]] std::uint32_t service(const IpAddr& vip, std::uint8_t proto,
                                      std::uint16_t port) const {
    if (const lb_index_slot* exact = find(vip, proto, port); exact != nullptr && port != 0) {
      return exact->service_id;
    }
    const lb_index_slot* group = find(vip, proto, 0);
    if (group == nullptr) return 0;
    for (std::uint32_t i = 0; i < group->list_count; ++i) {
      const lb_index_range& one = range(group->list_first + i);
      if (port >= one.first && port <= one.last) return slot(one.slot).service_id;
    }
    return 0;
  }

 private:
  std::vector<std::byte> bytes_;
  IndexRoom room_;
};

Index index_of(const ServiceTable& table, std::uint32_t services_max) {
  const IndexRoom room = IndexRoom::for_services(services_max, 64);
  const std::vector<std::uint32_t> refs(table.services().size(), LB_TABLE_NONE);
  auto bytes = build_kernel_index(table, refs, room);
  EXPECT_TRUE(bytes) << bytes.error().message;
  return {std::move(*bytes), room};
}

TEST(KernelIndex, TellsWhatAVipTakes) {
  SpecBuilder builder;
  for (const char* text : {"192.0.2.1:80/tcp", "192.0.2.1:8000-8100/tcp", "192.0.2.1:200-210/tcp",
                           "[2001:db8::1]:any/udp", "[2001:db8::1]:5-9/udp"}) {
    builder.service(text);
  }
  builder.spec.vips[0].pass_unmatched = true;
  builder.spec.vips[1].echo_reply = false;
  auto table = builder.build();
  Index index = index_of(*table, 16);
  EXPECT_EQ(
      index.find(*IpAddr::parse("192.0.2.1"), 0, 0)->flags,
      LB_VIP_PASS_UNMATCHED | LB_VIP_ECHO_REPLY | LB_VIP_PASS_LATER_UDP | LB_VIP_PASS_LATER_SCTP);
  EXPECT_EQ(index.find(*IpAddr::parse("2001:db8::1"), 0, 0)->flags, 0U);
  EXPECT_EQ(index.find(*IpAddr::parse("192.0.2.2"), 0, 0), nullptr);
  EXPECT_EQ(index.find(*IpAddr::parse("192.0.2.1"), 6, 0)->list_count, 2U);
}

TEST(KernelIndex, FindsWhatTheTableFinds) {
  std::mt19937 random(11);
  for (int round = 0; round < 20; ++round) {
    SpecBuilder builder;
    for (int i = 0; i < 200; ++i) {
      const std::string vip = "192.0.2." + std::to_string(random() % 50 + 1);
      const std::string port = std::to_string(random() % 60000 + 1);
      const std::string any = i % 9 == 0 ? "any" : port;
      bool taken = false;
      const char* proto = i % 2 == 0 ? "tcp" : "udp";
      auto address = *ServiceAddr::parse(fmt::format("{}:{}/{}", vip, any, proto));
      for (const Service& other : builder.spec.services) taken |= other.address == address;
      if (!taken) builder.service(address.to_string());
    }
    auto table = builder.build();
    Index index = index_of(*table, 256);
    for (int i = 0; i < 5000; ++i) {
      FlowKey4 key;
      key.vip = IpAddr::parse("192.0.2." + std::to_string(random() % 60 + 1))->as_v4();
      const Service& some = table->services()[random() % table->services().size()];
      const auto port =
          static_cast<std::uint16_t>(i % 2 == 0 ? some.address.port_first : random() % 65535 + 1);
      key.vip_port = Be16::from_host(port);
      key.proto = i % 3 == 0 ? 17 : 6;
      const Service* found = table->find(key);
      EXPECT_EQ(index.service(IpAddr::v4(key.vip), key.proto, port),
                found == nullptr ? 0U : raw(found->id));
    }
  }
}

/// The slots behind its place of the key that is farthest from it; fails where one is not found.
int longest_search(const std::vector<std::string>& services, std::uint32_t services_max) {
  SpecBuilder builder;
  for (const std::string& service : services) builder.service(service);
  auto table = builder.build();
  const Index index = index_of(*table, services_max);
  int longest = 0;
  for (const Service& service : table->services()) {
    const ServiceAddr& address = service.address;
    const auto* slot = index.find(address.vip, raw(address.proto), address.port_first);
    if (slot == nullptr) return LB_INDEX_PROBES;
    longest = std::max(longest, index.away(*slot));
  }
  return longest;
}

// Addresses and ports that differ in few bits, wherever those are.
TEST(KernelIndex, SetsWithAPatternAreSpread) {
  std::vector<std::string> ends, ports, subnets;
  for (int i = 1; i < 256; ++i) {
    for (int port : {389, 995, 443, 140}) {
      ends.push_back(fmt::format("[2001:db8::{:x}]:{}/tcp", i, port));
    }
  }
  EXPECT_LE(longest_search(ends, 1024), 8);
  for (int group = 0; group < 8; ++group) {
    std::vector<std::string> vips;
    for (int i = 1; i <= 1000; ++i) {
      std::array<int, 8> groups{0x2001, 0xdb8, 1, 2, 3, 4, 5, 6};
      groups[static_cast<std::size_t>(group)] = 0x2000 + i;
      vips.push_back(fmt::format("[{:x}]:80/tcp", fmt::join(groups, ":")));
      vips.push_back(fmt::format("[{:x}]:443/tcp", fmt::join(groups, ":")));
    }
    EXPECT_LE(longest_search(vips, 2048), 8) << group;
  }
  for (int i = 1; i <= 8000; ++i) ports.push_back(fmt::format("192.0.2.1:{}/tcp", i));
  EXPECT_LE(longest_search(ports, 8192), 8);
  for (int i = 0; i < 4000; ++i) {
    subnets.push_back(fmt::format("10.{}.{}.1:80/tcp", i / 256, i % 256));
    subnets.push_back(fmt::format("10.{}.{}.1:443/udp", i / 256, i % 256));
  }
  EXPECT_LE(longest_search(subnets, 8192), 8);
}

TEST(ServiceIndex, SetsWithAPatternAreSpread) {
  for (std::size_t byte = 0; byte < 16; ++byte) {
    ServiceIndex index(510, {1, 2});
    std::vector<ServiceIndex::Key> keys;
    for (std::uint32_t i = 0; i < 510; ++i) {
      std::array<std::uint8_t, 16> address{0x20, 1, 0xd, 0xb8};
      address[byte] = static_cast<std::uint8_t>(i / 2);
      keys.push_back(ServiceIndex::key_v6(address.data(), ServiceIndex::Kind::Exact, 6,
                                          Be16::from_host(i % 2 == 0 ? 80 : 443)));
      ASSERT_TRUE(index.insert(keys.back(), i));
    }
    std::size_t steps = 0;
    for (const auto& key : keys) steps += index.steps(key);
    EXPECT_LT(steps, 2 * keys.size()) << "byte " << byte;
  }
}

TEST(KernelIndex, RefusesWhatDoesNotFit) {
  SpecBuilder builder;
  for (int i = 0; i < 60; ++i) builder.service("192.0.2.1:" + std::to_string(100 + i) + "/tcp");
  auto table = builder.build();
  const std::vector<std::uint32_t> refs(60, LB_TABLE_NONE);
  auto bytes = build_kernel_index(*table, refs, {.slots = 64, .ranges = 8, .ids = 8});
  ASSERT_FALSE(bytes);
  EXPECT_NE(bytes.error().message.find("services_max"), std::string::npos);
}

TEST(KernelIndex, IsReadBackAsItWasBuilt) {
  SpecBuilder builder;
  for (const char* text : {"192.0.2.1:80/tcp", "192.0.2.1:8000-8100/tcp", "192.0.2.1:200-210/tcp",
                           "[2001:db8::1]:any/udp", "[2001:db8::1]:5-9/udp", "192.0.2.2:5/sctp"}) {
    builder.service(text);
  }
  builder.spec.services[0].scheduler = Scheduler::Sh;
  builder.spec.services[1].scheduler = Scheduler::Wlc;
  builder.spec.services[3].scheduler = Scheduler::Dh;
  builder.spec.services[3].affinity = Affinity::Always;
  builder.spec.services[4].scheduler = Scheduler::Mh;
  builder.spec.services[4].affinity = Affinity::None;
  builder.rs("192.0.2.21");  // of the last service
  builder.rs("192.0.2.22");
  test::give_tables(builder.spec);
  auto table = builder.build();
  const IndexRoom room = IndexRoom::for_services(16, 64);
  std::vector<std::uint32_t> refs;
  for (const Service& service : table->services()) refs.push_back(slot_of(service.id));
  const auto bytes = build_kernel_index(*table, refs, room).value();
  auto read = read_kernel_index(bytes, room);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), table->services().size());
  for (const IndexedService& one : *read) {
    const Service* service = table->service(one.service.id);
    ASSERT_NE(service, nullptr);
    EXPECT_EQ(one.service.address, service->address);
    EXPECT_EQ(one.service.hash_key, service->hash_key);
    EXPECT_EQ(one.service.affinity, service->affinity);
    EXPECT_EQ(is_hashed(one.service.scheduler), is_hashed(service->scheduler));
    if (is_hashed(service->scheduler)) {
      EXPECT_EQ(one.service.scheduler, service->scheduler);
    }
    EXPECT_EQ(one.table_ref, slot_of(service->id));
    EXPECT_EQ(one.service.members, service->members);
  }
}

TEST(KernelIndex, AServiceWhoseMembersDoNotFitIsTheWorkers) {
  SpecBuilder builder;
  for (int i = 0; i < 3; ++i) {
    builder.service("192.0.2.1:" + std::to_string(100 + i) + "/tcp");
    for (int last = 1; last <= 3; ++last) builder.rs("192.0.2.2" + std::to_string(last));
  }
  test::give_tables(builder.spec);
  auto table = builder.build();
  const IndexRoom room{.slots = 64, .ranges = 8, .ids = 8};
  const std::vector<std::uint32_t> refs{0, 1, 2};
  const auto read = read_kernel_index(build_kernel_index(*table, refs, room).value(), room);
  ASSERT_TRUE(read) << read.error().message;
  int with_table = 0;
  for (const IndexedService& one : *read) {
    const bool told = one.table_ref != LB_TABLE_NONE;
    with_table += told;
    EXPECT_EQ(one.service.members.size(), told ? 3U : 0U);
  }
  EXPECT_EQ(with_table, 2);
}

TEST(KernelIndex, NothingInItIsTrustedWhenItIsReadBack) {
  SpecBuilder builder;
  builder.service("192.0.2.1:80/tcp");
  builder.service("192.0.2.1:8000-8100/tcp");
  builder.service("[2001:db8::1]:any/udp");
  auto table = builder.build();
  const IndexRoom room = IndexRoom::for_services(16, 64);
  const std::vector<std::uint32_t> refs(3, LB_TABLE_NONE);
  const auto sound = build_kernel_index(*table, refs, room).value();
  EXPECT_FALSE(read_kernel_index(std::span(sound).first(sound.size() - 1), room));
  std::mt19937 random(5);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    auto bytes = sound;
    for (int i = 0; i < 40; ++i) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    auto read = read_kernel_index(bytes, room);
    refused += !read;
    if (!read) continue;
    for (const IndexedService& one : *read) {
      EXPECT_NE(one.service.id, ServiceId::None);
      EXPECT_LE(one.service.address.port_first, one.service.address.port_last);
    }
  }
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace lb
