// SPDX-License-Identifier: Apache-2.0
// ServiceTable: lookups at the edges and against a linear model, refusals, the VIP map's entries.
#include "dataplane/table/service_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "tests/support/slot_table.h"
#include "tests/unit/dataplane/table_fixture.h"

namespace lb {
namespace {

using testing::HasSubstr;

const Service* find(const ServiceTable& table, const IpAddr& vip, Proto proto, std::uint16_t port) {
  if (vip.is_v4()) {
    FlowKey4 key;
    key.client = Be32::from_host(0x0a000001);
    key.vip = vip.as_v4();
    key.client_port = Be16::from_host(4711);
    key.vip_port = Be16::from_host(port);
    key.proto = raw(proto);
    return table.find(key);
  }
  FlowKey6 key;
  std::memcpy(key.vip, vip.data(), 16);
  key.vip_port = Be16::from_host(port);
  key.proto = raw(proto);
  return table.find(key);
}

std::string found(const ServiceTable& table, std::string_view vip, Proto proto, int port) {
  const Service* service =
      find(table, *IpAddr::parse(vip), proto, static_cast<std::uint16_t>(port));
  return service == nullptr ? "none" : service->address.to_string();
}

std::string refusal(const SpecBuilder& builder) {
  auto table = ServiceTable::build(builder.spec);
  EXPECT_FALSE(table);
  return table ? "" : table.error().message;
}

TEST(ServiceTable, OfNothingFindsNothing) {
  auto table = SpecBuilder().build();
  EXPECT_EQ(found(*table, "192.0.2.1", Proto::Tcp, 80), "none");
  EXPECT_EQ(found(*table, "2001:db8::1", Proto::Tcp, 80), "none");
  EXPECT_FALSE(table->is_vip(*IpAddr::parse("192.0.2.1")));
  EXPECT_EQ(table->rs(make_rs_id(0, 1)), nullptr);
  EXPECT_EQ(table->rs(RsId::None), nullptr);
  EXPECT_EQ(table->service(make_service_id(0, 1)), nullptr);
}

TEST(ServiceTable, PrefersExactToRangeToAnyPort) {
  SpecBuilder builder;
  for (const char* text : {"192.0.2.1:any/tcp", "192.0.2.1:8000-8100/tcp", "192.0.2.1:8050/tcp",
                           "192.0.2.1:8101-8101/tcp", "192.0.2.1:1-79/tcp", "192.0.2.2:53/udp",
                           "[2001:db8::1]:443/tcp", "[2001:db8::1]:1000-2000/udp"}) {
    builder.service(text);
  }
  auto table = builder.build();
  EXPECT_EQ(found(*table, "192.0.2.1", Proto::Tcp, 8050), "192.0.2.1:8050/tcp");
  for (int port : {8000, 8049, 8051, 8100}) {
    EXPECT_EQ(found(*table, "192.0.2.1", Proto::Tcp, port), "192.0.2.1:8000-8100/tcp");
  }
  EXPECT_EQ(found(*table, "192.0.2.1", Proto::Tcp, 8101), "192.0.2.1:8101/tcp");
  for (int port : {80, 7999, 8102, 65535}) {
    EXPECT_EQ(found(*table, "192.0.2.1", Proto::Tcp, port), "192.0.2.1:any/tcp");
  }
  EXPECT_EQ(found(*table, "192.0.2.1", Proto::Tcp, 1), "192.0.2.1:1-79/tcp");
  EXPECT_EQ(found(*table, "192.0.2.1", Proto::Tcp, 0), "none");
  EXPECT_EQ(found(*table, "192.0.2.1", Proto::Udp, 8050), "none");
  EXPECT_EQ(found(*table, "192.0.2.2", Proto::Udp, 53), "192.0.2.2:53/udp");
  EXPECT_EQ(found(*table, "192.0.2.2", Proto::Tcp, 53), "none");
  EXPECT_EQ(found(*table, "2001:db8::1", Proto::Tcp, 443), "[2001:db8::1]:443/tcp");
  EXPECT_EQ(found(*table, "2001:db8::1", Proto::Udp, 2000), "[2001:db8::1]:1000-2000/udp");
  EXPECT_EQ(found(*table, "2001:db8::1", Proto::Udp, 2001), "none");
}

TEST(ServiceTable, KnowsItsVipsAndTheirPolicy) {
  SpecBuilder builder;
  builder.spec.vips.push_back({.address = *IpAddr::parse("192.0.2.9"), .pass_unmatched = true});
  builder.service("[2001:db8::9]:80/tcp");
  auto table = builder.build();
  EXPECT_TRUE(table->is_vip(*IpAddr::parse("192.0.2.9")));
  EXPECT_TRUE(table->vip(*IpAddr::parse("192.0.2.9"))->pass_unmatched);
  EXPECT_TRUE(table->is_vip(*IpAddr::parse("2001:db8::9")));
  EXPECT_FALSE(table->is_vip(*IpAddr::parse("192.0.2.8")));
  // The same first bytes in the other family are another address.
  EXPECT_FALSE(table->is_vip(*IpAddr::parse("c000:209::")));
}

TEST(ServiceTable, NamesRealServersById) {
  SpecBuilder builder;
  builder.service("192.0.2.1:80/tcp");
  builder.rs("192.0.2.10").id = make_rs_id(65535, 7);
  builder.rs("192.0.2.11").id = make_rs_id(0, 65535);
  auto table = builder.build();
  EXPECT_EQ(table->rs(make_rs_id(65535, 7))->address.to_string(), "192.0.2.10");
  EXPECT_EQ(table->rs(make_rs_id(0, 65535))->address.to_string(), "192.0.2.11");
  EXPECT_EQ(table->rs(make_rs_id(65535, 6)), nullptr);
  EXPECT_EQ(table->rs(make_rs_id(1, 7)), nullptr);
  EXPECT_EQ(table->rs(RsId::None), nullptr);
  EXPECT_EQ(table->real_servers(table->services()[0]).size(), 2U);
  EXPECT_EQ(table->service(make_service_id(0, 1)), &table->services()[0]);
  EXPECT_EQ(table->service(make_service_id(0, 2)), nullptr);
}

TEST(ServiceTable, RefusesTwoServicesForTheSamePackets) {
  SpecBuilder twice;
  twice.service("192.0.2.1:80/tcp");
  twice.service("192.0.2.1:80/tcp");
  EXPECT_EQ(refusal(twice), "service 192.0.2.1:80/tcp is there twice");
  SpecBuilder overlap;
  overlap.service("192.0.2.1:80-90/tcp");
  overlap.service("192.0.2.1:90-95/tcp");
  EXPECT_EQ(refusal(overlap), "service 192.0.2.1:90-95/tcp overlaps 192.0.2.1:80-90/tcp");
  SpecBuilder inside;
  inside.service("192.0.2.1:85-86/tcp");
  inside.service("192.0.2.1:80-90/tcp");
  EXPECT_NE(refusal(inside).find("overlaps"), std::string::npos);
  SpecBuilder many;
  for (int i = 0; i <= LB_PORT_RANGES_MAX; ++i) {
    Service& service = many.service("192.0.2.1:1-2/tcp");
    service.address.port_first = static_cast<std::uint16_t>(100 * i + 1);
    service.address.port_last = static_cast<std::uint16_t>(100 * i + 2);
  }
  EXPECT_NE(refusal(many).find("more than 16 port ranges"), std::string::npos);
  many.spec.services.pop_back();
  many.service("192.0.2.1:any/tcp");
  EXPECT_NE(many.build(), nullptr);
}

TEST(ServiceTable, RefusesWhatCannotBe) {
  auto check = [](auto&& break_it, std::string_view expected) {
    SpecBuilder builder;
    builder.service("192.0.2.1:80/tcp");
    builder.rs("192.0.2.10");
    builder.rs("192.0.2.11");
    ASSERT_NE(builder.build(), nullptr);
    break_it(builder.spec);
    EXPECT_NE(refusal(builder).find(expected), std::string::npos) << refusal(builder);
  };
  using Spec = ServiceTableSpec;
  check([](Spec& s) { s.services[0].rs_count = 3; }, "beyond 2");
  check([](Spec& s) { s.services[0].rs_first = 0xffffffff; }, "beyond 2");
  check([](Spec& s) { s.services[0].sorry = 2; }, "sorry server 2");
  check([](Spec& s) { s.services[0].sorry = 1; }, "one of its real servers");
  check([](Spec& s) { s.services[0].id = ServiceId::None; }, "no id");
  check([](Spec& s) { s.services[0].address.port_first = 0; }, "no range");
  check([](Spec& s) { s.services[0].address.proto = Proto::Icmp; }, "protocol 1");
  check([](Spec& s) { s.vips.clear(); }, "not among the VIPs");
  check([](Spec& s) { s.vips.push_back(s.vips[0]); }, "VIP 192.0.2.1 is there twice");
  check([](Spec& s) { s.vips.push_back({.address = *IpAddr::parse("224.0.0.1")}); },
        "VIP 224.0.0.1");
  check([](Spec& s) { s.real_servers[1].id = s.real_servers[0].id; }, "slot 0 is taken");
  check([](Spec& s) { s.real_servers[1].id = make_rs_id(0, 2); }, "slot 0 is taken");
  check([](Spec& s) { s.real_servers[1].id = make_rs_id(3, 0); }, "no id");
  check([](Spec& s) { s.real_servers[1].address = s.real_servers[0].address; }, "twice");
  check([](Spec& s) { s.real_servers[0].address = s.vips[0].address; }, "cannot have the VIP");
  check([](Spec& s) { s.real_servers[0].address = *IpAddr::parse("::9"); }, "other address family");
  check([](Spec& s) { s.real_servers[0].weight = 65536; }, "weight 65536");
  check([](Spec& s) { s.real_servers[0].vlan = 4095; }, "VLAN 4095");
  check([](Spec& s) { s.real_servers[0].egress = PortIndex{1}; }, "port 1 of 1");
  check([](Spec& s) { s.real_servers[0].mac = {}; }, "MAC 00:00:00:00:00:00");
  check([](Spec& s) { s.real_servers[0].mac.bytes[0] = 1; }, "MAC 01:");
  check(
      [](Spec& s) {
        s.services.push_back(s.services[0]);
        s.services[1].id = make_service_id(1, 1);
        s.services[1].address.port_first = s.services[1].address.port_last = 81;
      },
      "belongs to another service");
}

TEST(ServiceTable, RefusesATableOfSlotsThatDoesNotFitItsServers) {
  auto refused = [](auto&& break_it) {
    SpecBuilder builder;
    builder.service("192.0.2.1:80/tcp");
    builder.rs("192.0.2.10");
    builder.rs("192.0.2.11");
    builder.service("192.0.2.1:81/tcp");
    builder.rs("192.0.2.10");
    auto table = test::SlotTable(builder.spec, builder.spec.services[0]).maglev().take();
    builder.spec.services[0].table = table;
    test::name_members(builder.spec, builder.spec.services[0]);
    break_it(builder.spec, *table);
    auto built = ServiceTable::build(builder.spec);
    return built ? std::string() : built.error().message;
  };
  using Spec = ServiceTableSpec;
  EXPECT_EQ(refused([](Spec&, TableObject&) {}), "");
  EXPECT_THAT(refused([](Spec&, TableObject& t) { t.head().slots = 0; }), HasSubstr("0 slots"));
  EXPECT_THAT(refused([](Spec&, TableObject& t) { t.head().slots = 253; }), HasSubstr("253 slots"));
  EXPECT_THAT(refused([](Spec&, TableObject& t) { t.head().members = 3; }), HasSubstr("3 members"));
  EXPECT_THAT(refused([](Spec&, TableObject& t) { t.head().members = 1; }), HasSubstr("not there"));
  EXPECT_THAT(refused([](Spec& s, TableObject&) { s.services[0].members.pop_back(); }),
              HasSubstr("1 members of a table of 2"));
  EXPECT_THAT(refused([](Spec&, TableObject& t) { t.hot_slots()[7] = 2; }), HasSubstr("slot 7"));
  EXPECT_THAT(refused([](Spec&, TableObject& t) { t.head().version = 1; }), HasSubstr("version"));
  EXPECT_THAT(
      refused([](Spec& s, TableObject&) { s.services[0].members[1] = s.real_servers[2].id; }),
      HasSubstr("member 1 of its table is none of its servers"));
  EXPECT_THAT(refused([](Spec& s, TableObject&) { s.services[0].members[0] = make_rs_id(0, 2); }),
              HasSubstr("member 0"));
  EXPECT_THAT(refused([](Spec& s, TableObject&) { s.services[0].members[0] = make_rs_id(9, 1); }),
              HasSubstr("member 0"));
  EXPECT_THAT(refused([](Spec& s, TableObject&) { s.services[0].members[0] = RsId::None; }),
              HasSubstr("member 0"));
  EXPECT_THAT(refused([](Spec&, TableObject& t) { t.members()[0].place = 2; }),
              HasSubstr("member 0"));
  EXPECT_EQ(refused([](Spec& s, TableObject& t) {
              s.services[0].rs_count = 1;
              s.services[0].sorry = 1;  // it may be any of both
              t.members()[1].flags = 0;
            }),
            "");
}

TEST(ServiceTable, PlansACycleOfTheWeightsThatAreUp) {
  SpecBuilder builder;
  builder.service("192.0.2.1:80/tcp");
  builder.rs("192.0.2.10", 65535);
  builder.rs("192.0.2.11", 65535 / 3);
  builder.rs("192.0.2.12", 7).up = false;
  builder.rs("192.0.2.13", 0);
  const WrrPlan plan = builder.build()->services()[0].wrr;
  EXPECT_EQ(plan.unit, 21845U);
  EXPECT_EQ(plan.cycle, 4U);
  builder.spec.real_servers[0].up = builder.spec.real_servers[1].up = false;
  EXPECT_EQ(builder.build()->services()[0].wrr.cycle, 0U);
}

/// The rule, written down slowly: the narrowest service that takes the port.
const Service* find_slowly(const ServiceTable& table, const IpAddr& vip, Proto proto, int port) {
  const Service* best = nullptr;
  auto rank = [](const ServiceAddr& a) { return a.is_any_port() ? 2 : a.is_range() ? 1 : 0; };
  for (const Service& s : table.services()) {
    const ServiceAddr& a = s.address;
    if (a.vip != vip || a.proto != proto || port < a.port_first || port > a.port_last) continue;
    if (best == nullptr || rank(a) < rank(best->address)) best = &s;
  }
  return best;
}

TEST(ServiceTable, FindsAsALinearSearchDoes) {
  std::mt19937_64 random(7);
  auto vip = [&] {
    return *IpAddr::parse((random() % 2 != 0 ? "192.0.2." : "2001:db8::") +
                          std::to_string(1 + random() % 4));
  };
  constexpr Proto kProtos[] = {Proto::Tcp, Proto::Udp, Proto::Sctp};
  for (int round = 0; round < 100; ++round) {
    SpecBuilder builder;
    const auto services = random() % 60;
    for (std::uint64_t i = 0; i < services; ++i) {
      Service& service = builder.service(vip().is_v4() ? "192.0.2.1:9/tcp" : "[::9]:9/tcp");
      ServiceAddr& a = service.address;
      a.vip = vip();
      a.proto = kProtos[random() % 3];
      a.port_first = static_cast<std::uint16_t>(1 + random() % 300);
      a.port_last = static_cast<std::uint16_t>(a.port_first + (random() % 2) * (random() % 60));
      if (random() % 8 == 0) a.port_first = 1, a.port_last = 65535;
      builder.spec.vips.push_back({.address = a.vip});
      std::ranges::sort(builder.spec.vips, {}, &VipPolicy::address);
      auto same = std::ranges::unique(builder.spec.vips, {}, &VipPolicy::address);
      builder.spec.vips.erase(same.begin(), same.end());
      if (!ServiceTable::build(builder.spec)) builder.spec.services.pop_back();
    }
    auto table = builder.build();
    ASSERT_NE(table, nullptr);
    for (int i = 0; i < 500; ++i) {
      IpAddr address = vip();
      Proto proto = kProtos[random() % 3];
      auto port = static_cast<std::uint16_t>(random() % 400);
      ASSERT_EQ(find(*table, address, proto, port), find_slowly(*table, address, proto, port));
    }
  }
}

TEST(Scheduler, NamesGoBothWays) {
  for (int i = 0; i < 12; ++i) {
    auto scheduler = static_cast<Scheduler>(i);
    EXPECT_EQ(*parse_scheduler(scheduler_name(scheduler)), scheduler);
  }
  EXPECT_EQ(scheduler_name(Scheduler::Wlc), "wlc");
  for (const char* name : {"", "RR", "lblc", "wrr "}) {
    auto parsed = parse_scheduler(name);
    ASSERT_FALSE(parsed);
    EXPECT_NE(parsed.error().message.find("use one of rr, wrr"), std::string::npos);
  }
}

}  // namespace
}  // namespace lb
