// SPDX-License-Identifier: Apache-2.0
// Which functions are probed: the libraries of this process, and other allocators where they are
// installed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "observe/plan/allocators.h"
#include "observe/plan/code_files.h"

namespace lb::observe {
namespace {

using ::testing::HasSubstr;

const std::string kLib = "/usr/lib/x86_64-linux-gnu/";

std::vector<CodeFile> files_of(const std::vector<std::string>& paths) {
  std::vector<CodeFile> files;
  for (const std::string& path : paths) {
    struct stat status{};
    if (stat(path.c_str(), &status) != 0) return {};
    files.push_back({path, path, status.st_dev, status.st_ino});
  }
  return files;
}

std::vector<ProbePoint> named(const AllocatorPlan& plan, std::string_view name) {
  std::vector<ProbePoint> found;
  std::ranges::copy_if(plan.points, std::back_inserter(found), [&](const ProbePoint& point) {
    return std::ranges::find(point.names, name) != point.names.end();
  });
  return found;
}

TEST(RoleOf, KnowsPrefixesAndFormsOfOperatorNew) {
  EXPECT_EQ(role_of("malloc"), Role::Malloc);
  EXPECT_EQ(role_of("je_malloc"), Role::Malloc);
  EXPECT_EQ(role_of("__libc_free"), Role::Free);
  EXPECT_EQ(role_of("_Znam"), Role::OperatorNew);
  EXPECT_EQ(role_of("_ZdlPvSt11align_val_t"), Role::OperatorDelete);
  EXPECT_EQ(role_of("malloc_trim"), std::nullopt);
  EXPECT_EQ(role_of(""), std::nullopt);
  EXPECT_TRUE(may_throw("_Znwm"));
  EXPECT_FALSE(may_throw("_ZnwmRKSt9nothrow_t"));
  EXPECT_FALSE(may_throw("malloc"));
}

TEST(AllocOption, IsAPathOrAPrefix) {
  EXPECT_EQ(AllocOption::parse("/lib/libpool.so")->path, "/lib/libpool.so");
  EXPECT_EQ(AllocOption::parse("./pool")->path, "./pool");
  EXPECT_EQ(AllocOption::parse("zmalloc")->prefix, "z");
  EXPECT_EQ(AllocOption::parse("z")->prefix, "z");
  const auto pool = AllocOption::parse("pool_+1");
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->prefix, "pool_");
  EXPECT_EQ(pool->first_argument, 1);
}

TEST(AllocOption, RefusesWhatIsNeither) {
  for (const char* text : {"", "malloc", "a b", "z+", "z+4", "z+x", "+1"}) {
    EXPECT_FALSE(AllocOption::parse(text)) << text;
  }
}

TEST(CodeFiles, GivesTheProgramFirstAndEachFileOnce) {
  const auto files = code_files_of(static_cast<std::uint32_t>(getpid()));
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->front().shown, std::filesystem::read_symlink("/proc/self/exe").string());
  EXPECT_TRUE(std::ranges::any_of(
      *files, [](const CodeFile& file) { return file.shown.contains("libc.so"); }));
  for (const CodeFile& file : *files) EXPECT_EQ(access(file.path.c_str(), R_OK), 0) << file.path;
  std::vector<std::uint64_t> inodes;
  for (const CodeFile& file : *files) inodes.push_back(file.inode);
  std::ranges::sort(inodes);
  EXPECT_EQ(std::ranges::adjacent_find(inodes), inodes.end());
}

TEST(CodeFiles, SaysThatAProcessIsGone) {
  const auto files = code_files_of(0x7fffffff);
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code.value(), ESRCH);
}

TEST(FindAllocators, TakesTheFunctionsOfLibcAndLeavesOperatorNewToMalloc) {
  const auto files = files_of({kLib + "libstdc++.so.6", kLib + "libc.so.6"});
  if (files.empty()) GTEST_SKIP() << "no glibc and libstdc++ in " << kLib;
  const auto plan = find_allocators(files, {});
  ASSERT_TRUE(plan) << plan.error().message;
  for (const char* name : {"malloc", "calloc", "realloc", "reallocarray", "posix_memalign",
                           "aligned_alloc", "valloc", "pvalloc", "mmap", "munmap", "mremap"}) {
    ASSERT_EQ(named(*plan, name).size(), 1U) << name;
    EXPECT_TRUE(named(*plan, name)[0].returns) << name;
  }
  ASSERT_EQ(named(*plan, "free").size(), 1U);
  EXPECT_FALSE(named(*plan, "free")[0].returns);
  EXPECT_TRUE(named(*plan, "_Znwm").empty());
  EXPECT_TRUE(named(*plan, "_ZdlPv").empty());
  EXPECT_TRUE(plan->refusals.empty()) << plan->refusals.front();
  EXPECT_EQ(plan->allocators.size(), 2U);
}

TEST(FindAllocators, HasNoTwoPointsAtOnePlace) {
  for (const char* library : {"libjemalloc.so.2", "libtcmalloc.so.4", "libmimalloc.so.2"}) {
    const auto files = files_of({kLib + library, kLib + "libc.so.6"});
    if (files.empty()) continue;
    const auto plan = find_allocators(files, {});
    ASSERT_TRUE(plan) << plan.error().message;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
    for (const ProbePoint& point : plan->points) {
      places.emplace_back(point.file.inode, point.function_offset);
    }
    std::ranges::sort(places);
    EXPECT_EQ(std::ranges::adjacent_find(places), places.end()) << library;
  }
}

TEST(FindAllocators, TagsOperatorNewAtItsEntryOnlyWhenAsked) {
  const auto files = files_of({kLib + "libstdc++.so.6", kLib + "libc.so.6"});
  if (files.empty()) GTEST_SKIP() << "no glibc and libstdc++ in " << kLib;
  const auto plan = find_allocators(files, {.tag_operator_new = true, .alloc = {}});
  ASSERT_TRUE(plan);
  const auto tagged = named(*plan, "_Znwm");
  ASSERT_EQ(tagged.size(), 1U);
  EXPECT_FALSE(tagged[0].returns);
  EXPECT_FALSE(tagged[0].unseen);
}

TEST(FindAllocators, NeverProbesTheReturnOfOperatorNew) {
  bool any = false;
  for (const char* library :
       {"libjemalloc.so.2", "libtcmalloc.so.4", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"}) {
    const auto files = files_of({kLib + library, kLib + "libstdc++.so.6", kLib + "libc.so.6"});
    if (files.empty()) continue;
    any = true;
    const auto plan = find_allocators(files, {.tag_operator_new = true, .alloc = {}});
    ASSERT_TRUE(plan) << plan.error().message;
    for (const ProbePoint& point : plan->points) {
      const bool throws = std::ranges::any_of(point.names, may_throw);
      EXPECT_FALSE(throws && point.returns) << library << " " << point.names.front();
    }
    // Debian's builds have malloc's fast path once more in operator new.
    const auto own = std::ranges::count_if(plan->points, [&](const ProbePoint& point) {
      return point.unseen && point.file.shown == kLib + library;
    });
    EXPECT_GT(own, 0) << library;
    ASSERT_FALSE(plan->refusals.empty()) << library;
    EXPECT_THAT(plan->refusals.front(), HasSubstr("blocks are not seen"));
    EXPECT_EQ(named(*plan, "malloc").size(), 2U) << "its own, and libc's";
  }
  if (!any) GTEST_SKIP() << "neither jemalloc, tcmalloc nor mimalloc is installed";
}

TEST(FindAllocators, LeavesThunksToTheirTargets) {
  const auto files = files_of({kLib + "libmimalloc.so.2", kLib + "libc.so.6"});
  if (files.empty()) GTEST_SKIP() << "mimalloc is not installed";
  const auto plan = find_allocators(files, {});
  ASSERT_TRUE(plan);
  // valloc is `jmp mi_valloc@plt`.
  EXPECT_EQ(named(*plan, "mi_valloc").size(), 1U);
  EXPECT_TRUE(std::ranges::none_of(named(*plan, "valloc"), [](const ProbePoint& point) {
    return point.file.shown.contains("mimalloc");
  }));
}

TEST(FindAllocators, FindsWrappersByTheirPrefix) {
  const auto files = files_of({"/usr/bin/redis-server", kLib + "libc.so.6"});
  if (files.empty()) GTEST_SKIP() << "redis-server is not installed";
  const auto plan = find_allocators(files, {.alloc = {*AllocOption::parse("zmalloc")}});
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(named(*plan, "zmalloc").size(), 1U);
  EXPECT_EQ(named(*plan, "zfree")[0].role, Role::Free);
  EXPECT_EQ(named(*plan, "zrealloc")[0].role, Role::Realloc);
}

TEST(FindAllocators, SaysWhenThereIsNothingToProbe) {
  const auto files = files_of({"/proc/self/exe"});
  const auto plan = find_allocators(files, {});
  if (plan) GTEST_SKIP() << "this program has an allocator of its own (sanitizer)";
  EXPECT_EQ(plan.error().code.value(), ENOENT);
  EXPECT_THAT(plan.error().message, HasSubstr("--alloc"));
  const auto wrong = find_allocators(files_of({kLib + "libc.so.6"}),
                                     {.alloc = {*AllocOption::parse("nosuchpool_")}});
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("nosuchpool_"));
  EXPECT_FALSE(find_allocators({}, {.alloc = {*AllocOption::parse("/no/such/file")}}));
}

TEST(FindAllocators, RefusesAPathThatIsNoLibraryOfAllocators) {
  const auto files = files_of({kLib + "libc.so.6"});
  if (files.empty()) GTEST_SKIP() << "no libc.so.6";
  ASSERT_TRUE(find_allocators(files, {.alloc = {*AllocOption::parse(kLib + "libc.so.6")}}));
  const auto other = find_allocators(files, {.alloc = {*AllocOption::parse(kLib + "libz.so.1")}});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code.value(), ENOENT);
  EXPECT_THAT(other.error().message, HasSubstr("libz.so.1\": no function malloc"));
  const auto text = find_allocators(files, {.alloc = {*AllocOption::parse("/etc/passwd")}});
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message, HasSubstr("/etc/passwd"));
  EXPECT_THAT(text.error().message, HasSubstr("not an ELF file"));
}

TEST(FindAllocators, KeepsWhatItFoundWhenAPrefixMayComeLater) {
  const auto files = files_of({kLib + "libc.so.6"});
  if (files.empty()) GTEST_SKIP() << "no libc.so.6";
  const auto plan = find_allocators(
      files, {.may_have_none = true, .alloc = {*AllocOption::parse("nosuchpool_")}});
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(named(*plan, "malloc").size(), 1U);
  ASSERT_EQ(plan->notes.size(), 1U);
  EXPECT_THAT(plan->notes[0], HasSubstr("nosuchpool_"));
}

/// Compiles a program with the compiler of the machine; empty when there is none.
std::string compiled(const std::string& source, const std::string& options) {
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / ("plan_test_" + std::to_string(getpid()));
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "a.cc") << source;
  const std::string program = (directory / "a.out").string();
  const std::string command =
      "c++ " + options + " -o " + program + " " + (directory / "a.cc").string() + " 2>/dev/null";
  return std::system(command.c_str()) == 0 ? program : "";
}

TEST(FindAllocators, ReadsStaticProgramsThatAreNotStripped) {
  const std::string program =
      compiled("#include <cstdlib>\nint main() { delete new int; free(malloc(1)); }", "-static");
  if (program.empty()) GTEST_SKIP() << "no compiler, or no static libraries";
  const auto plan = find_allocators(files_of({program}), {});
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_THAT(plan->allocators.front().kind, HasSubstr("static"));
  EXPECT_EQ(named(*plan, "malloc").size(), 1U);
  EXPECT_EQ(named(*plan, "free").size(), 1U);
  EXPECT_TRUE(named(*plan, "_Znwm").empty());
  ASSERT_EQ(std::system(("strip " + program).c_str()), 0);
  const auto stripped = find_allocators(files_of({program}), {});
  ASSERT_FALSE(stripped);
  EXPECT_THAT(stripped.error().message, HasSubstr("stripped"));
  std::filesystem::remove_all(std::filesystem::path(program).parent_path());
}

TEST(FindAllocators, RefusesAWrapperThatMayThrowAndAnIfunc) {
  const std::string program = compiled(
      R"(#include <cstdlib>
         extern "C" void* real(size_t n) { return std::malloc(n); }
         extern "C" void* (*pick())(size_t) { return real; }
         extern "C" void* pool_malloc(size_t) __attribute__((ifunc("pick")));
         extern "C" void pool_free(void* p) { std::free(p); }
         void* pool_alloc_cpp(size_t n) { if (n == 0) throw 1; return std::malloc(n); }
         int main() { pool_free(pool_malloc(1)); std::free(pool_alloc_cpp(1)); })",
      "-O1 -Wl,--export-dynamic");
  if (program.empty()) GTEST_SKIP() << "no compiler";
  const auto plan = find_allocators(files_of({program, kLib + "libc.so.6"}),
                                    {.alloc = {*AllocOption::parse("pool_")}});
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(named(*plan, "pool_free").size(), 1U);
  EXPECT_TRUE(named(*plan, "pool_malloc").empty());
  ASSERT_EQ(plan->refusals.size(), 1U);
  EXPECT_THAT(plan->refusals[0], HasSubstr("IFUNC"));
  std::filesystem::remove_all(std::filesystem::path(program).parent_path());
}

}  // namespace
}  // namespace lb::observe
