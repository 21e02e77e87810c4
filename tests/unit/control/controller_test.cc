// SPDX-License-Identifier: Apache-2.0
// Controller: every change is published whole or undone whole.
#include "control/controller.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "control/vip_marker.h"
#include "tests/support/control_world.h"

namespace lb {
namespace {

constexpr MacAddr kMac{{2, 0, 0, 0, 0, 0x54}};
constexpr const char* kConfig =
    "[[port]]\ninterface = \"eth0\"\n[[port]]\ninterface = \"eth1\"\n"
    "[[service]]\naddress = \"192.168.1.222:80/tcp\"\n"
    "[[service.real_server]]\naddress = \"192.168.1.54\"\n";

IpAddr ip(const std::string& text) { return *IpAddr::parse(text); }
ServiceAddr addr(const std::string& text) { return *ServiceAddr::parse(text); }

class ControllerTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path); }
  void write(const std::string& text) const { std::ofstream(path) << text; }
  const RealServer* published(const std::string& rs) {
    for (const RealServer& one : world.dataplane.table->real_servers()) {
      if (one.address == ip(rs)) return &one;
    }
    return nullptr;
  }
  static AddServiceRequest service(const std::string& text) {
    return {.address = addr(text), .settings = {}};
  }
  static AddRsRequest rs(const std::string& text) { return {.address = ip(text), .settings = {}}; }
  std::string path =
      (std::filesystem::temp_directory_path() / ("lbd-ctl-" + std::to_string(::getpid()) + ".toml"))
          .string();
  ControlWorld world{kConfig, path};
  Controller& controller = world.controller;
};

TEST_F(ControllerTest, StartPublishesTheConfig) {
  ASSERT_TRUE(controller.start());
  ASSERT_TRUE(world.dataplane.table);
  EXPECT_EQ(raw(world.dataplane.generation), 1U);
  const RealServer* real_server = published("192.168.1.54");
  ASSERT_NE(real_server, nullptr);
  EXPECT_FALSE(real_server->has_mac);
  ASSERT_EQ(world.probes.size(), 1U);
  EXPECT_EQ(world.probes[0].address, ip("192.168.1.54"));
  EXPECT_EQ(controller.checks().size(), 1U);
}

TEST_F(ControllerTest, TheHashOfTheConfigIsThatOfTheTable) {
  ASSERT_TRUE(controller.start());
  EXPECT_EQ(world.dataplane.table->flow_key().kind, LB_HASH_MULTIPLY_MIX);
  ControlWorld other{std::string("[dataplane]\nhash = \"siphash\"\n") + kConfig, path};
  ASSERT_TRUE(other.controller.start());
  EXPECT_EQ(other.dataplane.table->flow_key().kind, LB_HASH_SIPHASH);
  EXPECT_EQ(other.controller.version().hash, LB_HASH_SIPHASH);
}

TEST_F(ControllerTest, ANewMacIsPublishedOnceByRefresh) {
  ASSERT_TRUE(controller.start());
  EXPECT_TRUE(world.resolve("192.168.1.54", kMac));
  ASSERT_TRUE(controller.refresh());
  EXPECT_TRUE(published("192.168.1.54")->has_mac);
  EXPECT_EQ(published("192.168.1.54")->mac, kMac);
  Generation generation = world.dataplane.generation;
  ASSERT_TRUE(controller.refresh());
  EXPECT_EQ(world.dataplane.generation, generation) << "nothing moved, nothing published";
}

TEST_F(ControllerTest, AChangedPortIsPublished) {
  ASSERT_TRUE(controller.start());
  LinkEntry down = ControlWorld::link(3, "eth1");
  down.up = false;
  world.networks.on_link(down);
  ASSERT_TRUE(controller.refresh());
  EXPECT_FALSE(world.dataplane.table->port(PortIndex{1}).up);
  EXPECT_TRUE(world.dataplane.table->port(PortIndex{0}).up);
}

TEST_F(ControllerTest, ARefusedPublicationUndoesTheChangeWhole) {
  ASSERT_TRUE(controller.start());
  std::uint64_t revision = controller.registry().revision();
  State before = controller.state();
  const RsId id = (*controller.registry().rs(addr("192.168.1.222:80/tcp"), ip("192.168.1.54")))->id;
  for (int i = 0; i < 4; ++i) {
    world.dataplane.refuse_next =
        Error{std::error_code(E2BIG, std::system_category()), "the VIP map is full"};
    Status done = i == 0   ? controller.add_service(service("192.0.2.1:80/tcp"))
                  : i == 1 ? controller.del_service(addr("192.168.1.222:80/tcp"))
                  : i == 2
                      ? controller.del_rs(addr("192.168.1.222:80/tcp"), ip("192.168.1.54"))
                      : controller.drain_rs(addr("192.168.1.222:80/tcp"), ip("192.168.1.54"), 0);
    ASSERT_FALSE(done);
    EXPECT_EQ(http_status(done.error()), 422);
    EXPECT_EQ(controller.registry().revision(), revision);
    EXPECT_EQ(controller.state().overlay, before.overlay);
    EXPECT_EQ((*controller.registry().rs(addr("192.168.1.222:80/tcp"), ip("192.168.1.54")))->id,
              id);
    EXPECT_EQ(controller.registry().rs_at_slot(slot_of(id)).entry->id, id);
  }
  ASSERT_TRUE(controller.add_service(service("192.0.2.1:80/tcp")));
}

TEST_F(ControllerTest, WhatChangedDuringARefusedPublicationIsPublishedLater) {
  ASSERT_TRUE(controller.start());
  LinkEntry down = ControlWorld::link(3, "eth1");
  down.up = false;
  world.networks.on_link(down);
  world.dataplane.refuse_next = Error{std::error_code(EIO, std::system_category()), "no"};
  ASSERT_FALSE(controller.add_service(service("192.0.2.1:80/tcp")));
  ASSERT_TRUE(controller.refresh());
  EXPECT_FALSE(world.dataplane.table->port(PortIndex{1}).up);
}

// The data plane stays out of memory for a while: the old state follows when it can be published.
TEST_F(ControllerTest, TheOldStateIsPublishedAgainAfterARefusedPublication) {
  ASSERT_TRUE(controller.start());
  Generation generation = world.dataplane.generation;
  world.dataplane.refuses = 2;
  world.dataplane.refuse_next = Error{std::error_code(ENOMEM, std::system_category()), "no"};
  ASSERT_FALSE(controller.del_service(addr("192.168.1.222:80/tcp")));
  world.dataplane.table.reset();  // it may be what the workers have by now
  ASSERT_TRUE(controller.refresh());
  EXPECT_EQ(raw(world.dataplane.generation), raw(generation) + 1);
  EXPECT_NE(published("192.168.1.54"), nullptr);
}

TEST_F(ControllerTest, AnExceptionUndoesTheChangeWhole) {
  ASSERT_TRUE(controller.start());
  const ServiceAddr web = addr("192.168.1.222:80/tcp");
  for (unsigned throws : {1U, 2U}) {  // the second one: what was before cannot be published either
    world.dataplane.throws = throws;
    auto done = controller.add_rs(web, rs("192.168.1.55"));
    ASSERT_FALSE(done);
    EXPECT_EQ(http_status(done.error()), 500);
    EXPECT_NE(done.error().message.find("nothing has changed"), std::string::npos);
    EXPECT_FALSE(controller.registry().rs(web, ip("192.168.1.55")));
    ASSERT_TRUE(controller.refresh());
    EXPECT_EQ(published("192.168.1.55"), nullptr);
    EXPECT_EQ(controller.checks().size(), 1U);
  }
  world.dataplane.throws = 2;
  EXPECT_FALSE(controller.del_service(web));
  ASSERT_TRUE(controller.refresh());
  EXPECT_NE(published("192.168.1.54"), nullptr);
  ASSERT_TRUE(controller.add_rs(web, rs("192.168.1.55")));
}

TEST_F(ControllerTest, ADrainThatCannotBePublishedEndsLater) {
  ASSERT_TRUE(controller.start());
  const ServiceAddr web = addr("192.168.1.222:80/tcp");
  ASSERT_TRUE(controller.drain_rs(web, ip("192.168.1.54"), 0));
  world.now_ms += 60'000;
  world.dataplane.throws = 2;
  controller.tick();
  EXPECT_TRUE(controller.registry().rs(web, ip("192.168.1.54")));
  controller.tick();
  EXPECT_FALSE(controller.registry().rs(web, ip("192.168.1.54")));
  EXPECT_EQ(published("192.168.1.54"), nullptr);
}

// The VIP map runs out of memory after the workers have got the table.
TEST_F(ControllerTest, ARefusedTableThatTheWorkersHaveIsTakenBack) {
  ASSERT_TRUE(controller.start());
  const ServiceAddr vip = addr("192.168.1.222:80/tcp");
  std::uint32_t seen_id = 0;
  world.dataplane.on_publish = [&] {
    if (const RealServer* seen = published("192.168.1.55")) seen_id = raw(seen->id);
  };
  world.dataplane.refuses_late = true;
  world.dataplane.refuse_next = Error{std::error_code(ENOMEM, std::system_category()), "no memory"};
  ASSERT_FALSE(controller.add_rs(vip, rs("192.168.1.55")));
  EXPECT_NE(seen_id, 0U);
  EXPECT_EQ(published("192.168.1.55"), nullptr) << "the workers use what the operator was told";
  EXPECT_NE(published("192.168.1.54"), nullptr);
  world.dataplane.on_publish = {};
  ASSERT_TRUE(controller.add_rs(vip, rs("192.168.1.55")));
  EXPECT_NE(raw(published("192.168.1.55")->id), seen_id) << "flows may be stored under that id";
}

TEST_F(ControllerTest, AnAddressOfTheDirectorIsNoVipOfLbd) {
  ASSERT_TRUE(controller.start());
  Generation generation = world.dataplane.generation;
  auto refused = controller.add_service(service("192.168.1.129:80/tcp"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(http_status(refused.error()), 409);
  EXPECT_NE(
      refused.error().message.find("192.168.1.129 is an address of the director itself (eth0"),
      std::string::npos)
      << refused.error().message;
  EXPECT_FALSE(controller.add_service(service("[2001:db8:1::129]:80/tcp")));
  world.networks.on_address(ControlWorld::address(9, "203.0.113.1", 32), false);
  EXPECT_FALSE(controller.add_service(service("203.0.113.1:80/tcp"))) << "on lo, for BGP";

  write(std::string(kConfig) + "[[service]]\naddress = \"192.168.1.129:80/tcp\"\n");
  auto reloaded = controller.reload();
  ASSERT_FALSE(reloaded);
  EXPECT_NE(reloaded.error().message.find("director itself"), std::string::npos);
  EXPECT_EQ(world.dataplane.generation, generation);
}

TEST_F(ControllerTest, AnAddressOfTheDirectorMayBeAVipThatSomebodyElsePutThere) {
  ASSERT_TRUE(controller.start());
  AddServiceRequest external = service("192.168.1.129:80/tcp");
  external.settings.vip_owner = VipOwner::External;
  ASSERT_TRUE(controller.add_service(external));
  EXPECT_TRUE(controller.add_service(service("192.168.1.129:81/tcp"))) << "joins the VIP";
  ServicePatch lbd;
  lbd.vip_owner = VipOwner::Lbd;
  EXPECT_FALSE(controller.set_service(addr("192.168.1.129:80/tcp"), lbd));
  // What lbd itself put on a port (now, or before it died) is free for it.
  world.networks.on_address(ControlWorld::address(2, "192.168.1.99", 32, kVipMarker), false);
  ASSERT_TRUE(controller.add_service(service("192.168.1.99:80/tcp")));
  EXPECT_TRUE(controller.add_service(service("192.168.1.99:81/tcp")));
}

TEST_F(ControllerTest, AnAddressOfTheDirectorInTheConfigStopsTheStart) {
  ControlWorld own(std::string(kConfig) + "[[service]]\naddress = \"10.0.0.1:80/tcp\"\n");
  auto started = own.controller.start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find("10.0.0.1 is an address"), std::string::npos);
}

TEST_F(ControllerTest, AFailedCheckAsksForTheMacAgain) {
  ASSERT_TRUE(controller.start());
  ASSERT_TRUE(world.resolve("192.168.1.54", kMac));
  const CheckTarget target = *controller.checks().begin();
  controller.on_check(target, true, "");
  EXPECT_TRUE(world.asked.empty());
  controller.on_check(target, false, "no answer");
  ASSERT_EQ(world.asked.size(), 1U);
  EXPECT_EQ(world.asked[0].address, ip("192.168.1.54"));
}

TEST_F(ControllerTest, TwoServicesThatCheckOneRsShareTheCheck) {
  ASSERT_TRUE(controller.start());
  ASSERT_TRUE(controller.add_service(service("192.168.1.223:80/tcp")));
  ASSERT_TRUE(controller.add_rs(addr("192.168.1.223:80/tcp"), rs("192.168.1.54")));
  ASSERT_EQ(controller.checks().size(), 1U);
  controller.on_check(*controller.checks().begin(), true, "");
  for (const RealServer& one : world.dataplane.table->real_servers()) EXPECT_TRUE(one.up);
}

TEST_F(ControllerTest, AFailedCheckTakesAnRsOutOnlyAfterFallResults) {
  ASSERT_TRUE(controller.start());
  CheckTarget check = *controller.checks().begin();
  controller.on_check(check, true, "");
  EXPECT_TRUE(published("192.168.1.54")->up);
  controller.on_check(check, false, "connection refused");
  EXPECT_TRUE(published("192.168.1.54")->up);
  controller.on_check(check, false, "connection refused");
  EXPECT_FALSE(published("192.168.1.54")->up);
  auto entry = controller.registry().rs(addr("192.168.1.222:80/tcp"), ip("192.168.1.54"));
  EXPECT_EQ((*entry)->health_reason, "connection refused");
}

TEST_F(ControllerTest, AnRsBehindATagThatTheKernelCannotReachIsNotChecked) {
  ASSERT_TRUE(controller.start());
  AddRsRequest tagged = rs("172.16.0.5");
  tagged.settings.vlan = 100;
  ASSERT_TRUE(controller.add_rs(addr("192.168.1.222:80/tcp"), tagged));
  EXPECT_EQ(controller.checks().size(), 1U);
  auto entry = controller.registry().rs(addr("192.168.1.222:80/tcp"), ip("172.16.0.5"));
  EXPECT_EQ((*entry)->health, Health::Off);
  EXPECT_TRUE(published("172.16.0.5")->up);
  EXPECT_EQ(world.probes.back().vlan, 100);
}

TEST_F(ControllerTest, AnRsThatComesOutFromBehindATagIsChecked) {
  ASSERT_TRUE(controller.start());
  ServiceAddr web = addr("192.168.1.222:80/tcp");
  AddRsRequest tagged = rs("192.168.1.60");
  tagged.settings.vlan = 10;
  ASSERT_TRUE(controller.add_rs(web, tagged));
  ASSERT_EQ((*controller.registry().rs(web, ip("192.168.1.60")))->health, Health::Off);
  RsPatch untagged;
  untagged.vlan = 0;
  ASSERT_TRUE(controller.set_rs(web, ip("192.168.1.60"), untagged));
  ASSERT_EQ(controller.checks().size(), 2U);
  EXPECT_TRUE(published("192.168.1.60")->up) << "it was in service unchecked";
  for (const CheckTarget& check : controller.checks()) {
    if (check.address != ip("192.168.1.60")) continue;
    for (int i = 0; i < 2; ++i) controller.on_check(check, false, "connection refused");
    break;
  }
  EXPECT_FALSE(published("192.168.1.60")->up);
}

TEST_F(ControllerTest, AVlanDeviceThatComesOrGoesTurnsTheChecksOnAndOff) {
  ASSERT_TRUE(controller.start());
  ServiceAddr web = addr("192.168.1.222:80/tcp");
  AddRsRequest tagged = rs("172.16.0.5");
  tagged.settings.vlan = 100;
  ASSERT_TRUE(controller.add_rs(web, tagged));
  int told = 0;
  controller.set_on_change([&] { ++told; });
  world.networks.on_address(ControlWorld::address(9, "172.16.0.1", 24), false);
  ASSERT_TRUE(controller.refresh());
  EXPECT_EQ(controller.checks().size(), 2U);
  EXPECT_EQ(told, 1) << "the checker hears of it";
  EXPECT_EQ((*controller.registry().rs(web, ip("172.16.0.5")))->health, Health::Up);
  world.networks.on_address(ControlWorld::address(9, "172.16.0.1", 24), true);
  ASSERT_TRUE(controller.refresh());
  EXPECT_EQ(controller.checks().size(), 1U);
  EXPECT_EQ(told, 2);
  EXPECT_EQ((*controller.registry().rs(web, ip("172.16.0.5")))->health, Health::Off);
}

TEST_F(ControllerTest, AnRsKeepsItsMacWhileThePortHasNoAddress) {
  ASSERT_TRUE(controller.start());
  world.resolve("192.168.1.54", kMac);
  ASSERT_TRUE(controller.refresh());
  Generation generation = world.dataplane.generation;
  world.networks.on_address(ControlWorld::address(2, "192.168.1.129", 24), true);
  ASSERT_TRUE(controller.refresh());
  ASSERT_TRUE(controller.add_service(service("192.0.2.1:80/tcp")));
  EXPECT_TRUE(published("192.168.1.54")->has_mac) << "the path to it has not changed";
  EXPECT_EQ(raw(world.dataplane.generation), raw(generation) + 1) << "only the new service";
  world.networks.on_address(ControlWorld::address(2, "192.168.1.129", 24), false);
  ASSERT_TRUE(controller.refresh());
  EXPECT_EQ(published("192.168.1.54")->mac, kMac);
}

TEST_F(ControllerTest, ADrainedRsIsRemovedWhenItsLastFlowHasEnded) {
  ASSERT_TRUE(controller.start());
  ServiceAddr web = addr("192.168.1.222:80/tcp");
  std::uint32_t slot = slot_of((*controller.registry().rs(web, ip("192.168.1.54")))->id);
  RsCounters& counters = world.dataplane.worker_counters[0]->rs[slot];
  counters.active.add(1);
  counters.inactive.add(1);
  ASSERT_TRUE(controller.drain_rs(web, ip("192.168.1.54"), 0));
  EXPECT_EQ(published("192.168.1.54")->weight, 0U);
  world.now_ms += 60'000;
  controller.tick();
  ASSERT_NE(published("192.168.1.54"), nullptr);
  counters.active.sub(1);
  controller.tick();
  ASSERT_NE(published("192.168.1.54"), nullptr);
  counters.inactive.sub(1);
  controller.tick();
  EXPECT_EQ(published("192.168.1.54"), nullptr);
}

TEST_F(ControllerTest, PanicAndADrainsDeadlineAreInTheStateAndComeBack) {
  ASSERT_TRUE(controller.start());
  std::uint64_t saved = controller.saved_revision();
  ASSERT_TRUE(controller.set_panic(true));
  EXPECT_NE(controller.saved_revision(), saved) << "the state file is behind";
  const ServiceAddr web = addr("192.168.1.222:80/tcp");
  ASSERT_TRUE(controller.drain_rs(web, ip("192.168.1.54"), 5'000));
  ControlWorld again(kConfig, path, controller.state());
  bool in_panic = false;
  again.dataplane.on_publish = [&] { in_panic = again.dataplane.panic_on; };
  ASSERT_TRUE(again.controller.start());
  EXPECT_TRUE(in_panic) << "before the first packet is balanced";
  const RsEntry* rs = *again.controller.registry().rs(web, ip("192.168.1.54"));
  EXPECT_TRUE(rs->draining);
  EXPECT_EQ(rs->drain_deadline_ms, world.now_ms + 5'000);
  ASSERT_TRUE(again.controller.set_panic(false));
  EXPECT_FALSE(again.controller.state().panic);
}

TEST_F(ControllerTest, ADrainEndsAtItsDeadline) {
  ASSERT_TRUE(controller.start());
  ServiceAddr web = addr("192.168.1.222:80/tcp");
  std::uint32_t slot = slot_of((*controller.registry().rs(web, ip("192.168.1.54")))->id);
  world.dataplane.worker_counters[0]->rs[slot].active.add(7);
  ASSERT_TRUE(controller.drain_rs(web, ip("192.168.1.54"), 5'000));
  world.now_ms += 4'999;
  controller.tick();
  EXPECT_NE(published("192.168.1.54"), nullptr);
  world.now_ms += 1;
  controller.tick();
  EXPECT_EQ(published("192.168.1.54"), nullptr);
}

TEST_F(ControllerTest, AWorkersWishForAMacReachesTheResolver) {
  ASSERT_TRUE(controller.start());
  std::uint32_t slot =
      slot_of((*controller.registry().rs(addr("192.168.1.222:80/tcp"), ip("192.168.1.54")))->id);
  world.now_ms += 5'000;
  world.probes.clear();
  world.dataplane.resolve_requests = {slot, slot + 1, 4095};
  controller.tick();
  ASSERT_EQ(world.probes.size(), 1U);
  EXPECT_EQ(world.probes[0].address, ip("192.168.1.54"));
}

TEST_F(ControllerTest, ReloadOfABadFileChangesNothingAndSaysWhere) {
  ASSERT_TRUE(controller.start());
  Generation generation = world.dataplane.generation;
  auto missing = controller.reload();
  ASSERT_FALSE(missing);
  write(std::string(kConfig) + "[[service]]\naddress = \"nonsense\"\n");
  auto bad = controller.reload();
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find(path), std::string::npos) << bad.error().message;
  EXPECT_EQ(http_status(bad.error()), 422);
  write(std::string(kConfig) + "[dataplane]\nflows_max = 65536\n");
  auto fixed = controller.reload();
  ASSERT_FALSE(fixed);
  EXPECT_NE(fixed.error().message.find("restart lbd"), std::string::npos) << fixed.error().message;
  EXPECT_EQ(world.dataplane.generation, generation);
}

TEST_F(ControllerTest, ReloadAddsAndKeepsWhatStayed) {
  ASSERT_TRUE(controller.start());
  RsId id = (*controller.registry().rs(addr("192.168.1.222:80/tcp"), ip("192.168.1.54")))->id;
  write(std::string(kConfig) + "[[service.real_server]]\naddress = \"192.168.1.55\"\n");
  auto report = controller.reload();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report->changed.empty());
  EXPECT_EQ((*controller.registry().rs(addr("192.168.1.222:80/tcp"), ip("192.168.1.54")))->id, id);
  EXPECT_NE(published("192.168.1.55"), nullptr);
}

TEST_F(ControllerTest, TellsOfEveryChangeThatWasPublished) {
  int told = 0;
  controller.set_on_change([&] { ++told; });
  ASSERT_TRUE(controller.start());
  EXPECT_EQ(told, 1);
  EXPECT_FALSE(controller.add_rs(addr("192.168.1.222:80/tcp"), rs("203.0.113.1")));
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(controller.add_rs(addr("192.168.1.222:80/tcp"), rs("192.168.1.55")));
  EXPECT_EQ(told, 2);
}

TEST_F(ControllerTest, GoesOnFromWhatAnLbdBeforeHasLeft) {
  const std::string text = std::string(kConfig) +
                           "[[service.real_server]]\naddress = \"192.168.1.55\"\n"
                           "[service.health]\ntype = \"none\"\n";
  auto with_mh = [&](std::string config) {
    return config.replace(config.find("[[service.real"), 0, "scheduler = \"mh\"\n");
  };
  State state;
  state.keys = HashKeys::random();
  ControlWorld before(with_mh(text), path, state);
  ASSERT_TRUE(before.controller.start());
  ASSERT_TRUE(before.controller.add_service(service("192.168.1.222:81/tcp")));
  ASSERT_TRUE(before.controller.del_service(addr("192.168.1.222:81/tcp")));
  RsPatch heavier;
  heavier.weight = 3;
  ASSERT_TRUE(before.controller.set_rs(addr("192.168.1.222:80/tcp"), ip("192.168.1.55"), heavier));
  const Service last = before.dataplane.table->services()[0];
  ASSERT_GT(last.table->head().open_slots, 0U);

  ControlWorld next(with_mh(text), path, before.controller.state());
  next.dataplane.left = {last};
  ASSERT_TRUE(next.controller.start());
  const Service& now = next.dataplane.table->services()[0];
  EXPECT_EQ(now.id, last.id);
  EXPECT_EQ(now.table->head().open_slots, last.table->head().open_slots) << "still in transition";
  EXPECT_EQ(now.members, last.members);

  // Its MACs count until the resolver has had time to find out.
  ControlWorld known(with_mh(text), path, state);
  ASSERT_TRUE(known.controller.start());
  ASSERT_TRUE(known.resolve("192.168.1.54", kMac));
  ASSERT_TRUE(known.controller.refresh());
  ControlWorld heir(with_mh(text), path, state);
  heir.dataplane.left = {known.dataplane.table->services()[0]};
  ASSERT_TRUE(heir.controller.start());
  EXPECT_TRUE(heir.dataplane.table->real_servers()[0].has_mac);
  EXPECT_EQ(heir.dataplane.table->real_servers()[0].mac, kMac);
  heir.now_ms += 11'000;
  heir.controller.tick();
  ASSERT_TRUE(heir.controller.refresh());
  EXPECT_FALSE(heir.dataplane.table->real_servers()[0].has_mac);

  // A table that is damaged is not believed; its service is there all the same.
  ControlWorld wary(with_mh(text), path, before.controller.state());
  auto damaged = HeapTableMemory().make(last.table->head().slots, 2).value();
  Service bad = last;
  bad.table = damaged;
  wary.dataplane.left = {bad};
  ASSERT_TRUE(wary.controller.start());
  EXPECT_EQ(wary.dataplane.table->services()[0].id, last.id);
  EXPECT_EQ(wary.dataplane.table->services()[0].table->head().open_slots, 0U);
}

TEST_F(ControllerTest, AStartThatIsRefusedPublishesNothingInstead) {
  world.dataplane.refuse_next = Error{std::make_error_code(std::errc::not_enough_memory), "no"};
  EXPECT_FALSE(controller.start());
  EXPECT_EQ(raw(world.dataplane.generation), 0U) << "what an lbd before has left goes on";
  EXPECT_TRUE(controller.registry().services().empty());
}

}  // namespace
}  // namespace lb
