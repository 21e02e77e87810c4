// SPDX-License-Identifier: Apache-2.0
// .eh_frame compiled from sections made by hand, and from broken ones.
#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "observe/unwind/eh_frame.h"
#include "observe/unwind/elf_layout.h"

namespace lb::observe {
namespace {

using Bytes = std::vector<unsigned char>;

constexpr std::uint64_t kBase = 0x10000;
constexpr std::uint64_t kSection = 0x20000;  // its address

// CFA = rsp + 8, return address at CFA - 8; code factor 1, data factor -8.
const Bytes kUsual = {0x0c, 7, 8, 0x90, 1};

class Section {
 public:
  // Its place, for function().
  std::size_t cie(std::string_view augmentation, const Bytes& program,
                  unsigned char return_register = 16) {
    Bytes body = {0, 0, 0, 0, 1};
    body.insert(body.end(), augmentation.begin(), augmentation.end());
    body.insert(body.end(), {0, 1, 0x78, return_register});
    if (augmentation.starts_with('z')) {
      Bytes data;
      for (const char what : augmentation.substr(1)) {
        if (what == 'R') data.push_back(0x1b);  // pcrel, sdata4
        if (what == 'L') data.push_back(0x1b);
        if (what == 'P') data.insert(data.end(), {0x9b, 1, 2, 3, 4});
      }
      body.push_back(static_cast<unsigned char>(data.size()));
      body.insert(body.end(), data.begin(), data.end());
    }
    body.insert(body.end(), program.begin(), program.end());
    return entry(body);
  }

  // For CIEs with R.
  void function(std::size_t cie, std::uint32_t pc, std::uint32_t bytes, const Bytes& program,
                const Bytes& data = {}) {
    const std::size_t id = bytes_.size() + 4;
    Bytes body;
    number(body, static_cast<std::uint32_t>(id - cie));
    number(body, static_cast<std::uint32_t>(kBase + pc - (kSection + id + 4)));
    number(body, bytes);
    body.push_back(static_cast<unsigned char>(data.size()));
    body.insert(body.end(), data.begin(), data.end());
    body.insert(body.end(), program.begin(), program.end());
    entry(body);
  }

  std::size_t entry(const Bytes& body) {
    const std::size_t at = bytes_.size();
    number(bytes_, static_cast<std::uint32_t>(body.size()));
    bytes_.insert(bytes_.end(), body.begin(), body.end());
    return at;
  }
  void end() { number(bytes_, 0); }

  [[nodiscard]] UnwindTable compile(bool whole = true) const {
    return compile_eh_frame({.bytes = std::as_bytes(std::span(bytes_)),
                             .address = kSection,
                             .base = kBase,
                             .whole = whole});
  }
  Bytes& bytes() { return bytes_; }

 private:
  static void number(Bytes& into, std::uint32_t value) {
    for (unsigned shift = 0; shift < 32; shift += 8) {
      into.push_back(static_cast<unsigned char>(value >> shift));
    }
  }
  Bytes bytes_;
};

// "PC kind cfa rbp" of each row.
std::vector<std::string> lines(const UnwindTable& table) {
  std::vector<std::string> result;
  for (const observe_unwind_row& row : table.rows) {
    constexpr std::array kNames = {"none", "rsp", "rbp", "plt", "signal", "end"};
    result.push_back(std::to_string(row.pc) + " " + kNames.at(row.kind) + " " +
                     std::to_string(row.cfa) + " " + std::to_string(row.rbp));
  }
  return result;
}

using testing::ElementsAre;
using testing::IsEmpty;

TEST(EhFrame, OfNothingIsNothing) {
  EXPECT_THAT(lines(Section().compile()), IsEmpty());
  Section only_end;
  only_end.end();
  EXPECT_THAT(lines(only_end.compile()), IsEmpty());
  Section only_cie;
  only_cie.cie("zR", kUsual);
  EXPECT_THAT(lines(only_cie.compile()), IsEmpty());
  EXPECT_EQ(only_cie.compile().refused, 0U);
}

TEST(EhFrame, FollowsAFramePointerPrologueAndEpilogue) {
  Section section;
  const auto cie = section.cie("zR", kUsual);
  section.function(cie, 256, 32,
                   {0x41, 0x0e, 16, 0x86, 2,       // push rbp
                    0x43, 0x0d, 6,                 // mov rbp, rsp
                    0x50, 0x0a, 0xc6, 0x0c, 7, 8,  // remember; pop rbp
                    0x41, 0x0b});                  // restore
  const auto table = section.compile();
  EXPECT_EQ(table.functions, 1U);
  EXPECT_THAT(lines(table), ElementsAre("0 none 0 0", "256 rsp 1 0", "257 rsp 2 -2", "260 rbp 2 -2",
                                        "276 rsp 1 0", "277 rbp 2 -2", "288 none 0 0"));
}

TEST(EhFrame, ReadsAllAugmentationsOfCompilers) {
  for (const char* augmentation : {"zR", "zPLR", "zRS", "zPR"}) {
    Section section;
    const auto cie = section.cie(augmentation, kUsual);
    section.function(cie, 0, 16, {}, {1, 2, 3, 4});
    EXPECT_EQ(section.compile().functions, 1U) << augmentation;
    EXPECT_EQ(section.compile().refused, 0U) << augmentation;
  }
  Section section;
  section.function(section.cie("zQ", kUsual), 0, 16, {});
  EXPECT_EQ(section.compile().refused, 1U);
}

TEST(EhFrame, SortsFunctionsAndClosesGapsButNotPadding) {
  Section section;
  const auto cie = section.cie("zR", kUsual);
  section.function(cie, 200, 20, {0x0e, 32});
  section.function(cie, 100, 20, {});
  section.function(cie, 130, 20, {0x0e, 16});  // 10 bytes of padding before it
  EXPECT_THAT(lines(section.compile()), ElementsAre("0 none 0 0", "100 rsp 1 0", "130 rsp 2 0",
                                                    "150 none 0 0", "200 rsp 4 0", "220 none 0 0"));
}

TEST(EhFrame, MakesEqualNeighboursOne) {
  Section section;
  const auto cie = section.cie("zR", kUsual);
  for (std::uint32_t i = 0; i < 10; ++i) section.function(cie, 16 * i, 16, {});
  EXPECT_THAT(lines(section.compile()), ElementsAre("0 rsp 1 0", "160 none 0 0"));
}

TEST(EhFrame, KnowsTheEndOfAStack) {
  Section section;
  section.function(section.cie("zR", kUsual), 16, 16, {0x07, 16});  // undefined: return address
  EXPECT_THAT(lines(section.compile()), ElementsAre("0 none 0 0", "16 end 0 0", "32 none 0 0"));
}

TEST(EhFrame, KnowsSignalFramesByTheirExpressionAlone) {
  const Bytes frame = {0x0f, 4, 0x77, 0xa0, 1, 0x06};  // breg7 160, deref
  const Bytes other = {0x0f, 4, 0x77, 0xa8, 1, 0x06};  // breg7 168, deref
  Section section;
  const auto signal = section.cie("zRS", kUsual);
  section.function(signal, 0, 16, frame);
  section.function(signal, 16, 16, other);
  section.function(section.cie("zR", kUsual), 32, 16, frame);
  EXPECT_THAT(lines(section.compile()), ElementsAre("0 signal 0 0", "16 none 0 0"));
}

TEST(EhFrame, KnowsThePltExpressionAndNoOther) {
  const Bytes plt = {0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22};
  Bytes longer = plt;
  longer[1] = 12;
  longer.push_back(0x22);
  Section section;
  const auto cie = section.cie("zR", kUsual);
  section.function(cie, 0, 32, plt);
  section.function(cie, 32, 32, longer);
  EXPECT_THAT(lines(section.compile()), ElementsAre("0 plt 11 0", "32 none 0 0"));
}

TEST(EhFrame, MarksWhatARowCannotSay) {
  Section section;
  const auto cie = section.cie("zR", kUsual);
  section.function(cie, 0, 16, {0x0c, 10, 8});                 // CFA by r10
  section.function(cie, 16, 16, {0x0e, 12});                   // no multiple of 8
  section.function(cie, 32, 16, {0x0e, 0x80, 0x80, 0x80, 2});  // 4 MiB
  section.function(cie, 48, 16, {0x08, 16});                   // return address in a register
  section.function(cie, 64, 16, {0x10, 6, 1, 0x30});           // rbp by an expression
  section.function(cie, 80, 16, {0x07, 6});                    // rbp is lost
  section.function(cie, 96, 16, {0x05, 6, 0x80, 1});           // rbp at CFA - 1024
  section.function(cie, 112, 16, {0x05, 6, 127});              // rbp at CFA - 1016
  section.function(cie, 128, 16, {0x3f});                      // no such instruction
  EXPECT_THAT(lines(section.compile()),
              ElementsAre("0 none 0 0", "64 rsp 1 -128", "112 rsp 1 -127", "128 none 0 0"));
}

TEST(EhFrame, KnowsFramesOfMegabytes) {
  Section section;
  const auto cie = section.cie("zR", kUsual);
  section.function(cie, 0, 16, {0x0e, 0xf8, 0xff, 0xff, 1});  // 8 bytes less than 4 MiB
  EXPECT_THAT(lines(section.compile()), ElementsAre("0 rsp 524287 0", "16 none 0 0"));
}

TEST(EhFrame, RefusesAnotherReturnColumnAndPointersItCannotFollow) {
  Section section;
  section.function(section.cie("zR", kUsual, 17), 0, 16, {});
  const auto cie = section.cie("zR", kUsual);
  section.bytes()[cie + 4 + 4 + 1 + 3 + 4] = 0x9b;  // its R: indirect
  section.function(cie, 0, 16, {});
  EXPECT_EQ(section.compile().functions, 0U);
  EXPECT_EQ(section.compile().refused, 2U);
}

TEST(EhFrame, GoesOnBehindAnEmptyEntryOnlyInsideTheSection) {
  Section section;
  const auto cie = section.cie("zR", kUsual);
  section.end();
  section.function(cie, 0, 16, {});
  EXPECT_EQ(section.compile(true).functions, 1U);
  EXPECT_EQ(section.compile(false).functions, 0U);
}

TEST(EhFrame, LetsTheLaterOfOverlappingFunctionsHold) {
  Section section;
  const auto cie = section.cie("zR", kUsual);
  section.function(cie, 0, 100, {0x72, 0x0e, 16});  // at 50
  section.function(cie, 40, 20, {0x0e, 32});
  const auto table = section.compile();
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    EXPECT_LT(table.rows[i - 1].pc, table.rows[i].pc);
  }
  EXPECT_THAT(lines(table), ElementsAre("0 rsp 1 0", "40 rsp 4 0", "100 none 0 0"));
}

// Sorted, and from 0.
void expect_sound(const UnwindTable& table) {
  if (table.rows.empty()) return;
  EXPECT_EQ(table.rows.front().pc, 0U);
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    ASSERT_LT(table.rows[i - 1].pc, table.rows[i].pc);
  }
}

TEST(EhFrame, StaysSoundWhenCutAnywhere) {
  Section section;
  const auto cie = section.cie("zPLR", kUsual);
  for (std::uint32_t i = 0; i < 5; ++i) {
    section.function(cie, 64 * i, 64, {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6}, {1, 2, 3, 4});
  }
  while (!section.bytes().empty()) {
    section.bytes().pop_back();
    const auto table = section.compile();
    expect_sound(table);
    EXPECT_LE(table.functions, 4U);
  }
}

std::vector<char> this_program() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(EhFrame, StaysSoundWithRandomBytesInIt) {
  Section section;
  const auto plain = section.cie("zR", kUsual);
  for (std::uint32_t i = 0; i < 8; ++i) {
    section.function(plain, 64 * i, 64,
                     {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x0f, 4, 0x77, 0xa0, 1, 6});
  }
  const Bytes original = section.bytes();
  std::mt19937 random(3);
  for (int round = 0; round < 20'000; ++round) {
    section.bytes() = original;
    for (unsigned i = 0; i <= random() % 4; ++i) {
      section.bytes()[random() % original.size()] = static_cast<unsigned char>(random());
    }
    expect_sound(section.compile(round % 2 == 0));
  }
}

TEST(ElfLayout, RefusesWhatIsNoObject) {
  EXPECT_FALSE(ElfLayout::read(read_from({})));
  const Bytes text(1000, 'x');
  EXPECT_FALSE(ElfLayout::read(read_from(std::as_bytes(std::span(text)))));
}

TEST(ElfLayout, FindsTheSectionWithoutSectionHeadersToo) {
  auto program = this_program();
  const ReadAt object = read_from(std::as_bytes(std::span(program)));
  const auto with = ElfLayout::read(object);
  ASSERT_TRUE(with && with->eh_frame);
  EXPECT_TRUE(with->eh_frame->whole);
  Elf64_Ehdr header{};
  std::memcpy(&header, program.data(), sizeof header);
  header.e_shnum = 0;
  std::memcpy(program.data(), &header, sizeof header);
  const auto without = ElfLayout::read(object);
  ASSERT_TRUE(without && without->eh_frame);
  EXPECT_FALSE(without->eh_frame->whole);
  EXPECT_EQ(without->eh_frame->offset, with->eh_frame->offset);
  EXPECT_EQ(lines(*compile_object(object, *without)), lines(*compile_object(object, *with)));
}

// The dynamic linker's entry has no entry in .eh_frame; another object's may be anywhere.
TEST(ElfLayout, StacksEndAtTheEntryWhereNothingElseIsKnownOfIt) {
  std::ifstream file("/lib64/ld-linux-x86-64.so.2", std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.empty()) GTEST_SKIP() << "no dynamic linker of glibc here";
  const ReadAt object = read_from(std::as_bytes(std::span(bytes)));
  auto layout = ElfLayout::read(object);
  ASSERT_TRUE(layout);
  auto with_entry = [&](std::uint64_t entry) {
    layout->entry = entry;
    auto table = compile_object(object, *layout);
    EXPECT_TRUE(table);
    expect_sound(*table);
    return lines(*table);
  };
  const std::uint64_t entry = layout->entry;
  const auto plain = with_entry(0);
  const auto ends = with_entry(entry);
  EXPECT_EQ(ends.size(), plain.size() + 1);
  const auto table = compile_object(object, *layout);
  const auto row = std::ranges::find(table->rows, entry - layout->base,
                                     [](const observe_unwind_row& each) { return each.pc; });
  ASSERT_NE(row, table->rows.end());
  EXPECT_EQ(row->kind, OBSERVE_UNWIND_END);
  // In a function, far above, below: nothing changes.
  EXPECT_EQ(with_entry(layout->base + table->rows[table->rows.size() / 2].pc), plain);
  EXPECT_EQ(with_entry(layout->base + (std::uint64_t{1} << 33)), plain);
}

TEST(ElfLayout, TellsTheBiasOfEachSegment) {
  ElfLayout layout;
  layout.base = 0x400000;
  layout.segments = {{.offset = 0, .address = 0x400000, .bytes = 0x800},
                     {.offset = 0x1010, .address = 0x402010, .bytes = 0x3000}};
  EXPECT_EQ(layout.bias(0x500000, 0), 0x500000U);
  EXPECT_EQ(layout.bias(0x502000, 0x1000), 0x500000U);
  EXPECT_EQ(layout.bias(0x503000, 0x2000), 0x500000U);
  EXPECT_EQ(layout.bias(0x503000, 0x9000), std::nullopt);
}

TEST(ElfLayout, StaysSoundWhenThisProgramIsCutOrBroken) {
  const auto program = this_program();
  std::vector<char> head(program.begin(), program.begin() + 4096);
  std::mt19937 random(4);
  for (int round = 0; round < 2000; ++round) {
    auto broken = head;
    broken.resize(random() % head.size());
    for (unsigned i = 0; i < 3 && !broken.empty(); ++i) {
      broken[random() % std::min<std::size_t>(broken.size(), 1024)] = static_cast<char>(random());
    }
    const ReadAt object = read_from(std::as_bytes(std::span(broken)));
    if (const auto layout = ElfLayout::read(object)) {
      if (const auto table = compile_object(object, *layout)) expect_sound(*table);
    }
  }
}

}  // namespace
}  // namespace lb::observe
