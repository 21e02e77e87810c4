// SPDX-License-Identifier: Apache-2.0
// Sites: the innermost frame outside the allocator, and that outputs show it only when asked.
#include "observe/site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "observe/output/aggregate.h"

namespace lb::observe {
namespace {

using testing::ElementsAre;

Report sample() {
  Report report;
  report.tracer = "leak";
  report.dimensions = {"kind"};
  report.measures = {{"bytes", Unit::Bytes, Kind::Level, "outstanding"}};
  report.objects = {{"/usr/lib/libpool.so", ""}};
  auto frame = [&report](std::vector<Place> places, std::uint64_t offset) {
    Frame out;
    out.kind = FrameKind::User;
    out.object = 0;
    out.offset = offset;
    out.places = std::move(places);
    report.frames.push_back(out);
  };
  frame({{"malloc", "", 0, false}}, 1);
  frame({{"make_node", "/src/tree.c", 12, true}, {"insert", "/src/tree.c", 40, false}}, 2);
  frame({}, 0x1f0);
  report.stacks = {{{0, 1, 2}, false}, {{0, 2}, false}, {{0}, false}};
  report.rows = {
      {{"heap"}, 0, {1.0}}, {{"heap"}, 1, {2.0}}, {{"heap"}, 2, {4.0}}, {{"brk"}, kNone, {8.0}}};
  return report;
}

bool is_malloc(const Frame& frame) {
  return !frame.places.empty() && frame.places.front().function == "malloc";
}

TEST(Site, IsTheCallerOfTheAllocator) {
  auto report = sample();
  add_sites(report, is_malloc);
  EXPECT_THAT(report.dimensions, ElementsAre("kind", "site"));
  EXPECT_EQ(report.rows[0].labels[1], "make_node tree.c:12");
  EXPECT_EQ(report.rows[1].labels[1], "libpool.so+0x1f0");
  EXPECT_EQ(report.rows[2].labels[1], "malloc");
  EXPECT_EQ(report.rows[3].labels[1], "-");
}

TEST(Site, IsShownWhereItIsAskedFor) {
  auto report = sample();
  add_sites(report, is_malloc);
  const auto whole = aggregate(report, {});
  ASSERT_TRUE(whole);
  EXPECT_THAT(whole->dimensions, ElementsAre("kind"));
  AggregateOptions options;
  options.by = {"site"};
  const auto by_site = aggregate(report, options);
  ASSERT_TRUE(by_site);
  EXPECT_THAT(by_site->dimensions, ElementsAre("site"));
  EXPECT_EQ(by_site->rows.size(), 4U);
}

TEST(Site, KernelAllocatorsAreKnownByTheirNames) {
  for (const auto* name : {"__kmalloc_node_noprof", "kmem_cache_alloc_lru_noprof",
                           "__alloc_pages_noprof", "pcpu_alloc_noprof", "vmalloc_noprof"}) {
    EXPECT_TRUE(is_kernel_allocator(name)) << name;
  }
  EXPECT_FALSE(is_kernel_allocator("__alloc_skb"));
  EXPECT_FALSE(is_kernel_allocator("ext4_alloc_inode"));
}

}  // namespace
}  // namespace lb::observe
