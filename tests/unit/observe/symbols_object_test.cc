// SPDX-License-Identifier: Apache-2.0
// CodeObject and what it stands on: files and roots, debug files, symbols, lines; against
// addr2line; and files that are no real ELF.
#include <elf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "observe/symbols/code_object.h"
#include "observe/symbols/demangle.h"
#include "tests/unit/observe/symbols_fixture.h"

namespace lb::observe {
namespace {

using testing::HasSubstr;

Result<CodeObject> opened(const std::string& path, const Root& root = nullptr) {
  LB_TRY_ASSIGN(Fd file, open_under(root, path));
  return CodeObject::open(std::move(file), path, root);
}

/// What a command prints.
std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), &::pclose);
  std::string text;
  if (!pipe) return text;
  std::array<char, 4096> chunk;
  while (const std::size_t got = std::fread(chunk.data(), 1, chunk.size(), pipe.get())) {
    text.append(chunk.data(), got);
  }
  return text;
}

std::string whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class CodeObjectOf : public SymbolPrograms {
 protected:
  /// Parts a program into "side.debug" and "bare", which names it by its debuglink.
  [[nodiscard]] bool side_by_side(const std::string& name) const {
    return run(
        fmt::format("objcopy --only-keep-debug {} side.debug && "
                    "objcopy --strip-all --add-gnu-debuglink=side.debug {} bare",
                    name, name));
  }
  /// The address of outer() in a program that has symbols.
  [[nodiscard]] std::uint64_t outer_in(const std::string& name) const {
    return std::strtoull(output_of(fmt::format("nm '{}' | grep ' T outer$'", path(name))).c_str(),
                         nullptr, 16);
  }
  static std::string outermost(Result<CodeObject> object, std::uint64_t address) {
    if (!object) return object.error().message;
    const auto places = object->places(address);
    return places.empty() ? "" : places.back().function + (places.back().line ? " with line" : "");
  }
};

TEST(Demangled, LeavesAloneWhatIsNoCxxName) {
  EXPECT_EQ(demangled("_Z4leakiPKc"), "leak(int, char const*)");
  EXPECT_EQ(demangled("_ZN2lb7observeL5applyEv.part.0"), "lb::observe::apply() [clone .part.0]");
  for (const char* name : {"", "i", "main", "_Z", "_Znope", "_start", "__libc_malloc"}) {
    EXPECT_EQ(demangled(name), name);
  }
  const std::string deep = "_Z" + std::string(3000, 'P');
  EXPECT_EQ(demangled(deep.c_str()), deep);
  const std::string large = "_Z" + std::string(100000, 'N');
  EXPECT_EQ(demangled(large.c_str()), large);
}

TEST_F(CodeObjectOf, DebugFileIsFoundByLinkInEachPlace) {
  ASSERT_TRUE(compile("whole", "") && compile("plain", "-Wl,--build-id=none"));
  for (const std::string name : {"whole", "plain"}) {
    const std::uint64_t address = outer_in(name);
    ASSERT_NE(address, 0U);
    EXPECT_EQ(outermost(opened(path(name)), address), "outer with line");
    ASSERT_TRUE(side_by_side(name) && run("mkdir -p .debug"));
    EXPECT_EQ(outermost(opened(path("bare")), address), "outer with line") << name;
    ASSERT_TRUE(run("mv side.debug .debug"));
    EXPECT_EQ(outermost(opened(path("bare")), address), "outer with line") << name;
    ASSERT_TRUE(run("mv .debug/side.debug away.debug"));
    EXPECT_EQ(outermost(opened(path("bare")), address), "") << name;
  }
}

TEST_F(CodeObjectOf, DebugFileOfAnotherBuildIsNotTaken) {
  ASSERT_TRUE(compile("one", "") && compile("other", "-O2 -DX") &&
              compile("one-plain", "-Wl,--build-id=none"));
  for (const std::string name : {"one", "one-plain"}) {
    const std::uint64_t address = outer_in(name);
    ASSERT_TRUE(side_by_side(name));
    EXPECT_EQ(outermost(opened(path("bare")), address), "outer with line") << name;
    ASSERT_TRUE(
        run("echo 'int outer(void) { return 1; } int main(void) { return outer(); }' > o.c "
            "&& cc -g -O0 -o other o.c && objcopy --only-keep-debug other side.debug"));
    EXPECT_EQ(outermost(opened(path("bare")), address), "") << name;
  }
}

TEST_F(CodeObjectOf, DebugFileIsFoundByBuildIdUnderTheRoot) {
  ASSERT_TRUE(compile("program", ""));
  const std::uint64_t address = outer_in("program");
  const auto built = opened(path("program"));
  ASSERT_TRUE(built);
  const std::string id = built->identity().build_id;
  ASSERT_EQ(id.size(), 40U);
  const std::string home = "usr/lib/debug/.build-id/" + id.substr(0, 2);
  ASSERT_TRUE(run("mkdir -p root/bin root/" + home + " && objcopy --only-keep-debug program root/" +
                  home + "/" + id.substr(2) + ".debug && objcopy --strip-all program root/bin/p"));
  const Root root =
      std::make_shared<const Fd>(::open(path("root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(outermost(opened("/bin/p", root), address), "outer with line");
  EXPECT_EQ(outermost(opened(path("root/bin/p")), address), "");
}

TEST_F(CodeObjectOf, LinksDoNotLeaveTheRoot) {
  ASSERT_TRUE(
      run("mkdir -p root/sub && echo in > root/inside && echo out > outside && "
          "ln -s \"$PWD/outside\" root/out && ln -s ../../../../outside root/sub/out && "
          "ln -s /inside root/sub/in"));
  const Root root =
      std::make_shared<const Fd>(::open(path("root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto inside = open_under(root, "/sub/in");
  if (!inside && inside.error().code.value() == ENOSYS) GTEST_SKIP() << "no openat2";
  EXPECT_TRUE(inside);
  EXPECT_FALSE(open_under(root, "/out"));
  EXPECT_FALSE(open_under(root, "/sub/out"));
  EXPECT_FALSE(open_under(root, "/../outside"));
  EXPECT_TRUE(open_under(nullptr, path("root/out")));
}

TEST_F(CodeObjectOf, OnlyRegularFilesAreOpened) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  for (const std::string& name : {path("fifo"), std::string("/dev/zero"), directory_.string()}) {
    const auto file = open_under(nullptr, name);
    ASSERT_FALSE(file) << name;
    EXPECT_THAT(file.error().message, HasSubstr("not a regular file"));
  }
  EXPECT_FALSE(open_under(nullptr, path("none")));
}

TEST_F(CodeObjectOf, WhatIsNoElfIsAnError) {
  std::ofstream(path("empty")).flush();
  std::ofstream(path("text")) << "#!/bin/sh\n";
  std::ofstream(path("magic")) << "\177ELF";
  for (const char* name : {"empty", "text", "magic", "probe.c"}) {
    EXPECT_FALSE(opened(path(name))) << name;
  }
}

TEST_F(CodeObjectOf, FileOffsetsAndAddresses) {
  ASSERT_TRUE(compile("fixed", "-no-pie"));
  const auto object = opened(path("fixed"));
  ASSERT_TRUE(object) << object.error().message;
  // Where objdump says that the first bytes of outer() are in the file.
  const std::string text = output_of(fmt::format(
      "objdump -d -F --no-show-raw-insn '{}' | grep '<outer> (File Offset'", path("fixed")));
  const std::uint64_t offset = std::strtoull(text.substr(text.find("0x")).c_str(), nullptr, 16);
  EXPECT_EQ(object->address_of(offset), outer_in("fixed"));
  EXPECT_EQ(object->address_of(~std::uint64_t{0}), std::nullopt);
  EXPECT_EQ(object->address_of(0), std::nullopt) << "the header is not code";
}

TEST_F(CodeObjectOf, BrokenFilesDoNoHarm) {
  ASSERT_TRUE(compile("whole", ""));
  const std::uint64_t address = outer_in("whole");
  const std::string image = whole(path("whole"));
  std::mt19937_64 random(4);
  for (int round = 0; round < 400; ++round) {
    std::string broken = image;
    if (round % 4 == 0) broken.resize(random() % image.size());
    for (int i = 0; i < 1 + round % 20 && !broken.empty(); ++i) {
      // Half of them in the header and in the tables at the end, where most depends on them.
      const std::size_t range = std::min<std::size_t>(broken.size(), 4096);
      const std::size_t at = random() % 2 == 0   ? random() % broken.size()
                             : random() % 2 == 0 ? random() % std::min<std::size_t>(range, 64)
                                                 : broken.size() - 1 - random() % range;
      broken[at] = static_cast<char>(random());
    }
    std::ofstream(path("broken"), std::ios::binary) << broken;
    auto object = opened(path("broken"));
    if (!object) continue;
    for (std::uint64_t near = 0; near < 64; near += 4) (void)object->places(address + near);
    (void)object->places(random());
    (void)object->address_of(random() % 65536);
    EXPECT_LT(object->memory_bytes(), std::size_t{1} << 28);
  }
}

TEST_F(CodeObjectOf, HugeSectionsOfASparseFileAreNotRead) {
  ASSERT_TRUE(compile("whole", ""));
  std::string image = whole(path("whole"));
  Elf64_Ehdr head;
  ASSERT_GT(image.size(), sizeof(head));
  std::memcpy(&head, image.data(), sizeof(head));
  for (std::size_t i = 0; i < head.e_shnum; ++i) {
    Elf64_Shdr section;
    char* const at = image.data() + head.e_shoff + i * sizeof(section);
    std::memcpy(&section, at, sizeof(section));
    if (section.sh_type == SHT_NULL) continue;
    section.sh_size = std::uint64_t{1} << 39;
    std::memcpy(at, &section, sizeof(section));
  }
  std::ofstream(path("huge"), std::ios::binary) << image;
  ASSERT_EQ(::truncate(path("huge").c_str(), off_t{1} << 40), 0);
  auto object = opened(path("huge"));
  if (object) {
    EXPECT_TRUE(object->places(outer_in("whole")).empty());
  }
}

/// For each address the places as addr2line has them.
std::map<std::uint64_t, std::vector<std::string>> addr2line(const std::string& path,
                                                            const std::string& list) {
  std::istringstream text(
      output_of(fmt::format("addr2line -a -f -i -C -e '{}' @'{}'", path, list)));
  std::map<std::uint64_t, std::vector<std::string>> out;
  std::vector<std::string>* lines = nullptr;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("0x")) {
      lines = &out[std::stoull(line, nullptr, 16)];
      lines->clear();
    } else if (lines != nullptr) {
      lines->push_back(line.substr(0, line.find(" (discriminator")));
    }
  }
  return out;
}

TEST_F(CodeObjectOf, PlacesAreThoseOfAddr2line) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  auto object = opened(self);
  ASSERT_TRUE(object) << object.error().message;
  std::mt19937_64 random(11);
  std::ofstream list(path("list"));
  const auto code = reinterpret_cast<std::uint64_t>(&addr2line);
  const auto maps = ProcessMaps::read(static_cast<std::uint32_t>(::getpid()));
  ASSERT_TRUE(maps);
  const Mapping* const mapping = maps->find(code);
  ASSERT_NE(mapping, nullptr);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t offset = random() % (mapping->end - mapping->start) + mapping->file_offset;
    if (const auto address = object->address_of(offset)) list << fmt::format("{:#x}\n", *address);
  }
  list.close();
  std::size_t compared = 0;
  std::size_t other_names = 0;
  std::size_t other_files = 0;
  for (const auto& [address, theirs] : addr2line(self, path("list"))) {
    const auto places = object->places(address);
    if (places.empty() || places.back().line == 0) continue;
    ++compared;
    ASSERT_EQ(theirs.size(), 2 * places.size()) << std::hex << address;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const std::string line = places[i].line == 0 ? "?" : std::to_string(places[i].line);
      const std::string& other = theirs[2 * i + 1];
      EXPECT_EQ(other.substr(other.rfind(':') + 1), line) << std::hex << address;
      // Not the folders: the two make whole paths of relative ones in their own ways.
      const auto file = std::filesystem::path(other.substr(0, other.rfind(':'))).filename();
      if (file != std::filesystem::path(places[i].file).filename()) ++other_files;
    }
    // addr2line is not always right: it gives the unit's own file to a few lines of headers, and
    // the symbol's name to an innermost function that has no linkage name in the DWARF.
    if (places.size() == 1 && theirs[0] != places[0].function) ++other_names;
  }
  if (compared == 0) GTEST_SKIP() << "this test has no line information (-g), or no addr2line";
  EXPECT_GT(compared, 500U);
  EXPECT_LE(other_names, compared / 5);
  EXPECT_LE(other_files, compared / 50);
}

}  // namespace
}  // namespace lb::observe
