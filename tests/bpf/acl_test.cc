// SPDX-License-Identifier: Apache-2.0
// Access lists in the XDP program: no packet of a denied client gets past the door, whatever it is
// made of and whoever would decide about it; the longest prefix decides; limits.
#include <algorithm>
#include <random>

#include "tests/bpf/xdp_program_run.h"

namespace lb {
namespace {

using test::fragment;
using test::icmp_error;
using test::kAck;

AclEntry entry(const std::string& prefix, std::uint32_t rate, std::uint32_t burst = 0) {
  return {.prefix = *IpPrefix::parse(prefix), .rate = rate, .burst = burst};
}
AclEntry deny(const std::string& prefix) { return entry(prefix, LB_ACL_DENY); }
AclEntry allow(const std::string& prefix) { return entry(prefix, LB_ACL_ALLOW); }

class AclRun : public XdpProgramRun {
 protected:
  enum ServiceIndex : std::size_t { kWeb, kRange, kStateful, kWeb6, kDns6 };
  void fill() override {
    set_engine(LB_ENGINE_HYBRID);
    world_->vip(kVip);
    world_->vip(kVip6);
    world_->service("192.0.2.10:80/tcp", Scheduler::Mh);
    world_->service("192.0.2.10:8000-8100/udp", Scheduler::Mh);
    world_->service("192.0.2.10:81/tcp", Scheduler::Wrr);
    world_->service("[2001:db8::10]:443/tcp", Scheduler::Mh);
    world_->service("[2001:db8::10]:53/udp", Scheduler::Mh);
  }
  Service& service(std::size_t index) { return world_->spec().services[index]; }
  void set_acl(std::size_t index, std::vector<AclEntry> entries) {
    service(index).acl = Acl::of(std::move(entries));
    install();
  }
  AclCount count(std::size_t index, const AclEntry& entry) {
    return shared_->acl().count(service(index).id, entry);
  }
  static PacketBuilder from(const std::string& client) {
    return PacketBuilder(client, client.find(':') == std::string::npos ? kVip : kVip6)
        .ethernet(kPortMac, kPeerMac);
  }
  std::string web(const std::string& client) {
    XdpOutcome result = outcome(from(client).tcp(1000, 80, kAck).build());
    return result.what;
  }
  std::string web6(const std::string& client) {
    return outcome(from(client).tcp(1000, 443, kAck).build()).what;
  }
};

TEST_F(AclRun, TheLongestPrefixDecides) {
  EXPECT_EQ(web("10.1.2.3"), "tx") << "no list: everybody";
  set_acl(kWeb,
          {deny("10.0.0.0/8"), allow("10.1.0.0/16"), deny("10.1.2.0/24"), allow("10.1.2.3/32")});
  EXPECT_EQ(web("9.255.255.255"), "tx");
  EXPECT_EQ(web("10.0.0.1"), "acl_denied");
  EXPECT_EQ(web("10.255.255.255"), "acl_denied");
  EXPECT_EQ(web("11.0.0.0"), "tx");
  EXPECT_EQ(web("10.1.255.1"), "tx");
  EXPECT_EQ(web("10.1.2.2"), "acl_denied");
  EXPECT_EQ(web("10.1.2.3"), "tx");
  EXPECT_EQ(count(kWeb, deny("10.0.0.0/8")).packets, 2U);
  EXPECT_EQ(count(kWeb, deny("10.1.2.0/24")).packets, 1U);
  EXPECT_EQ(count(kWeb, allow("10.1.2.3/32")).packets, 1U);
  EXPECT_EQ(count(kWeb, allow("10.1.2.3/32")).bytes, 54U);
}

TEST_F(AclRun, AllowListIsDenyAllAndExceptions) {
  set_acl(kWeb, {deny("0.0.0.0/0"), allow("198.51.100.0/24")});
  EXPECT_EQ(web(kClient), "tx");
  EXPECT_EQ(web("198.51.101.1"), "acl_denied");
  EXPECT_EQ(web("9.9.9.9"), "acl_denied");
}

TEST_F(AclRun, Ipv6) {
  set_acl(kWeb6, {deny("::/0"), allow("2001:db8:1::/48"), deny("2001:db8:1:2::/64"),
                  allow("2001:db8:1:2::1/128")});
  EXPECT_EQ(web6("2001:db8:1::7"), "tx");
  EXPECT_EQ(web6("2001:db8:1:2::7"), "acl_denied");
  EXPECT_EQ(web6("2001:db8:1:2::1"), "tx");
  EXPECT_EQ(web6("2001:db8:2::1"), "acl_denied");
  EXPECT_EQ(run(from("2001:db8:2::1").udp(1, 53).payload(8)), "tx") << "another service";
}

TEST_F(AclRun, ServicesAreSeparate) {
  set_acl(kWeb, {deny("0.0.0.0/0")});
  EXPECT_EQ(web(kClient), "acl_denied");
  EXPECT_NE(outcome(v4().udp(1000, 8050).payload(8).build()).what, "acl_denied");
  set_acl(kRange, {deny("198.51.100.7")});
  set_acl(kWeb, {});
  EXPECT_EQ(web(kClient), "tx");
  EXPECT_EQ(run(v4().udp(1000, 8050).payload(8)), "acl_denied") << "by a range";
}

TEST_F(AclRun, AServiceThatComesAgainStartsWithoutEntries) {
  set_acl(kWeb, {deny("0.0.0.0/0")});
  EXPECT_EQ(web(kClient), "acl_denied");
  const ServiceId before = service(kWeb).id;
  service(kWeb).id = make_service_id(0, 2);
  service(kWeb).acl = Acl();
  service(kWeb).table = nullptr;
  install();
  EXPECT_EQ(web(kClient), "tx");
  shared_->tidy();
  EXPECT_EQ(shared_->acl().count(before, deny("0.0.0.0/0")).packets, 0U) << "it is out";
  set_acl(kWeb, {deny("198.51.100.0/24")});
  EXPECT_EQ(web(kClient), "acl_denied");
  EXPECT_EQ(web("9.9.9.9"), "tx") << "the entry of the one before is gone";
}

/// What a client can send to a service.
std::vector<Bytes> all_kinds(const PacketBuilder& from4, const PacketBuilder& from6) {
  auto a = [&] { return PacketBuilder(from4); };
  auto b = [&] { return PacketBuilder(from6); };
  std::vector<Bytes> all = {
      a().tcp(1000, 80, kSyn).build(),
      a().tcp(1000, 80, kAck).build(),
      a().tcp(1000, 80, kAck | test::kFin).build(),
      a().tcp(1000, 80, 0).build(),
      a().tcp(0, 80, kAck).build(),
      a().tcp(1000, 81, kSyn).build(),
      a().tcp(1000, 81, kAck).build(),
      a().udp(1000, 8000).payload(8).build(),
      a().ttl(1).tcp(1000, 80, kAck).build(),
      a().vlan(7).tcp(1000, 80, kAck).build(),
      a().vlan(7).vlan(8).tcp(1000, 80, kAck).build(),
      a().options(Bytes(4, 1)).tcp(1000, 80, kSyn).build(),
      a().options(Bytes(40, 1)).tcp(1000, 80, kAck).build(),
      a().options(Bytes(8, 1)).udp(1000, 8050).payload(64).fragment(0, true).build(),
      fragment(a().udp(1000, 8100).payload(600).build(), 200, 9)[0],
      fragment(a().tcp(1000, 80, kAck).payload(600).build(), 200, 9)[0],
      b().tcp(1000, 443, kSyn).build(),
      b().udp(1000, 53).payload(8).build(),
      b().ttl(1).udp(1000, 53).payload(8).build(),
      fragment(b().udp(1000, 53).payload(600).build(), 200, 9)[0],
      b().fragment(0, false).tcp(1000, 443, kAck).build(),
  };
  for (std::uint8_t kind : {0, 43, 60}) {
    all.push_back(b().ext(kind).tcp(1000, 443, kAck).build());
    all.push_back(b().ext(kind, 3).ext(60).fragment(0, true).udp(1000, 53).payload(64).build());
  }
  all.push_back(b().ext(51, 3).tcp(1000, 443, kAck).build());
  return all;
}

TEST_F(AclRun, NothingOfADeniedClientGetsIn) {
  for (std::size_t i = 0; i < world_->spec().services.size(); ++i) {
    set_acl(i, {deny(service(i).address.vip.is_v4() ? "198.51.100.0/24" : "2001:db8:1::/48")});
  }
  const auto denied = all_kinds(from(kClient), from(kClient6));
  const auto others = all_kinds(from("198.51.101.7"), from("2001:db8:2::7"));
  for (lb_engine engine : {LB_ENGINE_HYBRID, LB_ENGINE_AFXDP}) {
    set_engine(engine);
    for (bool worker : {true, false}) {
      if (worker) {
        start_worker();
      } else {
        stop_worker();
      }
      for (std::size_t i = 0; i < denied.size(); ++i) {
        EXPECT_EQ(run(denied[i]), "acl_denied") << "packet " << i << ", engine " << engine;
        const std::string other = outcome(others[i]).what;
        EXPECT_NE(other, "acl_denied") << "packet " << i;
        EXPECT_NE(other, "pass") << "packet " << i << " is for a service";
      }
    }
  }
}

TEST_F(AclRun, WhatNamesNoServiceIsNotAsked) {
  set_acl(kWeb, {deny("0.0.0.0/0")});
  set_acl(kRange, {deny("0.0.0.0/0")});
  set_acl(kStateful, {deny("0.0.0.0/0")});
  const Bytes sent = PacketBuilder(kVip, kClient).tcp(80, 1000, kAck).build();
  EXPECT_EQ(
      outcome(icmp_error("10.9.9.9", sent, 3, 4, 28).ethernet(kPortMac, kPeerMac).build()).what,
      "af_xdp")
      << "errors come from routers, and path MTU discovery needs them";
  EXPECT_EQ(outcome(v4().echo_request(1, 1).build()).what, "af_xdp");
  EXPECT_EQ(run(v4().tcp(1000, 99, kSyn)), "vip_unmatched");
  // A later fragment goes to the worker, which drops it when its first one does not come.
  EXPECT_EQ(outcome(fragment(v4().udp(1, 8000).payload(600).build(), 200, 9)[1]).what, "af_xdp");
}

TEST_F(AclRun, ALimitLetsItsBurstPassThenItsRate) {
  // 50 a second: one in 20 ms.
  const AclEntry limit = entry("198.51.100.0/24", 50, 10);
  set_acl(kWeb, {limit});
  std::uint64_t sent = 0, passed = 0;
  auto send = [&] {
    const std::string what = web(sent++ % 2 == 0 ? "198.51.100.1" : "198.51.100.2");
    passed += what == "tx" ? 1 : 0;
    EXPECT_TRUE(what == "tx" || what == "rate_limited") << what;
    return what == "tx";
  };
  const auto began = monotonic_ns();
  while (send()) ASSERT_LT(sent, 1000U);
  EXPECT_GE(passed, 10U) << "the burst";
  EXPECT_EQ(web("198.51.101.1"), "tx") << "others are not limited";
  while (passed < 16) send();
  const auto took_ms = (monotonic_ns() - began) / 1'000'000;
  EXPECT_GE(took_ms, 6 * 20U) << "all clients of the prefix share it";
  EXPECT_LE(passed, 10 + took_ms / 20 + 1);
  const AclCount all = count(kWeb, limit);
  EXPECT_EQ(all.packets, sent);
  EXPECT_EQ(all.over, sent - passed);
}

TEST_F(AclRun, ALimitIsNeverMoreThanItSays) {
  const std::uint32_t rate = 1'000'000;
  const AclEntry limit = entry("0.0.0.0/0", rate, 1);
  set_acl(kWeb, {limit});
  const Bytes frame = from(kClient).tcp(1000, 80, kAck).build();
  Bytes out(frame.size() + 256);
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = frame.data();
  options.data_size_in = static_cast<__u32>(frame.size());
  options.repeat = 20'000;
  const auto began = monotonic_ns();
  ASSERT_EQ(bpf_prog_test_run_opts(*program_->object().program_fd("lb_xdp"), &options), 0);
  const double seconds = static_cast<double>(monotonic_ns() - began) * 1e-9;
  const AclCount all = count(kWeb, limit);
  EXPECT_LE(static_cast<double>(all.packets - all.over), rate * seconds + 1);
  EXPECT_GT(all.packets - all.over, 0U);
}

TEST_F(AclRun, AChangedEntryTakesTheOldOnesPlace) {
  set_acl(kWeb, {deny("198.51.100.0/24")});
  EXPECT_EQ(web(kClient), "acl_denied");
  set_acl(kWeb, {allow("198.51.100.0/24"), deny("0.0.0.0/0")});
  EXPECT_EQ(web(kClient), "tx");
  EXPECT_EQ(count(kWeb, allow("198.51.100.0/24")).packets, 1U) << "counted anew";
  set_acl(kWeb, {deny("0.0.0.0/0")});
  EXPECT_EQ(web(kClient), "acl_denied");
}

TEST_F(AclRun, AListThatComesAgainHasNothingOfTheOneBefore) {
  set_acl(kWeb, {deny("198.51.100.0/24"), deny("10.0.0.0/8")});
  set_acl(kWeb, {});
  EXPECT_EQ(web(kClient), "tx");
  set_acl(kWeb, {deny("10.0.0.0/8")});
  EXPECT_EQ(web(kClient), "tx") << "before tidy() has taken it out";
  shared_->tidy();
  EXPECT_EQ(web("10.1.2.3"), "acl_denied") << "tidy() takes out nothing of the new one";
}

TEST_F(AclRun, UnchangedEntriesKeepTheirCounts) {
  set_acl(kWeb, {deny("198.51.100.0/24")});
  EXPECT_EQ(web(kClient), "acl_denied");
  set_acl(kWeb, {deny("198.51.100.0/24"), deny("10.0.0.0/8")});
  EXPECT_EQ(count(kWeb, deny("198.51.100.0/24")).packets, 1U);
}

/// Random lists and clients against Acl::match().
TEST_F(AclRun, DecidesAsTheListDoes) {
  std::mt19937 random(7);
  auto address = [&](bool v6) {
    std::array<std::uint8_t, 16> bytes{};
    // Few values a byte, so that prefixes nest.
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random() % 3 * 0x55);
    bytes[0] = v6 ? 0x20 : 10;
    return v6 ? IpAddr::v6(bytes.data()) : IpAddr::v4(Be32::load(bytes.data()));
  };
  for (bool v6 : {false, true}) {
    const std::size_t index = v6 ? kWeb6 : kWeb;
    for (int round = 0; round < 20; ++round) {
      std::vector<AclEntry> entries;
      for (int i = 0; i < 60; ++i) {
        const unsigned bits = static_cast<unsigned>(random() % (v6 ? 129 : 33));
        entries.push_back({.prefix = IpPrefix::of(address(v6), bits),
                           .rate = random() % 2 == 0 ? LB_ACL_DENY : LB_ACL_ALLOW});
      }
      set_acl(index, entries);
      for (int i = 0; i < 100; ++i) {
        const IpAddr client = address(v6);
        const AclEntry* decides = service(index).acl.match(client);
        const bool denied = decides != nullptr && decides->rate == LB_ACL_DENY;
        const std::string what = v6 ? web6(client.to_string()) : web(client.to_string());
        ASSERT_EQ(what, denied ? "acl_denied" : "tx") << client.to_string();
      }
    }
  }
}

TEST(AclTries, AFullTrieIsAnErrorAndTheListBeforeCanBePutBack) {
  FastPathSizes sizes{
      .services_max = 16, .rs_max = 64, .queues = 1, .buckets4 = 64, .buckets6 = 64};
  sizes.acl_max = 2;  // room for four while a change is under way
  auto shared = FastPath::create(sizes);
  ASSERT_TRUE(shared) << shared.error().message;
  FastWorld world(**shared);
  world.vip(kVip);
  Service& web = world.service("192.0.2.10:80/tcp", Scheduler::Mh);
  web.acl = Acl::of({deny("10.0.0.0/8"), allow("10.1.0.0/16")});
  auto before = world.build();
  ASSERT_TRUE((*shared)->install(*before));
  web.acl = Acl::of({allow("10.0.0.0/8"), deny("11.0.0.0/8"), deny("12.0.0.0/8"),
                     deny("13.0.0.0/8"), deny("14.0.0.0/8")});
  auto refused = (*shared)->install(*world.build());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code.value(), ENOSPC);
  EXPECT_NE(refused.error().message.find("the access list of 192.0.2.10:80/tcp"), std::string::npos)
      << refused.error().message;
  ASSERT_TRUE((*shared)->install(*before));
  // Again as it was: the third and fourth place are free.
  web.acl =
      Acl::of({deny("10.0.0.0/8"), allow("10.1.0.0/16"), deny("11.0.0.0/8"), deny("12.0.0.0/8")});
  EXPECT_TRUE((*shared)->install(*world.build()));
}

}  // namespace
}  // namespace lb
