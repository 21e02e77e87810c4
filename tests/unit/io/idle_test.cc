// SPDX-License-Identifier: Apache-2.0
// Both ways to sleep, over eventfds and pipes in the place of sockets.
#include "dataplane/io/idle.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <thread>

#include "dataplane/base/clock.h"
#include "dataplane/base/fd.h"

namespace lb {
namespace {

class IdleKinds : public testing::TestWithParam<IdleKind> {
 protected:
  std::unique_ptr<Idle> make(std::span<const int> fds) {
    auto idle = make_idle(fds, GetParam() == IdleKind::IoUring);
    if (!idle) return nullptr;
    return std::move(*idle);
  }
  static std::uint64_t wait_ms(Idle& idle, std::uint32_t timeout_ms) {
    std::uint64_t before = monotonic_ns();
    idle.wait(timeout_ms);
    return (monotonic_ns() - before) / 1'000'000;
  }
  static constexpr std::uint32_t kLongMs = 20'000;
};

TEST_P(IdleKinds, IsTheKindAskedFor) {
  auto idle = make({});
  ASSERT_TRUE(idle);
  if (idle->kind() != GetParam()) GTEST_SKIP() << "io_uring is not allowed here";
  EXPECT_EQ(idle_kind_name(idle->kind()), GetParam() == IdleKind::IoUring ? "io_uring" : "poll");
}

TEST_P(IdleKinds, ReturnsWhenTheTimeIsOver) {
  auto idle = make({});
  EXPECT_GE(wait_ms(*idle, 20), 15U);
  EXPECT_GE(wait_ms(*idle, 20), 15U);
}

TEST_P(IdleKinds, WakeBeforeTheWaitIsNotLost) {
  auto idle = make({});
  idle->wake();
  idle->wake();
  EXPECT_LT(wait_ms(*idle, kLongMs), kLongMs);
  EXPECT_GE(wait_ms(*idle, 20), 15U);  // and is spent
}

TEST_P(IdleKinds, WakeFromAnotherThreadEndsTheSleep) {
  auto idle = make({});
  std::thread other([&] { idle->wake(); });
  EXPECT_LT(wait_ms(*idle, kLongMs), kLongMs);
  other.join();
}

TEST_P(IdleKinds, ReadableDescriptorEndsTheSleepEachTime) {
  Fd event(eventfd(0, EFD_NONBLOCK));
  std::array fds = {event.get()};
  auto idle = make(fds);
  for (int i = 0; i < 5; ++i) {
    std::uint64_t value = 1;
    ASSERT_EQ(write(event.get(), &value, sizeof value), 8);
    EXPECT_LT(wait_ms(*idle, kLongMs), kLongMs);
    ASSERT_EQ(read(event.get(), &value, sizeof value), 8);
  }
  // The poll of the last sleep may have been armed and fired already; after that there is nothing.
  idle->wait(1);
  EXPECT_GE(wait_ms(*idle, 20), 15U);
}

TEST_P(IdleKinds, BrokenDescriptorDoesNotMakeItSpin) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  Fd reader(ends[0]);
  Fd writer(ends[1]);
  std::array fds = {reader.get()};
  auto idle = make(fds);
  writer.reset();  // from now on the reader reports POLLHUP, always
  idle->wait(20);
  EXPECT_GE(wait_ms(*idle, 20), 15U);
  EXPECT_GE(wait_ms(*idle, 20), 15U);
}

/// What a container's seccomp profile does to io_uring.
bool refuse_io_uring() {
  std::array program = {
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter = {.len = program.size(), .filter = program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(Idle, FallsBackToPollWhereIoUringIsRefused) {
  pid_t child = fork();
  if (child == 0) {
    if (!refuse_io_uring()) _exit(2);
    auto idle = make_idle({});
    _exit(idle && (*idle)->kind() == IdleKind::Poll ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

INSTANTIATE_TEST_SUITE_P(Both, IdleKinds, testing::Values(IdleKind::IoUring, IdleKind::Poll),
                         [](const auto& kind) { return std::string(idle_kind_name(kind.param)); });

}  // namespace
}  // namespace lb
