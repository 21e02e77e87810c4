// SPDX-License-Identifier: Apache-2.0
// What outlives an Engine and what the next one makes of it: pins, links, flows, damaged pins.
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "dataplane/io/kernel_table.h"
#include "tests/bpf/engine_run.h"
#include "tests/bpf/passing_end.h"
#include "tests/bpf/xdp_program_run.h"

namespace lb {
namespace {

const RsId kFirst = make_rs_id(0, 1);

/// A hashed and a stateful service, both behind port 0.
std::unique_ptr<ServiceTable> two_services(Engine& engine) {
  FastWorld world(engine.table_memory());
  world.spec().ports.clear();
  for (const auto& port : engine.ports()) world.spec().ports.push_back({port.mac, port.mtu, true});
  world.vip("192.0.2.10");
  world.service("192.0.2.10:53/udp", Scheduler::Mh, 1, 0);
  world.service("192.0.2.10:1000-2000/udp", Scheduler::Rr, 1, 0);
  for (RealServer& rs : world.spec().real_servers) rs.mac = kRsMac;
  return world.build();
}

class EnginePins : public EngineRun {
 protected:
  void SetUp() override {
    EngineRun::SetUp();
    if (IsSkipped()) return;
    ASSERT_NE(mkdtemp(bpffs_.data()), nullptr);
    ASSERT_EQ(mount("bpf", bpffs_.c_str(), "bpf", 0, nullptr), 0);
    far_.emplace("c0");
    ASSERT_TRUE(far_->attached());
    client_.emplace("c0");
    config_ = small_config({"d0"});
    config_.pins = bpffs_ + "/sluice/lbd";
    config_.stop_mode = StopMode::Keep;
    config_.flow_key = {1, 2};
  }
  void TearDown() override {
    engine_.reset();
    far_.reset();
    umount2(bpffs_.c_str(), MNT_DETACH);
    rmdir(bpffs_.c_str());
  }
  /// The next lbd; the one before ends first, by its stop mode.
  void next() {
    engine_.reset();
    start(config_);
  }
  void run() {
    engine_.reset();
    ASSERT_NO_FATAL_FAILURE(start(config_));
    ASSERT_TRUE(engine_->publish(two_services(*engine_)));
    mac_ = engine_->ports()[0].mac;
  }
  bool passes(std::uint16_t port) {
    const Bytes frame = PacketBuilder("198.51.100.7", "192.0.2.10")
                            .ethernet(mac_, kClientMac)
                            .udp(++client_port_, port)
                            .payload(32)
                            .build();
    return client_->send(frame) && client_->receive(is_for_rs, 1000).has_value();
  }
  std::string pin(const std::string& name) const { return config_.pins + "/" + name; }
  bool has_pins() const { return std::filesystem::exists(config_.pins); }
  static std::uint32_t program_on_d0() {
    auto attached = query_xdp(static_cast<int>(if_nametoindex("d0")));
    return attached && *attached ? (*attached)->id : 0;
  }
  /// How many flows the engine's workers remember.
  std::size_t flows() const {
    std::size_t count = 0;
    engine_->visit_flows([&](const FlowInfo&) { return ++count != 0; });
    return count;
  }

  std::string bpffs_ = "/tmp/lb_engine_pins_XXXXXX";
  std::optional<PassingEnd> far_;
  std::optional<RawEnd> client_;
  DataplaneConfig config_;
  MacAddr mac_;
};

TEST_F(EnginePins, ForwardsWhileNoEngineRunsAndTheNextOneTakesOver) {
  ASSERT_NO_FATAL_FAILURE(run());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(passes(1500)) << i;
  ASSERT_EQ(flows(), 10U);
  const std::uint32_t program = program_on_d0();
  engine_.reset();
  EXPECT_EQ(program_on_d0(), program) << "it stays";
  EXPECT_TRUE(passes(53)) << "hashed";
  EXPECT_TRUE(passes(1500)) << "a new flow of a stateful service, by its slots";

  ASSERT_NO_FATAL_FAILURE(start(config_));
  EXPECT_EQ(program_on_d0(), program) << "until the first generation";
  EXPECT_TRUE(passes(53));
  EXPECT_EQ(flows(), 10U) << "adopted";
  const std::vector<Service> found = engine_->adopted();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].address.to_string(), "192.0.2.10:53/udp");
  EXPECT_EQ(found[1].address.to_string(), "192.0.2.10:1000-2000/udp");
  ASSERT_TRUE(found[0].table && found[1].table);
  EXPECT_EQ(found[0].members.at(0), kFirst);
  EXPECT_FALSE(is_hashed(found[1].scheduler));
  ASSERT_TRUE(engine_->publish(two_services(*engine_)));
  EXPECT_NE(program_on_d0(), program) << "replaced";
  EXPECT_TRUE(passes(53));
  EXPECT_TRUE(passes(1500));
  EXPECT_EQ(flows(), 11U);
}

TEST_F(EnginePins, NothingIsLeftByDetachAndPassPasses) {
  config_.stop_mode = StopMode::Pass;
  ASSERT_NO_FATAL_FAILURE(run());
  ASSERT_TRUE(passes(1500));
  engine_.reset();
  EXPECT_NE(program_on_d0(), 0U);
  EXPECT_FALSE(passes(53));
  config_.stop_mode = StopMode::Detach;
  ASSERT_NO_FATAL_FAILURE(start(config_));
  EXPECT_EQ(flows(), 1U) << "remembered all the same";
  ASSERT_TRUE(engine_->publish(two_services(*engine_)));
  EXPECT_TRUE(passes(53)) << "and it forwards again";
  engine_.reset();
  EXPECT_EQ(program_on_d0(), 0U);
  EXPECT_FALSE(has_pins());
}

TEST_F(EnginePins, AStartThatFailsLeavesEverythingAsItWas) {
  ASSERT_NO_FATAL_FAILURE(run());
  engine_.reset();
  const std::uint32_t program = program_on_d0();
  DataplaneConfig wrong = config_;
  wrong.cpus = {4000};
  EXPECT_NE(start_error(wrong), "");
  EXPECT_EQ(program_on_d0(), program);
  EXPECT_TRUE(passes(53));
  {
    // Ends before its first generation.
    auto early = Engine::start(config_);
    ASSERT_TRUE(early) << early.error().message;
  }
  EXPECT_EQ(program_on_d0(), program);
  EXPECT_TRUE(passes(53));
  EXPECT_NE(start_error([&] {
              DataplaneConfig other = small_config({"d1"});
              other.pins = bpffs_ + "/../x";
              other.stop_mode = StopMode::Keep;
              return other;
            }()),
            "")
      << "not on a bpffs";
}

TEST_F(EnginePins, TwoEnginesNeedTwoDirectories) {
  ASSERT_NO_FATAL_FAILURE(run());
  DataplaneConfig other = small_config({"d1"});
  other.pins = config_.pins;
  EXPECT_NE(start_error(other).find("another lbd"), std::string::npos) << start_error(other);
  other.pins = bpffs_ + "/sluice/other";
  EXPECT_EQ(start_error(other), "");
  EXPECT_TRUE(passes(53));
}

/// Everything that an lbd may find instead of sound pins: it starts clean, without a gap in what is
/// forwarded, and says nothing wrong.
TEST_F(EnginePins, DamagedPinsAreNotAdopted) {
  const auto foreign_map = [&](const std::string& name) {
    unlink(pin(name).c_str());
    const Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "foreign", 4, 4, 1, nullptr));
    ASSERT_EQ(bpf_obj_pin(map.get(), pin(name).c_str()), 0);
  };
  const auto about = [&](auto change) {
    const Fd map(bpf_obj_get(pin("map_about").c_str()));
    lb_about value{};
    const std::uint32_t zero = 0;
    ASSERT_EQ(bpf_map_lookup_elem(map.get(), &zero, &value), 0);
    change(value);
    ASSERT_EQ(bpf_map_update_elem(map.get(), &zero, &value, BPF_ANY), 0);
  };
  const auto objects = [&] {
    for (const auto& entry : std::filesystem::directory_iterator(config_.pins)) {
      if (entry.path().filename().string().starts_with("object_")) unlink(entry.path().c_str());
    }
  };
  const std::vector<std::function<void()>> damages{
      [&] { foreign_map("map_flows4"); },
      [&] { foreign_map("map_about"); },
      [&] { foreign_map("map_vip_index"); },
      [&] { unlink(pin("map_about").c_str()); },
      [&] { unlink(pin("map_tables0").c_str()); },
      [&] { about([](lb_about& value) { ++value.version; }); },
      [&] { about([](lb_about& value) { --value.version; }); },
      [&] { about([](lb_about& value) { value.rs_max = 99; }); },
      [&] { about([](lb_about& value) { ++value.flow_key.k0; }); },
      objects,
      [&] { config_.services_max = 32; },
      [&] { config_.adopt = false; },
  };
  for (std::size_t i = 0; i < damages.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_NO_FATAL_FAILURE(run());
    engine_.reset();
    damages[i]();
    ASSERT_NO_FATAL_FAILURE(start(config_));
    EXPECT_TRUE(engine_->adopted().empty());
    EXPECT_TRUE(passes(53)) << "by the program of before, until the first generation";
    ASSERT_TRUE(engine_->publish(two_services(*engine_)));
    EXPECT_TRUE(passes(53));
    EXPECT_TRUE(passes(1500));
    config_.adopt = true;
    next();
    EXPECT_EQ(engine_->adopted().size(), 2U) << "what it made is sound again";
  }
}

TEST_F(EnginePins, WhatIsNotTakenOverStaysUntilTheNewMapsAreInForce) {
  ASSERT_NO_FATAL_FAILURE(run());
  engine_.reset();
  config_.services_max = 32;
  ASSERT_NO_FATAL_FAILURE(start(config_));
  const Fd foreign(bpf_obj_get(pin("fresh_map_about").c_str()));
  ASSERT_TRUE(foreign);
  engine_.reset();  // it never had anything to forward by
  EXPECT_FALSE(std::filesystem::exists(pin("fresh_map_about")));
  ASSERT_EQ(bpf_obj_pin(foreign.get(), pin("fresh_map_about").c_str()), 0) << "as if killed";
  config_.services_max = small_config({}).services_max;
  ASSERT_NO_FATAL_FAILURE(start(config_));
  EXPECT_EQ(engine_->adopted().size(), 2U);
  EXPECT_FALSE(std::filesystem::exists(pin("fresh_map_about")));
  EXPECT_TRUE(passes(53));
}

TEST_F(EnginePins, ADamagedTableOrIndexIsNotBelieved) {
  const auto object = [&](std::uint32_t bytes, auto change) {
    for (const auto& entry : std::filesystem::directory_iterator(config_.pins)) {
      if (!entry.path().filename().string().starts_with("object_")) continue;
      Fd map(bpf_obj_get(entry.path().c_str()));
      bpf_map_info info{};
      std::uint32_t size = sizeof info;
      ASSERT_EQ(bpf_obj_get_info_by_fd(map.get(), &info, &size), 0);
      if (info.value_size != bytes) continue;
      std::vector<std::byte> value((bytes + 7) / 8 * 8);
      const std::uint32_t zero = 0;
      ASSERT_EQ(bpf_map_lookup_elem(map.get(), &zero, value.data()), 0);
      change(value.data());
      ASSERT_EQ(bpf_map_update_elem(map.get(), &zero, value.data(), BPF_ANY), 0);
    }
  };
  const auto table_bytes = static_cast<std::uint32_t>(kTableRooms[0].bytes());
  const auto index_bytes = static_cast<std::uint32_t>(IndexRoom::for_services(16, 16).bytes());
  const std::vector<std::function<void()>> damages{
      [&] {
        object(table_bytes,
               [](std::byte* at) { reinterpret_cast<lb_table_head*>(at)->slots = 0xffffffff; });
      },
      [&] {
        object(table_bytes, [](std::byte* at) { reinterpret_cast<lb_table_head*>(at)->magic = 0; });
      },
      [&] {
        object(table_bytes,
               [](std::byte* at) { reinterpret_cast<lb_table_head*>(at)->members = 65; });
      },
      [&] {
        object(index_bytes, [&](std::byte* at) {
          auto* slots = reinterpret_cast<lb_index_slot*>(at + sizeof(lb_index_head));
          for (int i = 0; i < 128; ++i) slots[i].list_first = 0x7fffffff;
        });
      },
      [&] {
        object(index_bytes, [&](std::byte* at) {
          auto* slots = reinterpret_cast<lb_index_slot*>(at + sizeof(lb_index_head));
          for (int i = 0; i < 128; ++i) slots[i].table = 0x01fffff0;
        });
      },
  };
  for (std::size_t i = 0; i < damages.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_NO_FATAL_FAILURE(run());
    engine_.reset();
    ASSERT_NO_FATAL_FAILURE(damages[i]());
    ASSERT_NO_FATAL_FAILURE(start(config_));
    EXPECT_TRUE(engine_->adopted().empty());
    ASSERT_TRUE(engine_->publish(two_services(*engine_)));
    EXPECT_TRUE(passes(53));
    engine_.reset();
  }
}

TEST_F(EnginePins, LinksThatAreNotOursAreRemoved) {
  ASSERT_NO_FATAL_FAILURE(run());
  engine_.reset();
  const int d1 = static_cast<int>(if_nametoindex("d1"));
  // An interface that is no port any more, one that is gone, and something that is no link.
  config_.ports = {{"d1"}};
  ASSERT_NO_FATAL_FAILURE(start(config_));
  ASSERT_TRUE(engine_->publish(two_services(*engine_)));
  EXPECT_EQ(program_on_d0(), 0U) << "d0 is no port any more";
  engine_.reset();
  ASSERT_TRUE(std::filesystem::exists(pin(link_pin(d1))));
  ASSERT_TRUE(PrivateNet::run("ip link del d1"));
  config_.ports = {{"d0"}};
  const Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "foreign", 4, 4, 1, nullptr));
  const int d0 = static_cast<int>(if_nametoindex("d0"));
  ASSERT_EQ(bpf_obj_pin(map.get(), pin(link_pin(d0)).c_str()), 0);
  ASSERT_NO_FATAL_FAILURE(start(config_));
  ASSERT_TRUE(engine_->publish(two_services(*engine_)));
  EXPECT_FALSE(std::filesystem::exists(pin(link_pin(d1)))) << "its interface is gone";
  EXPECT_TRUE(passes(53));
}

}  // namespace
}  // namespace lb
