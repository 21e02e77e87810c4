// SPDX-License-Identifier: Apache-2.0
// Registry's start and reload: what the file says, what was changed at run time, and who wins.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/registry.h"
#include "control/toml_writer.h"
#include "dataplane/table/service_table.h"
#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kFile =
    "[[service]]\naddress = \"192.0.2.10:80/tcp\"\nscheduler = \"wlc\"\n"
    "[[service.real_server]]\naddress = \"192.0.2.21\"\nweight = 3\n"
    "[[service.real_server]]\naddress = \"192.0.2.22\"\n";
const ServiceAddr kTls = service_addr("192.0.2.10:443/tcp");

Registry loaded(const std::string& file = kFile) {
  Registry registry(small_limits());
  EXPECT_TRUE(registry.load(file_of(file), 0));
  return registry;
}

/// The registry of an lbd that was restarted with `file` and the state of `before`.
Registry restarted(const Registry& before, const std::string& file,
                   ReloadReport* report = nullptr) {
  Registry registry(small_limits());
  registry.restore(before.overlay(), before.health_memory());
  auto done = registry.load(file_of(file), 0);
  EXPECT_TRUE(done) << done.error().message;
  if (report != nullptr) *report = *done;
  return registry;
}

/// What is desired, without ids and health, as text.
std::string desired(const Registry& registry) {
  return to_toml(running_config(Config{}, registry));
}

TEST(RegistryLoad, FileComesFirst) {
  auto registry = loaded();
  EXPECT_EQ(registry.services().at(kWeb).origin, Origin::Config);
  EXPECT_EQ(registry.services().at(kWeb).settings.scheduler, Scheduler::Wlc);
  EXPECT_EQ(registry.rs(kWeb, kRs1).value()->settings.weight, 3U);
  EXPECT_EQ(registry.overlay(), Overlay{});
}

TEST(RegistryLoad, SameFileChangesNothingAndKeepsIdsAndHealth) {
  auto registry = loaded();
  RsId id = registry.rs(kWeb, kRs1).value()->id;
  ServiceId service = registry.services().at(kWeb).id;
  registry.set_health(id, Health::Up, "connected", 5);
  auto report = registry.load(file_of(kFile), 10);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->changed, IsEmpty());
  EXPECT_THAT(report->dropped, IsEmpty());
  EXPECT_EQ(registry.rs(kWeb, kRs1).value()->id, id);
  EXPECT_EQ(registry.services().at(kWeb).id, service);
  EXPECT_EQ(registry.find(id)->health, Health::Up);
  EXPECT_EQ(registry.find(id), registry.rs_at_slot(slot_of(id)).entry);
}

TEST(RegistryLoad, FollowsTheFile) {
  auto registry = loaded();
  auto report =
      registry.load(file_of("[[service]]\naddress = \"192.0.2.10:80/tcp\"\n"
                            "[[service.real_server]]\naddress = \"192.0.2.21\"\nweight = 4\n"
                            "[[service.real_server]]\naddress = \"192.0.2.23\"\n"
                            "[[service]]\naddress = \"192.0.2.10:443/tcp\"\n"),
                    10);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->changed, testing::UnorderedElementsAre(
                                   "service 192.0.2.10:80/tcp changed",
                                   "real server 192.0.2.21 of 192.0.2.10:80/tcp changed",
                                   "real server 192.0.2.23 of 192.0.2.10:80/tcp added",
                                   "real server 192.0.2.22 of 192.0.2.10:80/tcp removed",
                                   "service 192.0.2.10:443/tcp added with 0 real servers"));
  auto gone = registry.load({}, 20);
  ASSERT_TRUE(gone);
  EXPECT_THAT(registry.services(), IsEmpty());
}

TEST(RegistryLoad, RunTimeChangesSurviveReloadAndRestart) {
  auto registry = loaded();
  ASSERT_TRUE(registry.set_service(kWeb, with_scheduler(Scheduler::Mh)));
  ASSERT_TRUE(registry.set_rs(kWeb, kRs1, rs_weight(9)));
  ASSERT_TRUE(registry.del_rs(kWeb, kRs2));
  ASSERT_TRUE(registry.add_rs(kWeb, kRs3, rs_state(ManualState::Down)));
  ASSERT_TRUE(registry.add_service(kTls, unchecked()));
  ASSERT_TRUE(registry.add_rs(kTls, kRs1, {}));
  ASSERT_TRUE(registry.drain_rs(kTls, kRs1, 0, 1));
  ServicePatch pass;
  pass.vip_unmatched = Unmatched::Pass;
  ASSERT_TRUE(registry.set_service(kTls, pass));
  auto before = desired(registry);
  auto report = registry.load(file_of(kFile), 10);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->changed, IsEmpty());
  EXPECT_EQ(desired(registry), before);
  ReloadReport start;
  auto again = restarted(registry, kFile, &start);
  EXPECT_THAT(start.dropped, IsEmpty());
  EXPECT_EQ(desired(again), before);
  EXPECT_TRUE(again.rs(kTls, kRs1).value()->draining);
  EXPECT_EQ(again.services().at(kTls).origin, Origin::Runtime);
  EXPECT_EQ(again.services().at(kWeb).settings.vip_unmatched, Unmatched::Pass);
  EXPECT_EQ(again.overlay(), registry.overlay());
}

TEST(RegistryLoad, RemovedServiceStaysAwayUntilTheFileChangesThere) {
  auto registry = loaded();
  ASSERT_TRUE(registry.del_service(kWeb));
  ASSERT_TRUE(registry.load(file_of(kFile), 10));
  EXPECT_THAT(registry.services(), IsEmpty());
  auto other_rs = kFile + "[[service.real_server]]\naddress = \"192.0.2.23\"\n";
  ASSERT_TRUE(registry.load(file_of(other_rs), 11));
  EXPECT_THAT(registry.services(), IsEmpty()) << "the service itself reads as before";
  auto report = registry.load(
      file_of("[[service]]\naddress = \"192.0.2.10:80/tcp\"\nscheduler = \"rr\"\n"), 12);
  ASSERT_TRUE(report);
  EXPECT_TRUE(registry.services().contains(kWeb));
  EXPECT_THAT(report->dropped,
              ElementsAre(HasSubstr("service 192.0.2.10:80/tcp: its run-time change is dropped")));
}

TEST(RegistryLoad, RemovedAndAddedAgainIsAsItWasAdded) {
  auto registry = loaded();
  ASSERT_TRUE(registry.del_service(kWeb));
  ASSERT_TRUE(registry.add_service(kWeb, {}));
  ASSERT_TRUE(registry.add_rs(kWeb, kRs1, {}));
  auto before = desired(registry);
  EXPECT_EQ(desired(restarted(registry, kFile)), before);
}

TEST(RegistryLoad, TheFileWinsWhereItChanged) {
  auto registry = loaded();
  ASSERT_TRUE(registry.set_rs(kWeb, kRs1, rs_weight(9)));
  ASSERT_TRUE(registry.set_rs(kWeb, kRs2, rs_weight(8)));
  auto file = kFile;
  file.replace(file.find("weight = 3"), 10, "weight = 4");
  ReloadReport report;
  auto again = restarted(registry, file, &report);
  EXPECT_EQ(again.rs(kWeb, kRs1).value()->settings.weight, 4U);
  EXPECT_EQ(again.rs(kWeb, kRs2).value()->settings.weight, 8U) << "nothing changed there";
  EXPECT_THAT(report.dropped,
              ElementsAre(HasSubstr("real server 192.0.2.21 of 192.0.2.10:80/tcp")));
}

TEST(RegistryLoad, SavedFileTakesOverSilently) {
  auto registry = loaded();
  ASSERT_TRUE(registry.set_service(kWeb, with_scheduler(Scheduler::Mh)));
  ASSERT_TRUE(registry.del_rs(kWeb, kRs2));
  ASSERT_TRUE(registry.add_service(kTls, {}));
  ASSERT_TRUE(registry.add_rs(kTls, kRs3, rs_weight(2)));
  auto saved = running_config(Config{}, registry).services;
  auto before = desired(registry);
  auto report = registry.load(saved, 10);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->dropped, IsEmpty());
  EXPECT_THAT(report->changed, IsEmpty());
  EXPECT_EQ(desired(registry), before);
  EXPECT_EQ(registry.overlay(), Overlay{}) << "nothing is laid over any more";
  EXPECT_EQ(registry.services().at(kTls).origin, Origin::Config);
}

TEST(RegistryLoad, ChangeThatClashesWithTheFileIsDropped) {
  auto registry = loaded();
  ASSERT_TRUE(registry.add_service(service_addr("192.0.2.10:8000-8100/tcp"), {}));
  ASSERT_TRUE(registry.add_rs(kWeb, kRs3, {}));
  auto report =
      registry.load(file_of(kFile + "[[service]]\naddress = \"192.0.2.10:8050-8150/tcp\"\n"
                                    "[[service]]\naddress = \"192.0.2.23:80/tcp\"\n"),
                    10);
  ASSERT_TRUE(report);
  EXPECT_THAT(report->dropped, testing::UnorderedElementsAre(
                                   HasSubstr("overlap"), HasSubstr("is a VIP of this director")));
  EXPECT_FALSE(registry.services().contains(service_addr("192.0.2.10:8000-8100/tcp")));
}

TEST(RegistryLoad, RealServersOfAServiceThatTheFileDroppedGoWithIt) {
  auto registry = loaded();
  ASSERT_TRUE(registry.add_rs(kWeb, kRs3, {}));
  auto report = registry.load({}, 10);
  ASSERT_TRUE(report);
  EXPECT_THAT(registry.services(), IsEmpty());
  EXPECT_THAT(report->dropped, ElementsAre(HasSubstr("real server 192.0.2.23")));
}

TEST(RegistryLoad, VipSettingsFollowTheSameRule) {
  auto registry = loaded();
  ServicePatch pass;
  pass.icmp_echo = IcmpEcho::Pass;
  ASSERT_TRUE(registry.set_service(kWeb, pass));
  EXPECT_EQ(restarted(registry, kFile).services().at(kWeb).settings.icmp_echo, IcmpEcho::Pass);
  ReloadReport report;
  auto file = kFile;
  file.insert(file.find("scheduler"), "vip_owner = \"external\"\n");
  auto again = restarted(registry, file, &report);
  EXPECT_EQ(again.services().at(kWeb).settings.icmp_echo, IcmpEcho::Reply);
  EXPECT_EQ(again.services().at(kWeb).settings.vip_owner, VipOwner::External);
  EXPECT_THAT(report.dropped, ElementsAre(HasSubstr("VIP 192.0.2.10")));
}

TEST(RegistryLoad, RestartKeepsTheLastKnownHealth) {
  auto registry = loaded();
  registry.set_health(registry.rs(kWeb, kRs1).value()->id, Health::Up, "", 1);
  registry.set_health(registry.rs(kWeb, kRs2).value()->id, Health::Down, "refused", 1);
  auto again = restarted(registry, kFile);
  EXPECT_TRUE(is_up(*again.rs(kWeb, kRs1).value()));
  EXPECT_EQ(again.rs(kWeb, kRs2).value()->health, Health::Down);
  ASSERT_TRUE(again.del_rs(kWeb, kRs1));
  ASSERT_TRUE(again.add_rs(kWeb, kRs1, {}));
  EXPECT_EQ(again.rs(kWeb, kRs1).value()->health, Health::Unknown)
      << "remembered for the start only";
}

TEST(RegistryLoad, BadFileChangesNothing) {
  auto registry = loaded();
  auto before = desired(registry);
  std::vector<ConfigService> many;
  for (int i = 1; i < 20; ++i) {
    ConfigService service;
    service.address = service_addr("192.0.2." + std::to_string(100 + i) + ":80/tcp");
    many.push_back(service);
  }
  auto report = registry.load(many, 10);
  ASSERT_FALSE(report);
  EXPECT_EQ(http_status(report.error()), 422);
  registry.set_on_link([](const IpAddr&, const RsSettings&) -> Status {
    return refuse(Refusal::NotOnLink, "no attached network");
  });
  EXPECT_TRUE(registry.load(file_of(kFile), 10)) << "who is placed already is not asked again";
  EXPECT_FALSE(
      registry.load(file_of(kFile + "[[service.real_server]]\naddress = \"192.0.2.23\"\n"), 10));
  EXPECT_EQ(desired(registry), before);
}

TEST(RegistryLoad, HundredReloadsLeakNoSlot) {
  Registry registry({2, 3, {"eth0"}});
  for (std::uint64_t i = 0; i < 100; ++i) {
    auto sorry = i % 3 == 0 ? "sorry = { address = \"192.0.2.99\" }\n" : "";
    auto service = std::string("[[service]]\naddress = \"192.0.2.") + (i % 2 == 0 ? "10" : "11") +
                   ":80/tcp\"\n" + sorry;
    auto rs = "[[service.real_server]]\naddress = \"192.0.2." + std::to_string(21 + i % 5) + "\"\n";
    ASSERT_TRUE(registry.load(file_of(service + rs), i));
    ASSERT_EQ(registry.services().size(), 1U);
  }
}

KnownIds known_of(const Registry& registry) {
  KnownIds ids;
  for (const auto& [address, entry] : registry.services()) {
    ids.services[address] = entry.id;
    if (entry.settings.sorry) {
      ids.real_servers[{address, entry.settings.sorry->address, true}] = {entry.sorry_id, true};
    }
    for (const auto& [rs, one] : entry.real_servers) {
      ids.real_servers[{address, rs, false}] = {one.id, rs == kRs1};
    }
  }
  return ids;
}

TEST(RegistryLoad, WhatThePacketPathKnowsKeepsItsIds) {
  Registry before = loaded("[[service]]\naddress = \"192.0.2.9:1/udp\"\n" + kFile);
  ASSERT_TRUE(before.add_rs(kWeb, kRs3, {}));
  ASSERT_TRUE(before.add_service(kTls, {}));
  const ServiceEntry& web = **before.service(kWeb);

  Registry registry(small_limits());
  registry.prefer(known_of(before));
  ASSERT_TRUE(registry.load(file_of(kFile), 0));
  const ServiceEntry& now = **registry.service(kWeb);
  EXPECT_EQ(now.id, web.id);
  EXPECT_EQ(now.real_servers.at(kRs1).id, web.real_servers.at(kRs1).id);
  EXPECT_EQ(now.real_servers.at(kRs2).id, web.real_servers.at(kRs2).id);
  EXPECT_EQ(now.real_servers.at(kRs1).health, Health::Up) << "as it was at the end";
  EXPECT_EQ(now.real_servers.at(kRs2).health, Health::Unknown);
  // What is not desired any more has given its slots back, but no id comes again.
  ASSERT_TRUE(registry.add_rs(kWeb, kRs3, {}));
  EXPECT_NE(registry.rs(kWeb, kRs3).value()->id, web.real_servers.at(kRs3).id);
  for (int i = 0; i < 7; ++i) {
    ASSERT_TRUE(registry.add_service(service_addr(fmt::format("192.0.2.11:{}/tcp", i + 1)), {}));
  }
  for (const auto& [address, entry] : registry.services()) {
    if (address != kWeb) {
      EXPECT_NE(entry.id, (*before.service(kTls))->id);
    }
  }
}

TEST(RegistryLoad, IdsThatFlowsNameAreNotGivenAgain) {
  Registry registry(small_limits());
  registry.saw(make_service_id(0, 4), make_rs_id(0, 9));
  ASSERT_TRUE(registry.load(file_of(kFile), 0));
  EXPECT_EQ((*registry.service(kWeb))->id, make_service_id(0, 5));
  EXPECT_EQ((*registry.rs(kWeb, kRs1))->id, make_rs_id(0, 10));
}

TEST(RegistryLoad, IdsThatCannotBeAreLeftAlone) {
  Registry registry(small_limits());
  KnownIds ids;
  ids.services[kWeb] = make_service_id(8, 1);  // over services_max
  ids.real_servers[{kWeb, kRs1, false}] = {make_rs_id(3, 1), false};
  ids.real_servers[{kWeb, kRs2, false}] = {make_rs_id(3, 2), false};  // the same slot
  registry.prefer(ids);
  ASSERT_TRUE(registry.load(file_of(kFile), 0));
  EXPECT_LT(slot_of((*registry.service(kWeb))->id), 8U);
  EXPECT_EQ((*registry.rs(kWeb, kRs1))->id, make_rs_id(3, 1));
  EXPECT_NE(slot_of((*registry.rs(kWeb, kRs2))->id), 3U);
}

}  // namespace
}  // namespace lb
