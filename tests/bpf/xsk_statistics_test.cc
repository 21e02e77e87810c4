// SPDX-License-Identifier: Apache-2.0
// What the kernel counts at a socket, and what we make of it: frames that are too large, a FILL
// ring that is empty, an RX ring that is full. Nobody works the rings, so they stay as they are.
#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include "dataplane/io/xdp_program.h"
#include "dataplane/io/xsk_socket.h"
#include "tests/bpf/xdp_program_run.h"
#include "tests/support/private_net.h"

namespace lb {
namespace {

using test::eventually;
using test::PrivateNet;
using test::RawEnd;

class XskStatistics : public testing::Test {
 protected:
  void SetUp() override {
    if (!net_.valid()) GTEST_SKIP() << "no network namespace: needs CAP_SYS_ADMIN";
    ASSERT_TRUE(PrivateNet::veth("d0", "c0"));
    ASSERT_TRUE(PrivateNet::run("ip link set d0 mtu 3000 && ip link set c0 mtu 3000"));
  }
  /// A socket with so many frames in FILL and an RX ring of 64, that gets what is for the VIP.
  void open(std::uint32_t frames) {
    auto umem = Umem::map(std::size_t{256} * 2048, false);
    ASSERT_TRUE(umem) << umem.error().message;
    umem_.emplace(std::move(*umem));
    pool_.emplace(frames, 2048);
    XskOptions options;
    options.interface = "d0";
    options.rx_ring = options.tx_ring = options.completion_ring = 64;
    options.fill_ring = 128;
    auto socket = XskSocket::open(options, *umem_, *pool_);
    ASSERT_TRUE(socket) << socket.error().message;
    socket_ = std::move(*socket);
    auto shared = FastPath::create({.services_max = 16, .rs_max = 64});
    ASSERT_TRUE(shared) << shared.error().message;
    shared_ = std::move(*shared);
    auto program = XdpProgram::load(*shared_);
    ASSERT_TRUE(program) << program.error().message;
    program_.emplace(std::move(*program));
    ASSERT_TRUE(program_->set_forwarding({.engine = LB_ENGINE_AFXDP}));
    ASSERT_TRUE(program_->set_socket(0, socket_->fd()));
    *shared_->beat(0) = tick_ms_now();
    FastWorld world(*shared_);
    world.vip(kVip);
    world.service("192.0.2.10:53/udp", Scheduler::Mh);
    ASSERT_TRUE(shared_->install(*world.build()));
    auto ifindex = static_cast<int>(if_nametoindex("d0"));
    auto attached = program_->attach(ifindex, "d0", XdpMode::Auto, false);
    ASSERT_TRUE(attached) << attached.error().message;
  }
  void send(int count, std::size_t payload) {
    RawEnd client("c0");
    auto frame = PacketBuilder(kClient, kVip)
                     .ethernet(kPortMac, kPeerMac)
                     .udp(1000, 53)
                     .payload(payload)
                     .build();
    for (int i = 0; i < count; ++i) ASSERT_TRUE(client.send(frame));
  }
  std::uint64_t drops(DropReason reason) const { return socket_->stats().drops(reason); }

  PrivateNet net_;
  std::optional<Umem> umem_;
  std::optional<FramePool> pool_;
  std::unique_ptr<XskSocket> socket_;
  std::unique_ptr<FastPath> shared_;
  std::optional<XdpProgram> program_;
};

TEST_F(XskStatistics, FramesThatFitNoChunkAreToldApart) {
  ASSERT_NO_FATAL_FAILURE(open(64));
  send(3, 2500);
  send(2, 100);
  EXPECT_TRUE(eventually([&] { return socket_->stats().rx.level == 2; }));
  EXPECT_EQ(drops(DropReason::RxTooLarge), 3U);
  EXPECT_EQ(drops(DropReason::RxNoFrame), 0U);
  EXPECT_EQ(drops(DropReason::RxRingFull), 0U);
  EXPECT_EQ(socket_->stats().fill.level, 62U);
  EXPECT_EQ(socket_->stats().fill.size, 128U);
}

TEST_F(XskStatistics, AnEmptyFillRingIsCountedOnce) {
  ASSERT_NO_FATAL_FAILURE(open(8));
  send(20, 100);
  EXPECT_TRUE(eventually([&] { return drops(DropReason::RxNoFrame) == 12; }))
      << drops(DropReason::RxNoFrame);
  EXPECT_EQ(drops(DropReason::RxTooLarge), 0U);
}

TEST_F(XskStatistics, AFullRxRingIsOverload) {
  ASSERT_NO_FATAL_FAILURE(open(128));
  send(100, 100);
  EXPECT_TRUE(eventually([&] { return drops(DropReason::RxRingFull) == 36; }))
      << drops(DropReason::RxRingFull);
  EXPECT_EQ(drops(DropReason::RxTooLarge), 0U);
  EXPECT_EQ(socket_->stats().rx.level, 64U);
}

}  // namespace
}  // namespace lb
