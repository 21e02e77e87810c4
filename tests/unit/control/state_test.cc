// SPDX-License-Identifier: Apache-2.0
// State: round trip, and that a file that cannot be understood is moved aside rather than lost.
#include "control/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "control/state_json.h"
#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

using testing::HasSubstr;

class StateTest : public testing::Test {
 protected:
  StateTest() {
    char name[] = "/tmp/sluice-state-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ + "/state.json";
  }
  ~StateTest() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& text) { std::ofstream(path_) << text; }
  std::string folder_, path_;
};

const StateClock kThen{.now_ms = 500'000, .boot_s = 600, .wall_s = 1'800'000'000, .boot_id = "a"};

/// The deadline that a drain with 60 s left at kThen has for a process that starts at `now`.
std::uint64_t deadline_at(const StateClock& now) {
  State state;
  OverlayRs& rs = state.overlay.services[kWeb].real_servers[kRs1];
  rs.draining = true;
  rs.drain_deadline_ms = kThen.now_ms + 60'000;
  auto back = state_from_json(state_to_json(state, kThen), now);
  EXPECT_TRUE(back) << back.error().message;
  return back->overlay.services[kWeb].real_servers[kRs1].drain_deadline_ms;
}

State rich_state() {
  Registry registry(small_limits());
  EXPECT_TRUE(
      registry.load(file_of("[[service]]\naddress = \"192.0.2.10:80/tcp\"\nname = \"a\"\n"
                            "[[service.real_server]]\naddress = \"192.0.2.21\"\nweight = 2\n"
                            "[[service.real_server]]\naddress = \"192.0.2.22\"\n"
                            "[[service]]\naddress = \"192.0.2.11:80/tcp\"\n"),
                    0));
  ServicePatch patch = with_scheduler(Scheduler::Mh);
  patch.sorry.emplace(SorrySettings{ip("192.0.2.99"), mac("02:00:00:00:00:99"), 9});
  patch.vip_owner = VipOwner::External;
  patch.timeouts[3] = 4'500;
  patch.health.rise = 7;
  patch.transition_ms = 3'600'000;
  patch.affinity = Affinity::None;
  patch.flow_rate = 0;
  EXPECT_TRUE(registry.set_service(kWeb, patch));
  RsPatch rs;
  rs.mac.emplace(mac("02:00:00:00:00:21"));
  rs.port = "eth1";
  rs.vlan = 12;
  rs.state = ManualState::Up;
  EXPECT_TRUE(registry.set_rs(kWeb, kRs1, rs));
  EXPECT_TRUE(registry.drain_rs(kWeb, kRs2, 60'000, StateClock::read().now_ms));
  EXPECT_TRUE(registry.add_rs(kWeb, kRs3, {}));
  EXPECT_TRUE(registry.del_service(service_addr("192.0.2.11:80/tcp")));
  EXPECT_TRUE(registry.add_service(service_addr("[2001:db8::1]:443/tcp"), {}));
  registry.set_health(registry.rs(kWeb, kRs1).value()->id, Health::Down, "x", 1);
  return {HashKeys::random(), registry.overlay(), registry.health_memory(), true};
}

TEST_F(StateTest, RoundTripsEverything) {
  State state = rich_state();
  ASSERT_TRUE(save_state(path_, state));
  auto loaded = load_state(path_);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->note, "");
  EXPECT_TRUE(loaded->state.panic);
  std::uint64_t& deadline =
      loaded->state.overlay.services.at(kWeb).real_servers.at(kRs2).drain_deadline_ms;
  const std::uint64_t said =
      state.overlay.services.at(kWeb).real_servers.at(kRs2).drain_deadline_ms;
  EXPECT_NEAR(static_cast<double>(deadline), static_cast<double>(said), 5'000);
  deadline = said;
  EXPECT_EQ(loaded->state.overlay, state.overlay);
  EXPECT_EQ(loaded->state.health, state.health);
  EXPECT_EQ(loaded->state.keys.flow.k0, state.keys.flow.k0);
  EXPECT_EQ(loaded->state.keys.flow.k1, state.keys.flow.k1);
  EXPECT_EQ(loaded->state.keys.service.k0, state.keys.service.k0);
  EXPECT_EQ(loaded->state.keys.service.k1, state.keys.service.k1);
}

TEST_F(StateTest, FileIsPrivateAndReplacedWhole) {
  ASSERT_TRUE(save_state(path_, rich_state()));
  ASSERT_TRUE(save_state(path_, State{}));
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".tmp"));
  EXPECT_TRUE(load_state(path_)->state.overlay.services.empty());
}

TEST_F(StateTest, MakesItsFolder) {
  auto deeper = folder_ + "/var/state.json";
  ASSERT_TRUE(save_state(deeper, State{}));
  EXPECT_TRUE(std::filesystem::exists(deeper));
  EXPECT_FALSE(save_state(folder_ + "/no/such/state.json", State{}));
}

TEST_F(StateTest, NoFileMeansFreshKeys) {
  auto loaded = load_state(path_);
  ASSERT_TRUE(loaded);
  EXPECT_THAT(loaded->note, HasSubstr("not there yet"));
  EXPECT_NE(loaded->state.keys.flow.k0, 0U);
}

TEST_F(StateTest, WhatCannotBeUnderstoodIsMovedAside) {
  for (const char* text :
       {"", "{", "[]", "{\"version\": 2}", "{\"version\": 1}", "null",
        "{\"version\":1,\"hash_keys\":{\"flow\":[\"x\",\"y\"],\"service\":[]}}"}) {
    write(text);
    auto loaded = load_state(path_);
    ASSERT_TRUE(loaded) << text;
    EXPECT_THAT(loaded->note, HasSubstr(".bad")) << text;
    EXPECT_FALSE(std::filesystem::exists(path_));
    EXPECT_NE(loaded->state.keys.flow.k0, 0U);
  }
  EXPECT_TRUE(std::filesystem::exists(path_ + ".bad"));
  EXPECT_TRUE(std::filesystem::exists(path_ + ".bad.6")) << "none overwrites another";
}

TEST_F(StateTest, EveryTruncationIsRefused) {
  auto text = state_to_json(rich_state(), kThen);
  text.pop_back();  // the newline
  for (std::size_t size = 0; size < text.size(); size += 7) {
    EXPECT_FALSE(state_from_json(text.substr(0, size), kThen)) << size;
  }
  EXPECT_TRUE(state_from_json(text, kThen));
}

TEST(StateClock, ADrainsDeadlineSurvivesARestartASleepAndABoot) {
  StateClock now = kThen;
  now.now_ms += 10'000;
  now.boot_s += 10;
  now.wall_s -= 1'000'000;  // somebody set the clock: within one boot it does not count
  EXPECT_EQ(deadline_at(now), kThen.now_ms + 60'000);
  now.boot_s += 30;  // asleep: the monotonic clock stood
  EXPECT_EQ(deadline_at(now), now.now_ms + 20'000);
  now.boot_s += 100'000;
  EXPECT_EQ(deadline_at(now), now.now_ms + 1) << "over, and not 0: that were no deadline";

  StateClock boot{.now_ms = 7'000, .boot_s = 7, .wall_s = kThen.wall_s + 40, .boot_id = "b"};
  EXPECT_EQ(deadline_at(boot), 27'000U);
  boot.wall_s = 0;  // no battery, no NTP yet
  EXPECT_EQ(deadline_at(boot), 67'000U) << "at most what was left";
}

TEST_F(StateTest, UnreadableFileIsAnErrorAndStays) {
  std::filesystem::create_directory(path_);
  auto loaded = load_state(path_);
  ASSERT_FALSE(loaded);
  EXPECT_TRUE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace lb
