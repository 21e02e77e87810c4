// SPDX-License-Identifier: Apache-2.0
// XskSocket: what an answer of the kernel means. The sockets themselves need root: tests/bpf.
#include "dataplane/io/xsk_socket.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace lb {
namespace {

TEST(KickAnswer, NamesWhatIsKnown) {
  for (bool zero_copy : {false, true}) {
    EXPECT_EQ(kick_answer(EAGAIN, zero_copy), Kick::Again);
    EXPECT_EQ(kick_answer(EINTR, zero_copy), Kick::Again);
    EXPECT_EQ(kick_answer(EBUSY, zero_copy), Kick::Busy);
    EXPECT_EQ(kick_answer(ENOBUFS, zero_copy), Kick::NoBuffers);
    EXPECT_EQ(kick_answer(ENOMEM, zero_copy), Kick::NoBuffers);
    EXPECT_EQ(kick_answer(ENETDOWN, zero_copy), Kick::Down);
    EXPECT_EQ(kick_answer(ENODEV, zero_copy), Kick::Gone);
  }
  EXPECT_EQ(kick_answer(ENXIO, false), Kick::Gone);
}

// Gone is for ever; a driver that is being reset is not.
TEST(KickAnswer, LeavesThePortToBeProbedWhateverElseItIs) {
  EXPECT_EQ(kick_answer(ENXIO, true), Kick::Down) << "i40e and ixgbe say so during a reset";
  for (int error : {EINVAL, EOPNOTSUPP, EMSGSIZE, EOVERFLOW, EFAULT, EIO, EPERM, ETIMEDOUT, 524}) {
    for (bool zero_copy : {false, true}) {
      EXPECT_EQ(kick_answer(error, zero_copy), Kick::Down) << error;
    }
  }
}

TEST(KickAnswer, TellsWhatNobodyExpects) {
  for (int error : {EAGAIN, EINTR, EBUSY, ENOBUFS, ENOMEM, ENODEV, ENXIO, ENETDOWN}) {
    EXPECT_FALSE(unexpected_kick_error(error)) << error;
  }
  for (int error : {EINVAL, EOPNOTSUPP, EMSGSIZE, EFAULT, EIO, EPERM, 524}) {
    EXPECT_TRUE(unexpected_kick_error(error)) << error;
  }
}

}  // namespace
}  // namespace lb
