// SPDX-License-Identifier: Apache-2.0
// ProcessMaps: what the kernel writes, what a traced process can make it write, and what it never
// writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "observe/symbols/process_maps.h"

namespace lb::observe {
namespace {

using testing::HasSubstr;

ProcessMaps parsed(const std::string& text) {
  auto maps = ProcessMaps::parse(text);
  EXPECT_TRUE(maps) << maps.error().message;
  return maps ? *maps : ProcessMaps();
}

TEST(ProcessMaps, KeepsExecutableMappingsOnlyByAddress) {
  const ProcessMaps maps = parsed(
      "7f0000002000-7f0000003000 r-xp 00001000 fe:00 77                         /lib/b.so\n"
      "55bbc538a000-55bbc538f000 r-xp 00002000 fe:00 247134                     /usr/bin/cat\n"
      "55bbc538f000-55bbc5392000 r--p 00007000 fe:00 247134                     /usr/bin/cat\n"
      "55bc04a7b000-55bc04a9c000 rw-p 00000000 00:00 0                          [heap]\n");
  ASSERT_EQ(maps.mappings().size(), 2U);
  const Mapping& cat = maps.mappings()[0];
  EXPECT_EQ(cat.start, 0x55bbc538a000U);
  EXPECT_EQ(cat.end, 0x55bbc538f000U);
  EXPECT_EQ(cat.file_offset, 0x2000U);
  EXPECT_EQ(cat.inode, 247134U);
  EXPECT_EQ(cat.path, "/usr/bin/cat");
  EXPECT_EQ(cat.kind, MappingKind::File);
  EXPECT_FALSE(cat.deleted);
  EXPECT_EQ(maps.mappings()[1].path, "/lib/b.so");
}

TEST(ProcessMaps, FindsFirstAndLastByteAndNothingBeside) {
  const ProcessMaps maps = parsed(
      "1000-2000 r-xp 0 fe:00 1 /a\n"
      "3000-4000 r-xp 0 fe:00 2 /b\n");
  EXPECT_EQ(maps.find(0xfff), nullptr);
  EXPECT_EQ(maps.find(0x1000), &maps.mappings()[0]);
  EXPECT_EQ(maps.find(0x1fff), &maps.mappings()[0]);
  EXPECT_EQ(maps.find(0x2000), nullptr);
  EXPECT_EQ(maps.find(0x3fff), &maps.mappings()[1]);
  EXPECT_EQ(maps.find(0x4000), nullptr);
  EXPECT_EQ(maps.find(~std::uint64_t{0}), nullptr);
  EXPECT_EQ(ProcessMaps().find(0), nullptr);
}

TEST(ProcessMaps, TellsSpecialMappingsApart) {
  const ProcessMaps maps = parsed(
      "1000-2000 r-xp 00000000 00:00 0                          [vdso]\n"
      "2000-3000 rwxp 00000000 00:00 0 \n"
      "3000-4000 r-xp 00000000 00:01 1037                       /memfd:jit (deleted)\n"
      "4000-5000 r-xp 00001000 fe:00 9                          /opt/x y.so (deleted)\n"
      "5000-6000 r-xs 00000000 00:01 12                         /SYSV00000000 (deleted)\n"
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n");
  ASSERT_EQ(maps.mappings().size(), 6U);
  const auto is = [&](std::size_t index, MappingKind kind, const std::string& path, bool deleted) {
    const Mapping& mapping = maps.mappings()[index];
    EXPECT_EQ(mapping.kind, kind) << index;
    EXPECT_EQ(mapping.path, path) << index;
    EXPECT_EQ(mapping.deleted, deleted) << index;
  };
  is(0, MappingKind::Vdso, "[vdso]", false);
  is(1, MappingKind::Anonymous, "", false);
  is(2, MappingKind::Memfd, "/memfd:jit", true);
  is(3, MappingKind::File, "/opt/x y.so", true);
  is(4, MappingKind::Memfd, "/SYSV00000000", true);
  is(5, MappingKind::Special, "[vsyscall]", false);
}

TEST(ProcessMaps, PathsOfHostileNames) {
  // A file can have a name that looks like a line of its own: the kernel writes \012 for its end.
  const ProcessMaps maps = parsed(
      "1000-2000 r-xp 0 fe:00 1 /tmp/x\\0121000-9000 r-xp 0 0:0 0 /evil\n"
      "2000-3000 r-xp 0 fe:00 2 /tmp/ (deleted) (deleted)\n"
      "3000-4000 r-xp 0 fe:00 3 /tmp/\\01\n"
      "4000-5000 r-xp 0 fe:00 4 " +
      ("/" + std::string(5000, 'a')) + "\n");
  ASSERT_EQ(maps.mappings().size(), 4U);
  EXPECT_EQ(maps.mappings()[0].path, "/tmp/x\n1000-9000 r-xp 0 0:0 0 /evil");
  EXPECT_EQ(maps.mappings()[1].path, "/tmp/ (deleted)");
  EXPECT_EQ(maps.mappings()[2].path, "/tmp/\\01");
  EXPECT_EQ(maps.mappings()[3].path.size(), 5001U);
}

TEST(ProcessMaps, OfOverlappingMappingsTheFirstStays) {
  const ProcessMaps maps = parsed(
      "1000-4000 r-xp 0 fe:00 1 /a\n"
      "1000-2000 r-xp 0 fe:00 2 /b\n"
      "3000-5000 r-xp 0 fe:00 3 /c\n"
      "4000-5000 r-xp 0 fe:00 4 /d\n");
  ASSERT_EQ(maps.mappings().size(), 2U);
  EXPECT_EQ(maps.mappings()[0].path, "/a");
  EXPECT_EQ(maps.mappings()[1].path, "/d");
}

TEST(ProcessMaps, RefusesLinesThatTheKernelNeverWrites) {
  for (const char* line :
       {"x", "1000", "1000-", "1000-2000", "1000-2000 ", "1000-2000 r-xp", "1000-2000 r-xp 0",
        "1000-2000 r-xp 0 fe", "1000-2000 r-xp 0 fe:0", "1000-2000 r-xp 0 fe:00 x",
        "2000-1000 r-xp 0 fe:00 1 /a", "1000-1000 r-xp 0 fe:00 1 /a", "1000-2000 r-x 0 fe:00 1",
        "10000000000000000-20000000000000000 r-xp 0 fe:00 1 /a", " 1000-2000 r-xp 0 fe:00 1 /a",
        "-1000-2000 r-xp 0 fe:00 1 /a", "1000-2000 r-xp -1 fe:00 1 /a", ""}) {
    const auto maps = ProcessMaps::parse("1000-2000 r-xp 0 fe:00 1 /a\n" + std::string(line) +
                                         "\n3000-4000 r-xp 0 fe:00 1 /a\n");
    ASSERT_FALSE(maps) << line;
    EXPECT_THAT(maps.error().message, HasSubstr("line 2: ")) << line;
  }
  EXPECT_TRUE(parsed("").mappings().empty());
  EXPECT_EQ(parsed("1000-2000 r-xp 0 fe:00 1").mappings().size(), 1U);
}

TEST(ProcessMaps, ReadsALivingProcess) {
  const auto maps = ProcessMaps::read(static_cast<std::uint32_t>(::getpid()));
  ASSERT_TRUE(maps) << maps.error().message;
  const Mapping* const own = maps->find(reinterpret_cast<std::uint64_t>(&parsed));
  ASSERT_NE(own, nullptr);
  EXPECT_EQ(own->kind, MappingKind::File);
  EXPECT_GT(maps->memory_bytes(), 0U);
}

TEST(ProcessMaps, SaysThatAProcessIsGone) {
  const auto maps = ProcessMaps::read(0x7fffffff);
  ASSERT_FALSE(maps);
  EXPECT_EQ(maps.error().code.value(), ESRCH);
  EXPECT_THAT(maps.error().message, HasSubstr("process 2147483647 is gone"));
}

}  // namespace
}  // namespace lb::observe
