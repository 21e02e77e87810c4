// SPDX-License-Identifier: Apache-2.0
// The choice of the probe site: prologues by hand, and every function of some libraries.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "observe/plan/elf_functions.h"
#include "observe/plan/entry_block.h"

namespace lb::observe {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr SiteNeed kMalloc{.arguments = 1, .return_probe = true};
constexpr SiteNeed kFree{.arguments = 1, .return_probe = false};

TEST(ChooseSite, TakesAPushAtTheStart) {
  const ProbeSite site = choose_site(Bytes{0x55, 0x53, 0xc3}, kMalloc);
  EXPECT_EQ(site.offset, 0U);
  EXPECT_EQ(site.way, UprobeWay::Emulated);
  EXPECT_TRUE(site.return_probe_legal);
}

TEST(ChooseSite, PassesInstructionsThatLeaveTheArguments) {
  // endbr64; test %rdi,%rdi; je
  const ProbeSite site =
      choose_site(Bytes{0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x85, 0xff, 0x74, 0x00, 0xc3}, kFree);
  EXPECT_EQ(site.offset, 7U);
  EXPECT_EQ(site.way, UprobeWay::Emulated);
}

TEST(ChooseSite, StaysAtTheStartWhenAnArgumentIsOverwritten) {
  const Bytes code = {0x48, 0x89, 0xf7, 0x53, 0xc3};  // mov %rsi,%rdi; push %rbx
  const ProbeSite site = choose_site(code, kMalloc);
  EXPECT_EQ(site.offset, 0U);
  EXPECT_EQ(site.way, UprobeWay::Stepped);
  // Who reads no argument may go on.
  EXPECT_EQ(choose_site(code, {.arguments = 0, .return_probe = true}).offset, 3U);
}

TEST(ChooseSite, LooksAtAsManyArgumentsAsAreRead) {
  const Bytes code = {0x31, 0xf6, 0x53, 0xc3};  // xor %esi,%esi; push %rbx
  EXPECT_EQ(choose_site(code, {.arguments = 1}).offset, 2U);
  EXPECT_EQ(choose_site(code, {.arguments = 2}).offset, 0U);
  const Bytes last = {0x45, 0x31, 0xc9, 0x53, 0xc3};  // xor %r9d,%r9d
  EXPECT_EQ(choose_site(last, {.arguments = 5}).offset, 3U);
  EXPECT_EQ(choose_site(last, {.arguments = 6}).offset, 0U);
}

TEST(ChooseSite, KeepsReturnProbesWhereRspIsThatOfTheEntry) {
  const Bytes code = {0x48, 0x83, 0xec, 0x08, 0x74, 0x00, 0xc3};  // sub $8,%rsp; je
  EXPECT_EQ(choose_site(code, kMalloc).offset, 0U);
  EXPECT_TRUE(choose_site(code, kMalloc).return_probe_legal);
  const ProbeSite entry = choose_site(code, kFree);
  EXPECT_EQ(entry.offset, 4U);
  EXPECT_FALSE(entry.return_probe_legal);
}

TEST(ChooseSite, NeverGoesPastABranchOrCall) {
  EXPECT_EQ(choose_site(Bytes{0xe3, 0x01, 0x53, 0xc3}, kFree).offset, 0U);        // jrcxz
  EXPECT_EQ(choose_site(Bytes{0xff, 0xd0, 0x53, 0xc3}, kFree).offset, 0U);        // call *%rax
  EXPECT_EQ(choose_site(Bytes{0xff, 0x25, 0, 0, 0, 0, 0x53}, kFree).offset, 0U);  // jmp *slot
  EXPECT_EQ(choose_site(Bytes{0xc3, 0x53}, kFree).offset, 0U);
}

TEST(ChooseSite, RefusesASiteThatTheFunctionJumpsTo) {
  // 0: test %rdi,%rdi; 3: je +2 (to 7); 5: jmp to 3; 7: ret
  const Bytes code = {0x48, 0x85, 0xff, 0x74, 0x02, 0xeb, 0xfc, 0xc3};
  const ProbeSite site = choose_site(code, kFree);
  EXPECT_EQ(site.offset, 0U);
  EXPECT_EQ(site.way, UprobeWay::Stepped);
  // A jump to the first instruction is another call as far as a probe can tell; not into the block.
  Bytes loop = code;
  loop[6] = 0xf9;  // to 0
  EXPECT_EQ(choose_site(loop, kFree).offset, 3U);
}

TEST(ChooseSite, SeesJumpsBackFromCodeThatWasMovedAway) {
  // 0: test %rdi,%rdi; 3: je to 100 (outside); 5: ret. Outside: nop; jmp to 3.
  const Bytes code = {0x48, 0x85, 0xff, 0x74, 95, 0xc3};
  const Bytes cold = {0x90, 0xeb, static_cast<std::uint8_t>(-100)};
  auto outside = [&](std::int64_t offset) -> std::span<const std::uint8_t> {
    if (offset < 100 || offset >= 103) return {};
    return std::span(cold).subspan(static_cast<std::size_t>(offset - 100));
  };
  EXPECT_EQ(choose_site(code, kFree).offset, 3U);
  EXPECT_EQ(choose_site(code, kFree, outside).offset, 0U);
}

TEST(ChooseSite, StaysAtTheStartWhenTheFunctionCannotBeRead) {
  const Bytes code = {0x48, 0x85, 0xff, 0x74, 0x00, 0x06, 0xc3};
  EXPECT_EQ(choose_site(code, kFree).offset, 0U);
  EXPECT_EQ(choose_site(Bytes{}, kFree).way, UprobeWay::Refused);
  EXPECT_EQ(choose_site(Bytes{0x06}, kFree).way, UprobeWay::Refused);
}

TEST(ChooseSite, PutsNoProbeOnALongNopInsideTheFunction) {
  // endbr64; nop of 5 bytes; ret
  const Bytes inside = {0xf3, 0x0f, 0x1e, 0xfa, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3};
  EXPECT_EQ(choose_site(inside, kFree).offset, 0U);
  // and goes on behind it
  Bytes push = inside;
  push.insert(push.end() - 1, 0x53);
  EXPECT_EQ(choose_site(push, kFree).offset, 9U);
  EXPECT_EQ(choose_site(Bytes{0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3}, kFree).offset, 0U);
}

TEST(ChooseSite, SaysWhenTheKernelTakesNoProbe) {
  EXPECT_EQ(choose_site(Bytes{0xf0, 0xff, 0x07, 0xc3}, kFree).way, UprobeWay::Refused);  // lock
  EXPECT_EQ(choose_site(Bytes{0xf0, 0xff, 0x07, 0x53, 0xc3}, kFree).offset, 3U);
}

/// Every function of a library: the site is an instruction of the straight way from the entry, and
/// what the rules say of it holds.
void check_sites(const std::string& path) {
  auto object = ElfObject::open(path);
  ASSERT_TRUE(object) << object.error().message;
  std::size_t emulated = 0;
  const auto functions = object->functions([](std::string_view) { return true; });
  for (const ElfFunction& function : functions) {
    if (function.size == 0) continue;
    const auto code = object->code(function);
    for (const SiteNeed need : {kMalloc, SiteNeed{.arguments = 6}}) {
      const ProbeSite site = choose_site(code, need, [&](std::int64_t offset) {
        return object->peek(function.address + static_cast<std::uint64_t>(offset));
      });
      if (site.way == UprobeWay::Emulated && need.return_probe) ++emulated;
      std::size_t at = 0;
      while (at < site.offset) {
        const auto instruction = decode(std::span(code).subspan(at));
        ASSERT_TRUE(instruction);
        ASSERT_EQ(instruction->flow, Flow::Next) << function.names.front();
        at += instruction->length;
      }
      ASSERT_EQ(at, site.offset) << path << " " << function.names.front();
      if (site.offset == 0) continue;
      ASSERT_TRUE(site.return_probe_legal || !need.return_probe);
      ASSERT_EQ(decode(std::span(code).subspan(at))->uprobe, UprobeWay::Emulated);
    }
  }
  std::printf("%s: %zu functions, %zu with an emulated site\n", path.c_str(), functions.size(),
              emulated);
  EXPECT_GT(emulated, 0U);
}

TEST(ChooseSite, FindsLegalSitesInEveryFunctionOfTheLibraries) {
  const std::string lib = "/usr/lib/x86_64-linux-gnu/";
  bool any = false;
  for (const std::string& path :
       {lib + "libc.so.6", lib + "libstdc++.so.6", lib + "libjemalloc.so.2",
        std::string("/usr/bin/redis-server"), lib + "libcrypto.so.3"}) {
    if (access(path.c_str(), R_OK) != 0) continue;
    any = true;
    check_sites(path);
  }
  if (!any) GTEST_SKIP() << "none of the libraries is here";
}

}  // namespace
}  // namespace lb::observe
