// SPDX-License-Identifier: Apache-2.0
// Engine on veths of a private network namespace, with a table made by hand: forwarding, links that
// go down and come back, interfaces that are deleted, errors at start, and nothing left behind by a
// thousand starts and ends.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <set>

#include "tests/bpf/engine_run.h"

namespace lb {
namespace {

TEST_F(EngineRun, ForwardsOutOfThePortItCameInBy) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0"})));
  ASSERT_NO_FATAL_FAILURE(publish(0));
  RawEnd client("c0");
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(goes_through(client, client)) << i;
  EXPECT_EQ(total(&WorkerCounters::tx_packets), 100U);
  EXPECT_EQ(total(&WorkerCounters::frames_refused), 0U);
  auto ports = engine_->ports();
  EXPECT_EQ(ports[0].xdp_handed, 100U);
  EXPECT_EQ(ports[0].xdp_mode, "native");
  EXPECT_EQ(ports[0].copy_mode, "copy");
  EXPECT_FALSE(ports[0].copy_mode_reason.empty());
  EXPECT_TRUE(ports[0].up);
}

TEST_F(EngineRun, ForwardsFromOnePortToTheOther) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
  ASSERT_NO_FATAL_FAILURE(publish(1));
  RawEnd client("c0");
  RawEnd server("c1");
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(goes_through(client, server)) << i;
}

TEST_F(EngineRun, ForwardsInGenericMode) {
  auto config = small_config({"d0"});
  config.xdp_mode = XdpMode::Generic;
  ASSERT_NO_FATAL_FAILURE(start(config));
  ASSERT_NO_FATAL_FAILURE(publish(0));
  RawEnd client("c0");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(goes_through(client, client)) << i;
  EXPECT_EQ(engine_->ports()[0].xdp_mode, "generic");
}

TEST_F(EngineRun, ForwardsWithEveryKnobTurned) {
  auto config = small_config({"d0", "d1"});
  config.need_wakeup = false;
  config.busy_poll_us = 20;
  config.hugepages = false;
  config.frame_bytes = 4096;
  config.rx_ring = config.tx_ring = 64;
  config.batch = 1;
  config.cpus = {0};
  config.spin_us = 0;
  ASSERT_NO_FATAL_FAILURE(start(config));
  ASSERT_NO_FATAL_FAILURE(publish(1));
  RawEnd client("c0");
  RawEnd server("c1");
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(goes_through(client, server)) << i;
}

TEST_F(EngineRun, FollowsTheMacAddressOfItsPort) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0"})));
  ASSERT_NO_FATAL_FAILURE(publish(0));
  RawEnd client("c0");
  ASSERT_TRUE(goes_through(client, client));
  ASSERT_TRUE(PrivateNet::run("ip link set d0 address 02:00:00:00:00:77"));
  EXPECT_FALSE(goes_through(client, client, 50));
  engine_->link_changed(PortIndex{0}, true);
  EXPECT_TRUE(goes_through(client, client));
}

TEST_F(EngineRun, BurstLargerThanTheRingsLeavesNoFrameBehind) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
  ASSERT_NO_FATAL_FAILURE(publish(1));
  RawEnd client("c0");
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(client.send(query(static_cast<std::uint16_t>(i + 1))));
  std::uint32_t at_rest = engine_->workers()[0].frames - 2 * 2048;  // the FILL rings are full
  EXPECT_TRUE(eventually([&] { return engine_->workers()[0].frames_free == at_rest; }))
      << engine_->workers()[0].frames_free << " of " << at_rest;
  EXPECT_GT(total(&WorkerCounters::tx_packets), 0U);
}

TEST_F(EngineRun, WorkersSleepWithoutTraffic) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0"})));
  ASSERT_TRUE(eventually([&] { return total(&WorkerCounters::sleeps) > 0; }));
  std::uint64_t steps = total(&WorkerCounters::steps);
  EXPECT_FALSE(eventually([&] { return total(&WorkerCounters::steps) > steps + 40; },
                          std::chrono::milliseconds(500)));
  EXPECT_EQ(engine_->workers()[0].idle, "io_uring");
  EXPECT_LT(engine_->workers()[0].last_step_ms, 1000U);
}

TEST_F(EngineRun, SleepingWorkersAdoptAPublishedTable) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0"})));
  ASSERT_NO_FATAL_FAILURE(publish(0));
  ASSERT_NO_FATAL_FAILURE(publish(0));
  EXPECT_TRUE(eventually([&] { return engine_->reclaim() == 1; }));
  EXPECT_EQ(engine_->workers()[0].generation, Generation{2});
}

TEST_F(EngineRun, RemovedServiceNoLongerReachesTheWorkers) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0"})));
  ASSERT_NO_FATAL_FAILURE(publish(0));
  RawEnd client("c0");
  ASSERT_TRUE(goes_through(client, client)) << what_was_counted();
  ASSERT_TRUE(engine_->publish(one_service(*engine_, 0, false)));
  EXPECT_FALSE(goes_through(client, client, 50));
  EXPECT_EQ(total(&WorkerCounters::rx_packets), 1U);
}

TEST_F(EngineRun, PanicPassesEverythingAndBack) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0"})));
  ASSERT_NO_FATAL_FAILURE(publish(0));
  RawEnd client("c0");
  ASSERT_TRUE(engine_->set_panic(true));
  EXPECT_TRUE(engine_->panic());
  EXPECT_FALSE(goes_through(client, client, 50));
  EXPECT_GE(engine_->ports()[0].xdp_panic_passed, 1U);
  ASSERT_TRUE(engine_->set_panic(false));
  EXPECT_TRUE(goes_through(client, client));
}

TEST_F(EngineRun, LinkThatControlSaysDownDropsUntilItIsUpAgain) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
  ASSERT_NO_FATAL_FAILURE(publish(1));
  RawEnd client("c0");
  RawEnd server("c1");
  engine_->link_changed(PortIndex{1}, false);
  ASSERT_TRUE(client.send(query(7)));
  EXPECT_TRUE(eventually([&] { return drops(DropReason::TxLinkDown) == 1; }));
  engine_->link_changed(PortIndex{1}, true);
  EXPECT_TRUE(goes_through(client, server));
}

TEST_F(EngineRun, LinkThatGoesDownUnannouncedRecoversByItself) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
  ASSERT_NO_FATAL_FAILURE(publish(1));
  RawEnd client("c0");
  ASSERT_TRUE(PrivateNet::run("ip link set d1 down"));
  EXPECT_TRUE(eventually([&] {
    client.send(query(7));
    return drops(DropReason::TxLinkDown) > 10;
  }));
  EXPECT_FALSE(engine_->ports()[1].up);
  ASSERT_TRUE(PrivateNet::run("ip link set d1 up"));
  RawEnd server("c1");
  EXPECT_TRUE(eventually([&] { return goes_through(client, server, 20); }));
}

TEST_F(EngineRun, DeletedInterfaceNeitherCrashesNorSpins) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
  ASSERT_NO_FATAL_FAILURE(publish(1));
  RawEnd client("c0");
  RawEnd server("c1");
  ASSERT_TRUE(goes_through(client, server));
  ASSERT_TRUE(PrivateNet::run("ip link del d1"));
  EXPECT_TRUE(eventually([&] {
    client.send(query(7));
    return drops(DropReason::TxLinkDown) > 10;
  }));
  engine_->link_changed(PortIndex{1}, std::nullopt);
  engine_->link_changed(PortIndex{1}, true);  // gone is for good
  EXPECT_FALSE(engine_->ports()[1].up);
  ASSERT_TRUE(PrivateNet::run("ip link del d0"));
  (void)poll(nullptr, 0, 50);
  std::uint64_t steps = total(&WorkerCounters::steps);
  (void)poll(nullptr, 0, 500);
  EXPECT_LT(total(&WorkerCounters::steps), steps + 100);
  EXPECT_EQ(engine_->workers().size(), 1U);
}

TEST_F(EngineRun, TwoQueuesMakeTwoWorkers) {
  ASSERT_TRUE(PrivateNet::veth("q0", "p0", 2));
  ASSERT_NO_FATAL_FAILURE(start(small_config({"q0"})));
  ASSERT_EQ(engine_->workers().size(), 2U);
  ASSERT_NO_FATAL_FAILURE(publish(0));
  RawEnd client("p0");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(goes_through(client, client)) << i;
  EXPECT_EQ(total(&WorkerCounters::rx_packets), 20U);
}

TEST_F(EngineRun, CopiesOnEveryQueueWhereZeroCopyIsRefused) {
  ASSERT_TRUE(PrivateNet::veth("q0", "p0", 2));
  auto config = small_config({"q0"});
  config.zero_copy = ZeroCopy::Auto;
  config.engine = EngineMode::Afxdp;
  ASSERT_NO_FATAL_FAILURE(start(config));
  EXPECT_EQ(engine_->ports()[0].copy_mode, "copy");
  EXPECT_EQ(engine_->ports()[0].copy_mode_reason, "queue 0 of q0 has no zero-copy AF_XDP");
  ASSERT_EQ(engine_->workers().size(), 2U);
  ASSERT_NO_FATAL_FAILURE(publish(0));
  RawEnd client("p0");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(goes_through(client, client)) << i;
}

TEST_F(EngineRun, VlanStrippingIsOffWhileItRunsAndBackAfterAKill) {
  ASSERT_TRUE(PrivateNet::run("ethtool -K d0 rxvlan on"));
  ASSERT_TRUE(strips_vlan("d0"));
  EXPECT_FALSE(filters_vlan("d0"));
  std::string notes = "/tmp/lb-engine-test." + std::to_string(getpid());
  auto config = small_config({"d0"});
  config.offload_notes = notes;
  pid_t child = fork();
  if (child == 0) {
    auto started = Engine::start(config);
    _exit(started && !strips_vlan("d0") ? 0 : 1);  // without any destructor
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(strips_vlan("d0")) << "the dead one left it so";
  EXPECT_EQ(OffloadNotes(notes).all().size(), 1U);
  ASSERT_NO_FATAL_FAILURE(start(config));
  EXPECT_FALSE(strips_vlan("d0"));
  engine_.reset();
  EXPECT_TRUE(strips_vlan("d0"));
  EXPECT_NE(access(notes.c_str(), F_OK), 0);
}

TEST_F(EngineRun, QueuesThatAreAddedLaterAreAProblemUntilTheyGo) {
  ASSERT_TRUE(PrivateNet::veth("q0", "p0", 4));
  ASSERT_TRUE(PrivateNet::run("ethtool -L q0 rx 2 tx 2"));
  ASSERT_NO_FATAL_FAILURE(start(small_config({"q0"})));
  engine_->watch();
  EXPECT_EQ(engine_->ports()[0].queues_now, 2U);
  EXPECT_EQ(engine_->ports()[0].problem, "");
  ASSERT_TRUE(PrivateNet::run("ethtool -L q0 rx 4"));
  engine_->watch();
  EXPECT_EQ(engine_->ports()[0].queues, 2U);
  EXPECT_EQ(engine_->ports()[0].queues_now, 4U);
  EXPECT_THAT(engine_->ports()[0].problem, testing::HasSubstr("ethtool -L q0 rx 2 tx 2"));
  ASSERT_TRUE(PrivateNet::run("ethtool -L q0 rx 2"));
  engine_->link_changed(PortIndex{0}, true);
  EXPECT_EQ(engine_->ports()[0].problem, "");
}

TEST_F(EngineRun, FlowsAreVisibleWhileTheyLive) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0"})));
  ASSERT_NO_FATAL_FAILURE(publish(0));
  RawEnd client("c0");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(goes_through(client, client));
  std::set<std::uint16_t> ports;
  engine_->visit_flows([&](const FlowInfo& flow) {
    EXPECT_EQ(flow.client.to_string(), "198.51.100.7");
    EXPECT_EQ(flow.vip_port, 53);
    ports.insert(flow.client_port);
    return true;
  });
  EXPECT_EQ(ports.size(), 5U);
  int visits = 0;
  engine_->visit_flows([&](const FlowInfo&) { return ++visits < 2; });
  EXPECT_EQ(visits, 2);
}

TEST_F(EngineRun, TellsItsBpfObjectsOnce) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
  int indexes = 0;
  int programs = 0;
  int links = 0;
  for (const auto& object : engine_->bpf()) {
    if (object.kind == "link") {
      ++links;
      EXPECT_GT(object.id, 0U);
      EXPECT_EQ(object.type, "xdp native");
      EXPECT_FALSE(object.pinned);
    }
    indexes += object.name == "vip_index" ? 1 : 0;
    programs += object.kind == "program" ? 1 : 0;
  }
  EXPECT_EQ(indexes, 1);
  EXPECT_EQ(programs, 2);
  EXPECT_EQ(links, 2);
}

TEST_F(EngineRun, ErrorsAtStartSayWhatToDo) {
  EXPECT_THAT(start_error(small_config({"nosuch0"})), testing::HasSubstr("no interface nosuch0"));
  EXPECT_THAT(start_error(small_config({"lo"})), testing::HasSubstr("not an Ethernet interface"));
  EXPECT_THAT(start_error(small_config({"d0", "d0"})), testing::HasSubstr("configured twice"));
  EXPECT_THAT(start_error(small_config({})), testing::HasSubstr("0 ports are configured"));
  ASSERT_TRUE(PrivateNet::veth("q0", "p0", 2));
  EXPECT_THAT(start_error(small_config({"d0", "q0"})), testing::HasSubstr("ethtool -L q0"));
  auto config = small_config({"d0"});
  config.cpus = {4000};
  EXPECT_THAT(start_error(config), testing::HasSubstr("CPU 4000"));
  config = small_config({"d0"});
  config.zero_copy = ZeroCopy::On;
  EXPECT_THAT(start_error(config), testing::HasSubstr("zero-copy"));
  // And none of them left anything on the interface.
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0"})));
}

TEST_F(EngineRun, SecondEngineOnTheInterfaceIsRefused) {
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0"})));
  EXPECT_THAT(start_error(small_config({"d0"})), testing::HasSubstr("another lbd"));
}

/// A program on an interface that is not ours to lose.
class ForeignXdp {
 public:
  explicit ForeignXdp(const char* interface)
      : ifindex_(static_cast<int>(if_nametoindex(interface))),
        shared_(FastPath::create({.services_max = 16, .rs_max = 64})),
        program_(load()) {
    if (!program_) return;
    attached_ = bpf_xdp_attach(ifindex_, *program_->object().program_fd("lb_xdp"),
                               XDP_FLAGS_SKB_MODE, nullptr) == 0;
    id_ = on();
  }
  [[nodiscard]] bool attached() const { return attached_ && id_ != 0; }
  [[nodiscard]] bool still_there() const { return attached() && on() == id_; }

 private:
  [[nodiscard]] std::uint32_t on() const {
    auto now = query_xdp(ifindex_);
    return now && *now && (*now)->generic && !(*now)->by_link ? (*now)->id : 0;
  }
  [[nodiscard]] Result<XdpProgram> load() const {
    if (!shared_) return std::unexpected(shared_.error());
    return XdpProgram::load(**shared_);
  }
  int ifindex_;
  Result<std::unique_ptr<FastPath>> shared_;
  Result<XdpProgram> program_;
  bool attached_ = false;
  std::uint32_t id_ = 0;
};

TEST_F(EngineRun, ReplacedProgramIsPutBackWhenTheStartFails) {
  ForeignXdp foreign("d0");
  ASSERT_TRUE(foreign.attached());
  auto config = small_config({"d0"});
  EXPECT_THAT(start_error(config), testing::HasSubstr("--replace"));
  config.replace_foreign = true;
  config.cpus = {4000};
  EXPECT_THAT(start_error(config), testing::HasSubstr("CPU 4000"));
  EXPECT_TRUE(foreign.still_there());
  // The second port refuses our program when the first one has it already.
  config = small_config({"d0", "d1"});
  config.replace_foreign = true;
  config.xdp_mode = XdpMode::Native;
  ASSERT_TRUE(PrivateNet::run("ip link set c1 mtu 9000"));
  EXPECT_THAT(start_error(config), testing::HasSubstr("interface d1"));
  EXPECT_TRUE(foreign.still_there());
}

TEST_F(EngineRun, ReplacedProgramIsGoneWhenTheStartSucceeds) {
  ForeignXdp foreign("d0");
  ASSERT_TRUE(foreign.attached());
  auto config = small_config({"d0"});
  config.replace_foreign = true;
  ASSERT_NO_FATAL_FAILURE(start(config));
  ASSERT_NO_FATAL_FAILURE(publish(0));
  RawEnd client("c0");
  EXPECT_TRUE(goes_through(client, client));
  engine_.reset();
  EXPECT_FALSE(*query_xdp(static_cast<int>(if_nametoindex("d0"))));
}

TEST_F(EngineRun, QueueThatIsTakenIsNamed) {
  auto umem = Umem::map(256 * 2048, false);
  ASSERT_TRUE(umem);
  FramePool pool(256, 2048);
  XskOptions options;
  options.interface = "d0";
  options.rx_ring = options.tx_ring = options.fill_ring = options.completion_ring = 64;
  auto socket = XskSocket::open(options, *umem, pool);
  ASSERT_TRUE(socket) << socket.error().message;
  EXPECT_THAT(start_error(small_config({"d0"})),
              testing::HasSubstr("queue 0 of d0 already has an AF_XDP socket"));
  socket->reset();
}

TEST_F(EngineRun, WithoutCapabilitiesItSaysWhichAreMissing) {
  pid_t child = fork();
  if (child == 0) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct none[2]{};
    syscall(SYS_capset, &header, none);
    bool said = start_error(small_config({"d0"})).find("CAP_") != std::string::npos;
    _exit(said ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

int open_fds() {
  int count = 0;
  DIR* dir = opendir("/proc/self/fd");
  while (dir != nullptr && readdir(dir) != nullptr) ++count;
  if (dir != nullptr) closedir(dir);
  return count;
}

long resident_kb() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) return std::strtol(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

TEST_F(EngineRun, AttachAndDetachLeaveNothingBehind) {
  const int cycles = std::getenv("LB_LONG") != nullptr ? 1000 : 100;
  auto cycle = [&] {
    ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
    ASSERT_NO_FATAL_FAILURE(publish(1));
    engine_.reset();
  };
  for (int i = 0; i < 10; ++i) ASSERT_NO_FATAL_FAILURE(cycle());
  int fds = open_fds();
  long resident = resident_kb();
  for (int i = 0; i < cycles; ++i) ASSERT_NO_FATAL_FAILURE(cycle()) << i;
  EXPECT_EQ(open_fds(), fds);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(resident_kb(), resident + 2048);
#endif
  // What the last engine held is gone from the kernel too.
  ASSERT_NO_FATAL_FAILURE(start(small_config({"d0", "d1"})));
  auto held = engine_->bpf();
  engine_.reset();
  for (const auto& object : held) {
    auto gone = [&] {
      Fd fd(object.kind == "map"    ? bpf_map_get_fd_by_id(object.id)
            : object.kind == "link" ? bpf_link_get_fd_by_id(object.id)
                                    : bpf_prog_get_fd_by_id(object.id));
      return !fd;
    };
    EXPECT_TRUE(eventually(gone)) << object.kind << " " << object.name;
  }
}

}  // namespace
}  // namespace lb
