// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "observe/kleak/kernel_facts.h"
#include "observe/kleak/slabinfo.h"
#include "observe/kleak/snapshot.h"

namespace lb::observe {
namespace {

using namespace std::string_literals;

TEST(KernelFacts, BtfNamesAreWholeStrings) {
  const std::string btf = "\0btf_trace_kmalloc_node\0btf_trace_kfree\0"s;
  EXPECT_TRUE(btf_has_name(btf, "btf_trace_kfree"));
  EXPECT_TRUE(btf_has_name(btf, "btf_trace_kmalloc_node"));
  EXPECT_FALSE(btf_has_name(btf, "btf_trace_kmalloc"));
  EXPECT_FALSE(btf_has_name("", "kfree"));
}

constexpr const char* kSymbols =
    "ffffffff81557240 t __alloc\n"
    "ffffffff815572e0 t __pfx_unit_alloc\n"
    "ffffffff81557ff0 t bpf_mem_refill\n"
    "ffffffff815582b0 t __pfx_other\n"
    "ffffffff815575f0 t alloc_bulk\n"
    "ffffffff81557800 t check_leaked_objs\n"
    "ffffffff81001000 t free_one\n"  // of another file, far away
    "ffffffff81001100 T something\n"
    "ffffffff81369570 t handle_softirqs\n"
    "ffffffff81369900 t after\n"
    "ffffffff82000000 D free_all\n"
    "ffffffffc0001000 t unit_free\t[module]\n";

TEST(KernelText, SpansTheFileOfTheBpfAllocatorAndNoFunctionOfTheSameNameElsewhere) {
  const KernelText text = parse_kernel_text(kSymbols);
  EXPECT_EQ(text.bpf_allocator, (TextRange{0xffffffff81557240, 0xffffffff815582b0}));
}

TEST(KernelText, FindsWhatRunsInterrupts) {
  const KernelText text = parse_kernel_text(kSymbols);
  ASSERT_EQ(text.interrupts.size(), 1U);
  const std::vector<std::uint64_t> inside = {0xffffffff81000000, 0xffffffff81369571};
  const std::vector<std::uint64_t> outside = {0xffffffff81369900, 0, ~0ULL};
  EXPECT_TRUE(any_in(inside, text.interrupts));
  EXPECT_FALSE(any_in(outside, text.interrupts));
  EXPECT_FALSE(any_in({}, text.interrupts));
  EXPECT_FALSE(any_in(inside, {}));
}

TEST(KernelText, HiddenAddressesAndRubbishFindNothing) {
  EXPECT_EQ(parse_kernel_text("").bpf_allocator, TextRange{});
  EXPECT_EQ(
      parse_kernel_text("0000000000000000 t alloc_bulk\n0000000000000000 t x\n").bpf_allocator,
      TextRange{});
  EXPECT_EQ(parse_kernel_text("zz\n1\n12 t\nffff t\n\n\n").bpf_allocator, TextRange{});
  EXPECT_EQ(parse_kernel_text("ffffffff81557240 t alloc_bulk").bpf_allocator, TextRange{});
}

TEST(Slabinfo, ReadsNumbersByTheirColumns) {
  auto caches = parse_slabinfo(
      "slabinfo - version: 2.1\n"
      "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n"
      "filp                 672    700    192   21    1 : tunables 0 0 0 : slabdata 32 32 0\n"
      "cut                  672\n"
      "bad                  x    700    192   21    1\n");
  ASSERT_TRUE(caches) << caches.error().message;
  ASSERT_EQ(caches->size(), 1U);
  EXPECT_EQ(caches->at("filp"), (SlabCache{672, 192, 21}));
}

TEST(Slabinfo, RefusesAnotherVersion) {
  EXPECT_FALSE(parse_slabinfo(""));
  EXPECT_FALSE(parse_slabinfo("slabinfo - version: 1.1\n"));
}

TEST(SlabSlack, OfANameThatIsNoFileNameIsEverything) {
  EXPECT_EQ(slab_slack("../../etc", {100, 8, 10}), 100U);
  EXPECT_EQ(slab_slack("no such cache", {7, 8, 10}), 7U);
}

TEST(UnnamedCache, IsNamedAsSlabinfoNamesIt) {
  auto bucket = [](std::uint64_t type, std::uint64_t bytes) {
    return unnamed_cache(type << KMEM_BUCKET_SHIFT | bytes);
  };
  EXPECT_EQ(bucket(KMEM_BUCKET_NORMAL, 96), "kmalloc-96");
  EXPECT_EQ(bucket(KMEM_BUCKET_NORMAL, 512), "kmalloc-512");
  EXPECT_EQ(bucket(KMEM_BUCKET_ACCOUNTED, 1024), "kmalloc-cg-1k");
  EXPECT_EQ(bucket(KMEM_BUCKET_RECLAIMABLE, 8192), "kmalloc-rcl-8k");
  EXPECT_EQ(bucket(KMEM_BUCKET_DMA, 64), "dma-kmalloc-64");
  EXPECT_EQ(unnamed_cache(KMEM_CACHE_PERCPU), "percpu");
  EXPECT_EQ(unnamed_cache(KMEM_CACHE_NONE), "");
}

}  // namespace
}  // namespace lb::observe
