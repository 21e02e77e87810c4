// SPDX-License-Identifier: Apache-2.0
#include "observe/pages/meminfo.h"

#include <gtest/gtest.h>

namespace lb::observe {
namespace {

constexpr const char* kMeminfo =
    "MemTotal:        1000 kB\n"
    "MemFree:          400 kB\n"
    "Active:           100 kB\n"
    "Inactive:          50 kB\n"
    "Active(anon):      20 kB\n"
    "Slab:             200 kB\n"
    "KernelStack:       10 kB\n"
    "PageTables:         5 kB\n"
    "VmallocUsed:       30 kB\n"
    "Percpu:             5 kB\n"
    "HugePages_Total:    3\n"
    "Hugepagesize:    2048 kB\n";
constexpr const char* kZoneinfo =
    "Node 0, zone   Normal\n"
    "  pages free     100\n"
    "  pagesets\n"
    "    cpu: 0\n"
    "              count:    4\n"
    "              high:     60\n"
    "    cpu: 1\n"
    "              count:    6\n";

std::int64_t part(const HiddenMemory& memory, const std::string& name) {
  for (const auto& [known, bytes] : memory.parts) {
    if (known == name) return bytes;
  }
  return 0;
}

TEST(Meminfo, WhatIsLeftIsHidden) {
  auto meminfo = parse_meminfo(kMeminfo, kZoneinfo, "nr_free 1\npgmigrate_success 77\n");
  EXPECT_EQ(meminfo.at("MemTotal"), 1000 * 1024);
  EXPECT_EQ(meminfo.at("HugePages_Total"), 3);
  EXPECT_EQ(meminfo.at("NoSuchLine"), 0);
  EXPECT_EQ(meminfo.per_cpu_free, 10 * 4096);
  EXPECT_EQ(meminfo.migrated, 77);
  auto hidden = hidden_memory(meminfo);
  EXPECT_EQ(hidden.hidden, (1000 - 400 - 100 - 50 - 200 - 10 - 5 - 30 - 5 - 40) * 1024);
  EXPECT_EQ(part(hidden, "free, on per-CPU lists"), -40 * 1024);
  EXPECT_EQ(part(hidden, "hidden"), hidden.hidden);
  EXPECT_EQ(part(hidden, "Active(anon)"), 0);  // in Active already
}

TEST(Meminfo, StacksInVmallocCountOnce) {
  auto meminfo = parse_meminfo(kMeminfo, kZoneinfo, "");
  auto twice = hidden_memory(meminfo).hidden;
  meminfo.stacks_in_vmalloc = true;
  EXPECT_EQ(hidden_memory(meminfo).hidden, twice + 10 * 1024);
}

TEST(Meminfo, OddLinesAreLeftOut) {
  auto meminfo =
      parse_meminfo("MemTotal\nMemFree: x kB\n: 5 kB\nSlab: -3 kB\n\n", "count: -5\n", "");
  EXPECT_EQ(meminfo.at("MemFree"), 0);
  EXPECT_EQ(meminfo.at("Slab"), 0);
  EXPECT_EQ(meminfo.per_cpu_free, 0);
}

TEST(Meminfo, OfThisMachineAddsUp) {
  auto meminfo = read_meminfo();
  ASSERT_TRUE(meminfo) << meminfo.error().message;
  auto hidden = hidden_memory(*meminfo);
  std::int64_t sum = 0;
  for (const auto& [name, bytes] : hidden.parts) {
    if (name != "hidden") sum += bytes;
  }
  EXPECT_EQ(sum, hidden.hidden);
  EXPECT_GT(meminfo->at("MemTotal"), hidden.hidden);
}

}  // namespace
}  // namespace lb::observe
