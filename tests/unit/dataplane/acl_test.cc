// SPDX-License-Identifier: Apache-2.0
// Acl: which entry decides, and how one list becomes another.
#include "dataplane/table/acl.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <utility>

namespace lb {
namespace {

AclEntry entry(const std::string& prefix, std::uint32_t rate = LB_ACL_DENY,
               std::uint32_t burst = 0) {
  return {.prefix = *IpPrefix::parse(prefix), .rate = rate, .burst = burst};
}
IpAddr ip(const std::string& text) { return *IpAddr::parse(text); }

TEST(Acl, EmptyDecidesNothing) {
  EXPECT_TRUE(Acl().empty());
  EXPECT_TRUE(Acl::of({}).empty());
  EXPECT_EQ(Acl().digest(), 0U);
  EXPECT_EQ(Acl().match(ip("10.0.0.1")), nullptr);
  EXPECT_EQ(Acl().without({*IpPrefix::parse("10.0.0.0/8")}), Acl());
}

TEST(Acl, TheLongestPrefixDecides) {
  const Acl acl = Acl::of({entry("10.0.0.0/8"), entry("10.1.2.0/24", LB_ACL_ALLOW),
                           entry("0.0.0.0/0", 5, 5), entry("10.1.2.3")});
  EXPECT_EQ(acl.match(ip("10.1.2.3"))->prefix.to_string(), "10.1.2.3/32");
  EXPECT_EQ(acl.match(ip("10.1.2.4"))->prefix.to_string(), "10.1.2.0/24");
  EXPECT_EQ(acl.match(ip("10.2.2.4"))->prefix.to_string(), "10.0.0.0/8");
  EXPECT_EQ(acl.match(ip("11.2.2.4"))->prefix.to_string(), "0.0.0.0/0");
  EXPECT_EQ(acl.match(ip("::1")), nullptr);
}

TEST(Acl, OfEqualPrefixesTheLastCounts) {
  const Acl acl = Acl::of({entry("10.0.0.0/8"), entry("9.0.0.0/8"), entry("10.0.0.0/8", 7, 9)});
  EXPECT_EQ(acl.size(), 2U);
  EXPECT_EQ(*acl.find(*IpPrefix::parse("10.0.0.0/8")), entry("10.0.0.0/8", 7, 9));
  EXPECT_EQ(acl.find(*IpPrefix::parse("10.0.0.0/9")), nullptr) << "exactly";
}

TEST(Acl, WithAndWithout) {
  const Acl first = Acl::of({entry("10.0.0.0/8"), entry("9.0.0.0/8")});
  const Acl more = first.with({entry("11.0.0.0/8"), entry("10.0.0.0/8", LB_ACL_ALLOW)});
  EXPECT_EQ(more,
            Acl::of({entry("9.0.0.0/8"), entry("10.0.0.0/8", LB_ACL_ALLOW), entry("11.0.0.0/8")}));
  EXPECT_EQ(first.size(), 2U) << "a list is not changed";
  EXPECT_EQ(more.without({*IpPrefix::parse("9.0.0.0/8"), *IpPrefix::parse("11.0.0.0/8"),
                          *IpPrefix::parse("12.0.0.0/8")}),
            Acl::of({entry("10.0.0.0/8", LB_ACL_ALLOW)}));
}

TEST(Acl, EqualListsHaveOneDigest) {
  const Acl a = Acl::of({entry("10.0.0.0/8"), entry("9.0.0.0/8")});
  const Acl b = Acl::of({entry("9.0.0.0/8"), entry("10.0.0.0/8")});
  EXPECT_EQ(a, b);
  EXPECT_EQ(a.digest(), b.digest());
  EXPECT_FALSE(a.is_same(b));
  for (const Acl& other :
       {Acl::of({entry("10.0.0.0/8")}), Acl::of({entry("10.0.0.0/9"), entry("9.0.0.0/8")}),
        Acl::of({entry("10.0.0.0/8", LB_ACL_ALLOW), entry("9.0.0.0/8")}),
        Acl::of({entry("10.0.0.0/8", 1, 2), entry("9.0.0.0/8")}), Acl()}) {
    EXPECT_NE(a, other);
    EXPECT_NE(a.digest(), other.digest());
  }
}

/// Entries of 10.0.0.0/8 that nest.
Acl random_list(std::mt19937& random) {
  std::vector<AclEntry> entries;
  for (unsigned i = 0; i < random() % 12; ++i) {
    const auto address = IpAddr::v4(
        Be32::from_host(0x0a000000 + static_cast<std::uint32_t>(random() % 4 << 4 | random() % 4)));
    constexpr std::array<std::uint32_t, 3> kRates{LB_ACL_DENY, LB_ACL_ALLOW, 5};
    entries.push_back({.prefix = IpPrefix::of(address, static_cast<unsigned>(24 + random() % 9)),
                       .rate = kRates[random() % kRates.size()]});
  }
  return Acl::of(std::move(entries));
}

std::uint32_t verdict(const std::map<IpPrefix, AclEntry>& list, const IpAddr& client) {
  for (unsigned bits = 33; bits-- > 0;) {
    auto at = list.find(IpPrefix::of(client, bits));
    if (at != list.end()) return at->second.rate;
  }
  return LB_ACL_ALLOW;
}

TEST(AclChange, EachVerdictChangesOnceOnTheWay) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    const Acl from = random_list(random), to = random_list(random);
    std::map<IpPrefix, AclEntry> now, after;
    for (const AclEntry& one : from.entries()) now[one.prefix] = one;
    for (const AclEntry& one : to.entries()) after[one.prefix] = one;
    const auto before = now;
    std::vector<int> turns(64);
    std::vector<std::uint32_t> seen;
    for (unsigned i = 0; i < 64; ++i) {
      seen.push_back(verdict(now, IpAddr::v4(Be32::from_host(0x0a000000 + i))));
    }
    auto look = [&] {
      for (unsigned i = 0; i < 64; ++i) {
        const IpAddr client = IpAddr::v4(Be32::from_host(0x0a000000 + i));
        const std::uint32_t is = verdict(now, client);
        ASSERT_TRUE(is == verdict(before, client) || is == verdict(after, client));
        if (is != std::exchange(seen[i], is)) ++turns[i];
      }
    };
    const AclChange change = difference(from, to);
    for (const AclEntry& one : change.put) {
      now[one.prefix] = one;
      look();
    }
    for (const AclEntry& one : change.gone) {
      ASSERT_EQ(now.erase(one.prefix), 1U);
      look();
    }
    ASSERT_EQ(now, after);
    ASSERT_LE(std::ranges::max(turns), 1);
  }
}

TEST(AclChange, NamesOnlyWhatDiffers) {
  const Acl from = Acl::of({entry("10.0.0.0/8"), entry("11.0.0.0/8"), entry("12.0.0.0/8")});
  const Acl to = Acl::of({entry("10.0.0.0/8"), entry("11.0.0.0/8", 5, 5), entry("13.0.0.0/9")});
  const AclChange change = difference(from, to);
  EXPECT_EQ(change.put, (std::vector{entry("13.0.0.0/9"), entry("11.0.0.0/8", 5, 5)}));
  EXPECT_EQ(change.gone, (std::vector{entry("12.0.0.0/8")}));
  EXPECT_TRUE(difference(to, to).put.empty());
  EXPECT_TRUE(difference({}, to).gone.empty());
}

}  // namespace
}  // namespace lb
