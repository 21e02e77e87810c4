// SPDX-License-Identifier: Apache-2.0
// ElfObject: this program and its libraries, and broken copies of them.
#include <dlfcn.h>
#include <elf.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "observe/plan/elf_functions.h"

namespace lb::observe {
namespace {

std::string libc_path() {
  Dl_info info{};
  return dladdr(reinterpret_cast<void*>(&std::abort), &info) != 0 ? info.dli_fname : "";
}

std::string whole_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Result<ElfObject> from_bytes(std::string_view bytes) {
  Fd file(memfd_create("elf", MFD_CLOEXEC));
  EXPECT_EQ(write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  return ElfObject::from(std::move(file), "test.so");
}

bool has_name(const ElfFunction& function, std::string_view name) {
  return std::ranges::find(function.names, name) != function.names.end();
}

TEST(ElfObject, GivesAFunctionOnceWithAllItsNamesAndVersions) {
  auto libc = ElfObject::open(libc_path());
  ASSERT_TRUE(libc) << libc.error().message;
  EXPECT_EQ(libc->linkage(), ElfLinkage::Library);
  const auto found = libc->functions([](std::string_view name) { return name == "malloc"; });
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(has_name(found[0], "malloc"));
  EXPECT_TRUE(std::ranges::any_of(found[0].versions, [](const std::string& version) {
    return version.starts_with("malloc@@GLIBC_2.");
  }));
  EXPECT_TRUE(found[0].global);
  EXPECT_FALSE(found[0].ifunc);
  EXPECT_GT(found[0].size, 0U);
}

TEST(ElfObject, TellsVersionsOfOneNameApart) {
  auto libc = ElfObject::open(libc_path());
  ASSERT_TRUE(libc);
  const auto found = libc->functions([](std::string_view name) { return name == "memcpy"; });
  ASSERT_EQ(found.size(), 2U);
  // The new one is chosen at the start of the program.
  EXPECT_NE(found[0].ifunc, found[1].ifunc);
  const ElfFunction& old = found[0].ifunc ? found[1] : found[0];
  EXPECT_EQ(old.versions.front(), "memcpy@GLIBC_2.2.5");
}

TEST(ElfObject, ReadsTheCodeThatIsMapped) {
  auto libc = ElfObject::open(libc_path());
  ASSERT_TRUE(libc);
  const auto found = libc->functions([](std::string_view name) { return name == "abort"; });
  ASSERT_EQ(found.size(), 1U);
  const auto code = libc->code(found[0]);
  ASSERT_EQ(code.size(), found[0].size);
  EXPECT_EQ(std::memcmp(code.data(), dlsym(RTLD_DEFAULT, "abort"), code.size()), 0);
  const auto peeked = libc->peek(found[0].address);
  EXPECT_TRUE(std::ranges::equal(peeked, std::span(code).first(peeked.size())));
  // The same bytes by the file offset.
  const std::string file = whole_file(libc_path());
  EXPECT_EQ(std::memcmp(code.data(), file.data() + found[0].file_offset, code.size()), 0);
}

TEST(ElfObject, FindsNoCodeOutsideTheCode) {
  auto libc = ElfObject::open(libc_path());
  ASSERT_TRUE(libc);
  EXPECT_FALSE(libc->file_offset(~std::uint64_t{0}));
  EXPECT_TRUE(libc->code(~std::uint64_t{0}, 10).empty());
  EXPECT_TRUE(libc->peek(~std::uint64_t{0}).empty());
  EXPECT_TRUE(libc->import_at(12345).empty());
}

TEST(ElfObject, SeesFunctionsOfTheSymbolTableOfAProgram) {
  auto program = ElfObject::open("/proc/self/exe");
  ASSERT_TRUE(program) << program.error().message;
  EXPECT_EQ(program->linkage(), ElfLinkage::Program);
  EXPECT_EQ(program->functions([](std::string_view name) { return name == "main"; }).size(), 1U);
}

TEST(ElfObject, RefusesWhatIsNotX8664CodeInWords) {
  EXPECT_EQ(ElfObject::open("/nonexistent").error().code.value(), ENOENT);
  EXPECT_NE(ElfObject::open("/proc/self").error().message.find("not a file"), std::string::npos);
  EXPECT_FALSE(from_bytes(""));
  EXPECT_FALSE(from_bytes("#!/bin/sh\n"));
  std::string bytes = whole_file("/proc/self/exe");
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.e_machine = EM_AARCH64;
  std::memcpy(bytes.data(), &header, sizeof header);
  auto other = from_bytes(bytes);
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("another machine"), std::string::npos);

  Elf32_Ehdr small{};
  std::memcpy(small.e_ident, ELFMAG, SELFMAG);
  small.e_ident[EI_CLASS] = ELFCLASS32;
  small.e_ident[EI_DATA] = ELFDATA2LSB;
  small.e_ident[EI_VERSION] = EV_CURRENT;
  small.e_machine = EM_386;
  small.e_version = EV_CURRENT;
  small.e_ehsize = sizeof small;
  std::string narrow(sizeof small, '\0');
  std::memcpy(narrow.data(), &small, sizeof small);
  auto refused = from_bytes(narrow);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("32-bit"), std::string::npos);
}

/// All that the planner does with a file.
void use_all(const ElfObject& object) {
  std::size_t names = 0;
  for (const ElfFunction& function :
       object.functions([](std::string_view name) { return name.contains("alloc"); })) {
    names += function.names.size();
    (void)object.code(function);
    (void)object.peek(function.address);
  }
  (void)object.import_at(names);
}

TEST(ElfObject, BearsFilesThatAreCutOrBroken) {
  const std::string whole = whole_file("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2");
  const std::string bytes = whole.empty() ? whole_file(libc_path()) : whole;
  ASSERT_FALSE(bytes.empty());
  std::mt19937_64 random(11);
  int opened = 0;
  for (int i = 0; i < 60; ++i) {
    auto object = from_bytes(std::string_view(bytes).substr(0, random() % bytes.size()));
    if (object) use_all(*object);
  }
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  for (int i = 0; i < 150; ++i) {
    std::string broken = bytes;
    for (int change = 0; change < 8; ++change) {
      // Headers, section headers, and the first pages, where the symbols of a library are.
      const std::size_t at = change < 3 ? random() % 1024
                             : change < 6
                                 ? header.e_shoff + random() % (broken.size() - header.e_shoff)
                                 : random() % std::min<std::size_t>(broken.size(), 32768);
      if (at > 6) broken[at] = static_cast<char>(random());
    }
    auto object = from_bytes(broken);
    if (!object) continue;
    ++opened;
    use_all(*object);
  }
  EXPECT_GT(opened, 0);
}

}  // namespace
}  // namespace lb::observe
