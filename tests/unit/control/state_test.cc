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
  EXPECT_TRUE(registry.set_service(kWeb, patch));
  RsPatch rs;
  rs.mac.emplace(mac("02:00:00:00:00:21"));
  rs.port = "eth1";
  rs.vlan = 12;
  rs.state = ManualState::Up;
  EXPECT_TRUE(registry.set_rs(kWeb, kRs1, rs));
  EXPECT_TRUE(registry.drain_rs(kWeb, kRs2, 0, 1));
  EXPECT_TRUE(registry.add_rs(kWeb, kRs3, {}));
  EXPECT_TRUE(registry.del_service(service_addr("192.0.2.11:80/tcp")));
  EXPECT_TRUE(registry.add_service(service_addr("[2001:db8::1]:443/tcp"), {}));
  registry.set_health(registry.rs(kWeb, kRs1).value()->id, Health::Down, "x", 1);
  return {HashKeys::random(), registry.overlay(), registry.health_memory()};
}

TEST_F(StateTest, RoundTripsEverything) {
  State state = rich_state();
  ASSERT_TRUE(save_state(path_, state));
  auto loaded = load_state(path_);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->note, "");
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
  auto text = state_to_json(rich_state());
  text.pop_back();  // the newline
  for (std::size_t size = 0; size < text.size(); size += 7) {
    EXPECT_FALSE(state_from_json(text.substr(0, size))) << size;
  }
  EXPECT_TRUE(state_from_json(text));
}

TEST_F(StateTest, UnreadableFileIsAnErrorAndStays) {
  std::filesystem::create_directory(path_);
  auto loaded = load_state(path_);
  ASSERT_FALSE(loaded);
  EXPECT_TRUE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace lb
