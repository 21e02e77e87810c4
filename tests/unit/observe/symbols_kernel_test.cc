// SPDX-License-Identifier: Apache-2.0
// KernelSymbols: the text of /proc/kallsyms in all its forms, and this kernel's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "observe/symbols/kernel_symbols.h"

namespace lb::observe {
namespace {

using testing::HasSubstr;

constexpr const char* kText =
    "0000000000000000 A fixed_percpu_data\n"
    "ffffffff81000000 T _stext\n"
    "ffffffff81000000 T _text\n"
    "ffffffff81000100 t free_it.part.0\n"
    "ffffffff81000200 W weak_one\n"
    "ffffffff81000300 T _etext\n"
    "ffffffff82000000 D vmemmap_base\n"
    "ffffffffc0001000 t veth_xmit\t[veth]\n"
    "ffffffffc0001800 d veth_ops\t[veth]\n"
    "ffffffffc0003000 t bpf_prog_6deef7357e7b4530_on_alloc\t[bpf]\n"
    "ffffffffc0000800 t early\t[bpf]\n";

KernelSymbols parsed(const std::string& text) {
  auto symbols = KernelSymbols::parse(text);
  EXPECT_TRUE(symbols) << symbols.error().message;
  return symbols ? std::move(*symbols) : KernelSymbols();
}

TEST(KernelSymbols, FindsTheFunctionAnAddressIsIn) {
  const KernelSymbols symbols = parsed(kText);
  const auto at = [&](std::uint64_t address) {
    const auto found = symbols.find(address);
    if (!found) return std::string("none");
    return std::string(found->name) + "+" + std::to_string(found->offset) + "@" +
           std::string(found->module);
  };
  EXPECT_EQ(at(0xffffffff80ffffff), "none");
  EXPECT_EQ(at(0xffffffff81000000), "_stext+0@") << "the first of several";
  EXPECT_EQ(at(0xffffffff810000ff), "_stext+255@");
  EXPECT_EQ(at(0xffffffff81000100), "free_it.part.0+0@");
  EXPECT_EQ(at(0xffffffff81000201), "weak_one+1@");
  EXPECT_EQ(at(0xffffffffc0000800), "early+0@bpf") << "out of order in the text";
  EXPECT_EQ(at(0xffffffffc0001004), "veth_xmit+4@veth");
  EXPECT_EQ(at(0xffffffffc0003010), "bpf_prog_6deef7357e7b4530_on_alloc+16@bpf");
  EXPECT_EQ(at(0xffffffffc0103000), "bpf_prog_6deef7357e7b4530_on_alloc+1048576@bpf");
  EXPECT_EQ(at(0xffffffffc0103001), "none") << "no function is as long";
  EXPECT_EQ(at(0), "none");
  EXPECT_EQ(at(~std::uint64_t{0}), "none");
}

TEST(KernelSymbols, FindsDataByName) {
  const KernelSymbols symbols = parsed(kText);
  EXPECT_EQ(symbols.address_of("vmemmap_base"), 0xffffffff82000000U);
  EXPECT_EQ(symbols.address_of("weak_one"), 0xffffffff81000200U);
  EXPECT_EQ(symbols.address_of("veth_ops"), std::nullopt) << "of a module";
  EXPECT_EQ(symbols.address_of("vmemmap"), std::nullopt);
  EXPECT_EQ(symbols.address_of(""), std::nullopt);
}

TEST(KernelSymbols, KnowsItsCore) {
  const KernelSymbols symbols = parsed(kText);
  EXPECT_TRUE(symbols.in_core(0xffffffff81000000));
  EXPECT_FALSE(symbols.in_core(0xffffffff81000300));
  EXPECT_FALSE(symbols.in_core(0xffffffffc0001000));
  EXPECT_FALSE(parsed("ffffffff81000000 T a\n").in_core(0xffffffff81000000));
}

TEST(KernelSymbols, HiddenAddressesAreAnErrorThatSaysWhatToDo) {
  for (const char* text :
       {"0000000000000000 T _stext\n0000000000000000 t veth_xmit\t[veth]\n", ""}) {
    const auto symbols = KernelSymbols::parse(text);
    ASSERT_FALSE(symbols);
    EXPECT_EQ(symbols.error().code.value(), EPERM);
    EXPECT_THAT(symbols.error().message, HasSubstr("kernel.kptr_restrict=0"));
    EXPECT_THAT(symbols.error().message, HasSubstr("CAP_SYSLOG"));
  }
}

TEST(KernelSymbols, RefusesLinesThatTheKernelNeverWrites) {
  for (const std::string line :
       {"", "x", "ffffffff81000000", "ffffffff81000000 ", "ffffffff81000000 T",
        "ffffffff81000000 T ", "ffffffff81000000  name", "1ffffffff81000000 T name",
        "ffffffff81000000 T name\t[]", "ffffffff81000000 T name\tveth", "-1 T name",
        "ffffffff81000000 T \t[veth]"}) {
    const auto symbols = KernelSymbols::parse("ffffffff81000000 T a\n" + line + "\n");
    ASSERT_FALSE(symbols) << line;
    EXPECT_THAT(symbols.error().message, HasSubstr("line 2: ")) << line;
  }
  EXPECT_FALSE(KernelSymbols::parse(std::string("ffffffff81000000 T a\0b\n", 23)));
}

TEST(KernelSymbols, ReadsThisKernel) {
  const auto symbols = KernelSymbols::read();
  if (!symbols && symbols.error().code.value() == EPERM) {
    GTEST_SKIP() << symbols.error().message;
  }
  ASSERT_TRUE(symbols) << symbols.error().message;
  const auto start = symbols->address_of("_stext");
  ASSERT_TRUE(start);
  EXPECT_TRUE(symbols->in_core(*start));
  // The text of the kernel against a reading of our own, line by line.
  std::ifstream file("/proc/kallsyms");
  std::string line;
  std::size_t checked = 0;
  for (std::size_t number = 0; std::getline(file, line); ++number) {
    const std::uint64_t address = std::stoull(line, nullptr, 16);
    const bool text = line[17] == 't' || line[17] == 'T';
    if (number % 97 != 0 || !text || !symbols->in_core(address)) continue;
    const auto found = symbols->find(address);
    ASSERT_TRUE(found) << line;
    EXPECT_EQ(found->offset, 0U) << line;
    EXPECT_TRUE(found->module.empty()) << line;
    ++checked;
  }
  EXPECT_GT(checked, 100U);
  EXPECT_LT(symbols->memory_bytes(), symbols->size() * 64);
}

}  // namespace
}  // namespace lb::observe
