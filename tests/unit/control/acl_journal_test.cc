// SPDX-License-Identifier: Apache-2.0
// AclJournal: what is saved is read again, by appending; a torn end counts for nothing.
#include "control/acl_journal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "tests/unit/control/control_fixture.h"

namespace lb {
namespace {

using testing::HasSubstr;
using Lists = AclJournal::Lists;

AclEntry entry(const std::string& prefix, std::uint32_t rate = LB_ACL_DENY,
               std::uint32_t burst = 0) {
  return {.prefix = *IpPrefix::parse(prefix), .rate = rate, .burst = burst};
}
const ServiceAddr kWeb6 = service_addr("[2001:db8::10]:443/tcp");

class AclJournalTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() / "acl-journal-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/state.json.acl";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string text() const {
    std::stringstream all;
    all << std::ifstream(path_).rdbuf();
    return all.str();
  }
  [[nodiscard]] Lists load() const {
    auto lists = AclJournal::load(path_);
    EXPECT_TRUE(lists) << lists.error().message;
    return lists ? *lists : Lists{};
  }
  std::string folder_, path_;
};

TEST_F(AclJournalTest, NothingToSaveMakesNoFile) {
  AclJournal journal(path_);
  ASSERT_TRUE(journal.save({}));
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_TRUE(load().empty());
}

TEST_F(AclJournalTest, SavesAllKindsOfEntries) {
  Lists lists;
  lists[kWeb] = {17, Acl::of({entry("10.0.0.0/8"), entry("10.1.0.0/16", LB_ACL_ALLOW),
                              entry("0.0.0.0/0", 1000, 2000)})};
  lists[kWeb6] = {0xffffffffffffffff, Acl::of({entry("2001:db8::/32")})};
  lists[service_addr("192.0.2.10:any/udp")] = {5, Acl()};  // the file's list was cleared
  AclJournal journal(path_);
  ASSERT_TRUE(journal.save(lists));
  EXPECT_EQ(load(), lists);
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(AclJournalTest, AppendsWhatChanged) {
  Lists lists;
  std::vector<AclEntry> many;
  for (int i = 0; i < 5000; ++i)
    many.push_back(entry(fmt::format("10.{}.{}.0/24", i / 250, i % 250)));
  lists[kWeb] = {0, Acl::of(many)};
  AclJournal journal(path_);
  ASSERT_TRUE(journal.save(lists));
  const std::string before = text();
  lists[kWeb].list = lists[kWeb].list.with({entry("11.0.0.0/8", 5, 6)});
  lists[kWeb].list = lists[kWeb].list.without({*IpPrefix::parse("10.0.0.0/24")});
  ASSERT_TRUE(journal.save(lists));
  ASSERT_TRUE(journal.save(lists));
  EXPECT_EQ(text(), before +
                        "change 192.0.2.10:80/tcp 0000000000000000\n+11.0.0.0/8 limit 5 6\n"
                        "-10.0.0.0/24\n.\n");
  EXPECT_EQ(load(), lists);
  lists.clear();
  ASSERT_TRUE(journal.save(lists));
  EXPECT_TRUE(load().empty());
}

TEST_F(AclJournalTest, IsWrittenAnewWhenMostIsHistory) {
  AclJournal journal(path_);
  Lists lists;
  lists[kWeb] = {0, Acl::of({entry("10.0.0.0/8")})};
  std::uintmax_t largest = 0;
  for (std::uint32_t i = 1; i < 2000; ++i) {
    lists[kWeb].list = Acl::of({entry("10.0.0.0/8", i, i)});
    ASSERT_TRUE(journal.save(lists));
    largest = std::max(largest, std::filesystem::file_size(path_));
  }
  EXPECT_LT(largest, 60'000U);
  EXPECT_EQ(load(), lists);
}

TEST_F(AclJournalTest, WhatIsCutOffCountsForNothing) {
  AclJournal journal(path_);
  Lists lists;
  lists[kWeb] = {3, Acl::of({entry("10.0.0.0/8"), entry("11.0.0.0/8")})};
  ASSERT_TRUE(journal.save(lists));
  const std::string first = text();
  Lists next = lists;
  next[kWeb].list = next[kWeb].list.with({entry("12.0.0.0/8", 7, 8)});
  next[kWeb6] = {0, Acl::of({entry("::/0")})};
  ASSERT_TRUE(journal.save(next));
  const std::string whole = text();
  for (std::size_t size = first.size(); size < whole.size(); ++size) {
    auto read = AclJournal::parse(whole.substr(0, size));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, lists) << size;
  }
  EXPECT_EQ(*AclJournal::parse(whole), next);
}

TEST_F(AclJournalTest, ATornEndIsNotAppendedTo) {
  {
    std::ofstream file(path_);
    file << "sluice-acl 1\nlist 192.0.2.10:80/tcp 0\n+10.0.0.0/8 deny\n.\nchange 192.0.2.10:80/tcp "
            "0\n+11.";
  }
  Lists lists = load();
  EXPECT_EQ(lists[kWeb].list.size(), 1U);
  AclJournal journal(path_);
  lists[kWeb].list = lists[kWeb].list.with({entry("12.0.0.0/8")});
  ASSERT_TRUE(journal.save(lists));
  EXPECT_EQ(load(), lists);
}

TEST_F(AclJournalTest, AFailedSaveIsMadeUpFor) {
  AclJournal journal(path_);
  Lists lists;
  lists[kWeb] = {0, Acl::of({entry("10.0.0.0/8")})};
  ASSERT_TRUE(journal.save(lists));
  std::filesystem::remove(path_);
  lists[kWeb6] = {0, Acl::of({entry("::/0")})};
  auto failed = journal.save(lists);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr(path_));
  ASSERT_TRUE(journal.save(lists)) << "whole";
  EXPECT_EQ(load(), lists);
}

TEST_F(AclJournalTest, NamesTheLineThatIsWrong) {
  const std::string head = "sluice-acl 1\nlist 192.0.2.10:80/tcp 0\n";
  for (const char* line :
       {"+10.0.0.0/8", "+10.0.0.1/8 deny", "+10.0.0.0/8 limit 5", "+10.0.0.0/8 limit 0 1",
        "+10.0.0.0/8 deny x", "+10.0.0.0/8 drop", "-10.0.0.0/8 deny", "nonsense",
        "change 192.0.2.11:80/tcp 0", "forget 192.0.2.11:80/tcp", "list 192.0.2.10:80/tcp",
        "list 192.0.2.10 0", ""}) {
    auto lists = AclJournal::parse(head + line + "\n.\n");
    ASSERT_FALSE(lists) << line;
    EXPECT_THAT(lists.error().message, HasSubstr("line 3 ")) << line;
  }
  EXPECT_FALSE(AclJournal::parse("sluice-acl 2\n"));
  EXPECT_FALSE(AclJournal::parse(""));
  EXPECT_FALSE(AclJournal::parse("sluice-acl 1\n+10.0.0.0/8 deny\n.\n")) << "of no service";
}

TEST_F(AclJournalTest, RandomChangesAreReadAgain) {
  std::mt19937 random(5);
  AclJournal journal(path_);
  Lists lists;
  const std::vector<ServiceAddr> services{kWeb, kWeb6, service_addr("192.0.2.10:81/tcp")};
  for (int i = 0; i < 1000; ++i) {
    const ServiceAddr& service = services[random() % services.size()];
    if (random() % 20 == 0) {
      lists.erase(service);
    } else {
      OverlayAcl& acl = lists[service];
      acl.basis = random() % 3;
      const auto prefix =
          *IpPrefix::parse(service.vip.is_v4() ? fmt::format("10.0.{}.0/24", random() % 100)
                                               : fmt::format("2001:db8:{}::/48", random() % 100));
      acl.list = random() % 3 == 0
                     ? acl.list.without({prefix})
                     : acl.list.with({{prefix, 1 + static_cast<std::uint32_t>(random() % 5), 1}});
    }
    ASSERT_TRUE(journal.save(lists));
    if (i % 50 == 0) {
      ASSERT_EQ(load(), lists) << i;
    }
  }
  EXPECT_EQ(load(), lists);
}

}  // namespace
}  // namespace lb
