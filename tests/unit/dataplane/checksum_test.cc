// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/checksum.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/packet_builder.h"

namespace lb {
namespace {

using test::Bytes;

TEST(Checksum, AgreesWithTheOneOfTheTestsOnRandomBytes) {
  std::mt19937 random(1);
  for (std::size_t size = 0; size < 300; ++size) {
    Bytes bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    EXPECT_EQ(checksum_of(bytes.data(), size), std::byteswap(test::checksum(bytes))) << size;
  }
}

TEST(Checksum, AgreesOnRunsOfOnes) {
  Bytes bytes(65535, 0xff);
  EXPECT_EQ(checksum_of(bytes.data(), bytes.size()), std::byteswap(test::checksum(bytes)));
  EXPECT_EQ(checksum_of(bytes.data(), 2), 0);
}

TEST(Checksum, UpdateEqualsRecomputationForEveryWord) {
  std::mt19937 random(2);
  for (int round = 0; round < 200'000; ++round) {
    std::array<std::uint16_t, 10> words{};
    for (auto& word : words) word = static_cast<std::uint16_t>(random());
    words[0] = 0x45;  // a header is never all zero
    if (round % 3 == 0) words[4] = round % 2 == 0 ? 0 : 0xffff;
    words[5] = 0;
    auto full = [&] { return checksum_of(reinterpret_cast<std::uint8_t*>(words.data()), 20); };
    const std::uint16_t before = full();
    const std::uint16_t old_word = words[4];
    words[4] = static_cast<std::uint16_t>(round % 5 == 0 ? 0xffff : random());
    EXPECT_EQ(checksum_update(before, old_word, words[4]), full());
  }
}

// RFC 1624 section 4: the example that RFC 1141 gets wrong.
TEST(Checksum, GivesTheValueOfTheRfcExample) {
  EXPECT_EQ(checksum_update(0xdd2f, 0x5555, 0x3285), 0x0000);
}

}  // namespace
}  // namespace lb
