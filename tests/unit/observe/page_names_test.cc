// SPDX-License-Identifier: Apache-2.0
#include "observe/pages/page_names.h"

#include <gtest/gtest.h>

#include "observe/pages/page_flags.h"

namespace lb::observe {
namespace {

PageNames names() {
  return {{{"___GFP_DMA_BIT", 0},
           {"___GFP_IO_BIT", 6},
           {"___GFP_FS_BIT", 7},
           {"___GFP_ZERO_BIT", 8},
           {"___GFP_DIRECT_RECLAIM_BIT", 10},
           {"___GFP_KSWAPD_RECLAIM_BIT", 11},
           {"___GFP_LAST_BIT", 20},
           {"SOMETHING_ELSE", 3}},
          {{"MIGRATE_UNMOVABLE", 0},
           {"MIGRATE_MOVABLE", 1},
           {"MIGRATE_PCPTYPES", 3},
           {"MIGRATE_HIGHATOMIC", 3},
           {"MIGRATE_TYPES", 5}}};
}

TEST(PageNames, SetsGoByTheirName) {
  EXPECT_EQ(names().gfp(0xcc0), "GFP_KERNEL");
  EXPECT_EQ(names().gfp(0xdc0), "GFP_KERNEL|ZERO");
  EXPECT_EQ(names().gfp(0xc00), "GFP_NOIO");
  EXPECT_EQ(names().gfp(0x100), "ZERO");
}

TEST(PageNames, WhatHasNoNameIsANumber) {
  EXPECT_EQ(names().gfp(0), "0x0");
  EXPECT_EQ(names().gfp(0x40000100), "ZERO|0x40000000");
  EXPECT_EQ(names().migrate_type(2), "2");
  EXPECT_EQ(names().migrate_type(9), "9");
  EXPECT_EQ(PageNames({}, {}).gfp(0xcc0), "0xcc0");
}

TEST(PageNames, TypesThatShareANumberAreTheRealOne) {
  EXPECT_EQ(names().migrate_type(1), "movable");
  EXPECT_EQ(names().migrate_type(3), "highatomic");
}

TEST(PageFlags, TheUseOfAFrameFollowsFromItsFlags) {
  auto bit = [](int n) { return std::uint64_t{1} << n; };
  EXPECT_EQ(page_use(0), PageUse::Unmarked);
  EXPECT_EQ(page_use(bit(7)), PageUse::Slab);
  EXPECT_EQ(page_use(bit(10)), PageUse::Free);
  EXPECT_EQ(page_use(bit(17)), PageUse::Hugetlb);
  EXPECT_EQ(page_use(bit(26)), PageUse::PageTable);
  EXPECT_EQ(page_use(bit(20)), PageUse::Other);
  EXPECT_EQ(page_use(bit(5) | bit(12)), PageUse::User);
  EXPECT_EQ(page_use_name(PageUse::PageTable), "page table");
}

}  // namespace
}  // namespace lb::observe
