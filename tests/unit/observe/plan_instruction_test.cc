// SPDX-License-Identifier: Apache-2.0
// The instruction decoder of the attach planner: by hand, against objdump, on random bytes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "observe/plan/x86_instruction.h"

namespace lb::observe {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr RegisterMask kRdi = 1U << 7;
constexpr RegisterMask kRsi = 1U << 6;
constexpr RegisterMask kRax = 1U << 0;
constexpr RegisterMask kRdx = 1U << 2;

Instruction decoded(const Bytes& bytes) {
  const auto instruction = decode(bytes);
  EXPECT_TRUE(instruction);
  return instruction.value_or(Instruction{});
}

TEST(Decode, GivesNothingForNoBytesOrACutInstruction) {
  EXPECT_FALSE(decode({}));
  for (const Bytes& whole : {Bytes{0x48, 0x81, 0xec, 0, 1, 0, 0}, Bytes{0x0f, 0x84, 1, 0, 0, 0},
                             Bytes{0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8},
                             Bytes{0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0}}) {
    EXPECT_EQ(decoded(whole).length, whole.size());
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
      EXPECT_FALSE(decode(std::span(whole).first(bytes))) << bytes;
    }
  }
}

TEST(Decode, RefusesMoreThanFifteenBytes) {
  Bytes bytes(14, 0x66);
  bytes.push_back(0x90);
  EXPECT_EQ(decoded(bytes).length, 15);
  bytes.insert(bytes.begin(), 0x66);
  EXPECT_FALSE(decode(bytes));
}

TEST(Decode, RefusesWhatIsNotAnInstructionIn64BitMode) {
  EXPECT_FALSE(decode(Bytes{0x06}));                          // push %es
  EXPECT_FALSE(decode(Bytes{0x9a, 0, 0, 0, 0, 0, 0}));        // far call
  EXPECT_FALSE(decode(Bytes{0x66, 0xe9, 0, 0, 0, 0}));        // 16-bit jmp
  EXPECT_FALSE(decode(Bytes{0x48, 0x66, 0x90}));              // REX before a prefix
  EXPECT_FALSE(decode(Bytes{0x8f, 0x48, 0x78, 0xc3, 1, 1}));  // XOP
}

TEST(Decode, KnowsWhatTheKernelEmulates) {
  for (const Bytes& bytes : {Bytes{0x53}, Bytes{0x41, 0x54}, Bytes{0x90}, Bytes{0xf3, 0x90},
                             Bytes{0xeb, 0xfe}, Bytes{0xe9, 0, 0, 0, 0}, Bytes{0xe8, 0, 0, 0, 0},
                             Bytes{0x74, 0}, Bytes{0x7f, 0}, Bytes{0x0f, 0x87, 0, 0, 0, 0}}) {
    EXPECT_EQ(decoded(bytes).uprobe, UprobeWay::Emulated) << static_cast<int>(bytes[0]);
  }
  for (const Bytes& bytes :
       {Bytes{0xf3, 0x0f, 0x1e, 0xfa},  // endbr64
        Bytes{0x0f, 0x1f, 0x44, 0, 0},  // nop of 5 bytes
        Bytes{0x48, 0x53},              // push with REX.W
        Bytes{0x5b}, Bytes{0xc3}, Bytes{0x68, 0, 0, 0, 0}, Bytes{0xff, 0x35, 0, 0, 0, 0},
        Bytes{0x48, 0x83, 0xec, 8}, Bytes{0x48, 0x89, 0xf8}, Bytes{0xff, 0x25, 0, 0, 0, 0}}) {
    EXPECT_EQ(decoded(bytes).uprobe, UprobeWay::Stepped) << static_cast<int>(bytes[0]);
  }
  for (const Bytes& bytes : {Bytes{0x66, 0x90}, Bytes{0x41, 0x90}, Bytes{0xf0, 0xff, 0x07},
                             Bytes{0x2e, 0x74, 0}, Bytes{0xcc}, Bytes{0xf4}}) {
    EXPECT_EQ(decoded(bytes).uprobe, UprobeWay::Refused) << static_cast<int>(bytes[0]);
  }
}

TEST(Decode, FindsWhereItGoes) {
  const Instruction backward = decoded({0xeb, 0xfe});
  EXPECT_EQ(backward.flow, Flow::Jump);
  EXPECT_EQ(backward.target, 0);
  const Instruction forward = decoded({0x0f, 0x84, 0x10, 0, 0, 0});
  EXPECT_EQ(forward.flow, Flow::Branch);
  EXPECT_EQ(forward.target, 22);
  EXPECT_EQ(decoded({0xe8, 0xfb, 0xff, 0xff, 0xff}).target, 0);
  const Instruction slot = decoded({0xff, 0x25, 0x10, 0, 0, 0});
  EXPECT_EQ(slot.flow, Flow::IndirectJump);
  EXPECT_EQ(slot.slot, 22);
  EXPECT_FALSE(decoded({0xff, 0xe0}).slot);
  EXPECT_EQ(decoded({0xff, 0xd0}).flow, Flow::IndirectCall);
  EXPECT_EQ(decoded({0xf3, 0xc3}).flow, Flow::Return);
  EXPECT_EQ(decoded({0x0f, 0x0b}).flow, Flow::Stop);
}

TEST(Decode, KnowsWhichRegistersAreWritten) {
  EXPECT_EQ(decoded({0x48, 0x89, 0xfb}).writes, 1U << 3);         // mov %rdi,%rbx
  EXPECT_EQ(decoded({0x48, 0x8b, 0x3f}).writes, kRdi);            // mov (%rdi),%rdi
  EXPECT_EQ(decoded({0x48, 0x89, 0x37}).writes, 0);               // mov %rsi,(%rdi)
  EXPECT_EQ(decoded({0x48, 0x85, 0xff}).writes, 0);               // test %rdi,%rdi
  EXPECT_EQ(decoded({0x48, 0x81, 0xff, 0, 16, 0, 0}).writes, 0);  // cmp $0x1000,%rdi
  EXPECT_EQ(decoded({0x31, 0xf6}).writes, kRsi);                  // xor %esi,%esi
  EXPECT_EQ(decoded({0x40, 0xb7, 0}).writes, kRdi);               // mov $0,%dil
  EXPECT_NE(decoded({0xb2, 0}).writes & kRdx, 0);                 // mov $0,%dl
  EXPECT_NE(decoded({0xb6, 0}).writes & kRdx, 0);                 // mov $0,%dh
  EXPECT_EQ(decoded({0x49, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0}).writes, 1U << 8);
  EXPECT_EQ(decoded({0x48, 0x83, 0xec, 8}).writes, kRsp);
  EXPECT_EQ(decoded({0x53}).writes, kRsp);
  EXPECT_EQ(decoded({0x0f, 0xb6, 0x07}).writes, kRax);                     // movzbl (%rdi),%eax
  EXPECT_EQ(decoded({0x48, 0x0f, 0x44, 0xfe}).writes, kRdi);               // cmove %rsi,%rdi
  EXPECT_EQ(decoded({0xf3, 0x0f, 0x1e, 0xfa}).writes, 0);                  // endbr64
  EXPECT_EQ(decoded({0x66, 0x0f, 0x6e, 0xc7}).writes, 0);                  // movd %edi,%xmm0
  EXPECT_EQ(decoded({0x66, 0x0f, 0x7e, 0xc7}).writes, kRdi);               // movd %xmm0,%edi
  EXPECT_EQ(decoded({0xc4, 0xe2, 0xfb, 0xf7, 0xff}).writes & kRdi, kRdi);  // shrx
  EXPECT_EQ(decoded({0xf3, 0x48, 0xab}).writes, kAllRegisters);            // rep stos
  EXPECT_EQ(decoded({0x0f, 0x05}).writes, kAllRegisters);                  // syscall
}

TEST(Decode, ReadsNoFurtherThanItsBytes) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 200'000; ++i) {
    const std::size_t bytes = random() % 17;
    // Of its own, so that the sanitizer sees a read behind its end.
    Bytes code(bytes);
    for (auto& byte : code) byte = static_cast<std::uint8_t>(random());
    const auto instruction = decode(code);
    if (!instruction) continue;
    ASSERT_GE(instruction->length, 1);
    ASSERT_LE(instruction->length, std::min<std::size_t>(bytes, 15));
  }
}

struct ClosePipe {
  void operator()(FILE* file) const { pclose(file); }
};

/// A line of `objdump -d -w`: "  1234:<tab>48 89 fb <tab>mov ...".
struct Line {
  std::uint64_t address = 0;
  Bytes bytes;
  std::string text;
};
bool parse_line(const std::string& line, Line& out) {
  const std::size_t colon = line.find(":\t");
  const std::size_t tab = colon == std::string::npos ? colon : line.find('\t', colon + 2);
  if (tab == std::string::npos) return false;
  out.address = std::strtoull(line.c_str(), nullptr, 16);
  out.text = line.substr(tab + 1);
  out.bytes.clear();
  const char* at = line.c_str() + colon + 2;
  const char* end = line.c_str() + tab;
  while (at < end) {
    char* next = nullptr;
    const unsigned long value = std::strtoul(at, &next, 16);
    if (next == at || next > end) break;  // the blanks before the text
    out.bytes.push_back(static_cast<std::uint8_t>(value));
    at = next;
  }
  return !out.bytes.empty();
}

/// Data among code (libcrypto has tables there) shows as prefixes alone, (bad), or x87 after fwait.
bool is_data(const Line& line) {
  return line.text.contains("(bad)") || line.text.starts_with(".byte") || line.bytes[0] == 0x9b ||
         line.text.find_first_of(" \n") == std::string::npos || line.text.contains("rex");
}

TEST(Decode, AgreesWithObjdumpOnWholeLibraries) {
  const std::string lib = "/usr/lib/x86_64-linux-gnu/";
  bool any = false;
  for (const std::string& file :
       {lib + "libc.so.6", lib + "libstdc++.so.6", lib + "libjemalloc.so.2",
        std::string("/usr/bin/redis-server"), lib + "libcrypto.so.3"}) {
    if (access(file.c_str(), R_OK) != 0) continue;
    const std::string command = "objdump -d -w " + file + " 2>/dev/null";
    std::unique_ptr<FILE, ClosePipe> pipe(popen(command.c_str(), "r"));
    ASSERT_TRUE(pipe);
    std::array<char, 1024> buffer{};
    std::size_t lines = 0;
    std::size_t wrong = 0;
    std::size_t unknown = 0;
    for (Line line; fgets(buffer.data(), buffer.size(), pipe.get()) != nullptr;) {
      if (!parse_line(buffer.data(), line) || is_data(line)) continue;
      ++lines;
      const auto instruction = decode(line.bytes);
      if (!instruction) ++unknown;
      if (!instruction || instruction->length == line.bytes.size()) continue;
      ++wrong;
      ADD_FAILURE() << file << ": " << int{instruction->length} << " bytes: " << buffer.data();
    }
    if (lines == 0) continue;
    any = true;
    std::printf("%s: %zu instructions, %zu not known\n", file.c_str(), lines, unknown);
    EXPECT_EQ(wrong, 0U);
    EXPECT_LE(unknown * 1000, lines) << file;
  }
  if (!any) GTEST_SKIP() << "objdump is not installed";
}

}  // namespace
}  // namespace lb::observe
