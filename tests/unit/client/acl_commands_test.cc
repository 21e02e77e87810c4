// SPDX-License-Identifier: Apache-2.0
// add-acl, del-acl and show acl against a fake lbd.
#include "control/client/acl_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/client/fake_lbd.h"

namespace lb::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kPath = "/v1/services/192.0.2.10%3A80%2Ftcp/acl";
constexpr const char* kWeb = "192.0.2.10:80/tcp";

std::string change(int before, int after) {
  return R"({"service":"192.0.2.10:80/tcp","acl_entries_before":)" + std::to_string(before) +
         R"(,"acl_entries":)" + std::to_string(after) + "}";
}

TEST(LbctlAcl, PrefixListsHaveCommentsAndBlankLines) {
  auto list = read_prefix_list("# bad people\n10.0.0.0/8\n\n \t192.0.2.1 # one\r\n2001:db8::/32");
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_THAT(*list, ElementsAre("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"));
  auto bad = read_prefix_list("10.0.0.0/8\n\n10.1.2.3/8\n");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, HasSubstr("line 3: \"10.1.2.3/8\" has bits set"));
}

TEST(LbctlAcl, PostsPrefixesAndAction) {
  FakeLbd lbd;
  lbd.answer(std::string("POST ") + kPath, change(3, 5));
  auto ran = run_lbctl(lbd.socket(), {"add-acl", kWeb, "10.0.0.0/8", "192.0.2.1", "--deny"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out,
            "added 2 entries to the access list of 192.0.2.10:80/tcp; it has 5 "
            "entries now\n");
  ran = run_lbctl(lbd.socket(), {"add-acl", kWeb, "10.0.0.0/8", "--limit", "100", "--burst", "7"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  ASSERT_EQ(lbd.seen().size(), 2U);
  EXPECT_EQ(lbd.seen()[0].body, R"({"action":"deny","prefixes":["10.0.0.0/8","192.0.2.1/32"]})");
  EXPECT_EQ(lbd.seen()[1].body, R"({"limit":100,"burst":7,"prefixes":["10.0.0.0/8"]})");
}

TEST(LbctlAcl, AWrongCommandLineAsksNothing) {
  FakeLbd lbd;
  EXPECT_EQ(run_lbctl(lbd.socket(), {"add-acl", kWeb, "10.0.0.0/8"}).code, 2);
  EXPECT_EQ(run_lbctl(lbd.socket(), {"add-acl", kWeb, "10.0.0.0/8", "--deny", "--allow"}).code, 2);
  EXPECT_EQ(run_lbctl(lbd.socket(), {"add-acl", kWeb, "--deny"}).code, 2);
  EXPECT_EQ(run_lbctl(lbd.socket(), {"add-acl", kWeb, "10.0.0.0/8", "--deny", "--burst", "5"}).code,
            2);
  EXPECT_EQ(run_lbctl(lbd.socket(), {"del-acl", kWeb}).code, 2);
  EXPECT_EQ(run_lbctl(lbd.socket(), {"del-acl", kWeb, "10.0.0.0/8", "--all"}).code, 2);
  auto bad = run_lbctl(lbd.socket(), {"add-acl", kWeb, "10.0.0.1/8", "--deny"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_THAT(bad.err, HasSubstr("write 10.0.0.0/8 for the network"));
  EXPECT_TRUE(lbd.seen().empty());
}

class LbctlAclFile : public testing::Test {
 protected:
  void write(int prefixes, const std::string& more = "") {
    std::ofstream file(path_);
    for (int i = 0; i < prefixes; ++i) {
      file << "10." << i / 65536 << '.' << i / 256 % 256 << '.' << i % 256 << '\n';
    }
    file << more;
  }
  TempDir folder_;
  std::string path_ = folder_.file("list");
  FakeLbd lbd_;
};

TEST_F(LbctlAclFile, ALongListGoesInParts) {
  write(25'000);
  lbd_.answer(std::string("POST ") + kPath, change(0, 25'000));
  auto ran = run_lbctl(lbd_.socket(), {"add-acl", kWeb, "--deny", "--file", path_});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("added 25000 entries"));
  EXPECT_EQ(lbd_.seen().size(), 3U);
}

TEST_F(LbctlAclFile, IsCheckedWholeBeforeAnythingIsSent) {
  write(25'000, "10.0.0.1/8\n");
  auto ran = run_lbctl(lbd_.socket(), {"add-acl", kWeb, "--deny", "--file", path_});
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.err, HasSubstr(path_ + ": line 25001: "));
  EXPECT_TRUE(lbd_.seen().empty());
  EXPECT_THAT(run_lbctl(lbd_.socket(), {"add-acl", kWeb, "--deny", "--file", path_ + "x"}).err,
              HasSubstr("No such file"));
  write(0, "# nobody\n");
  EXPECT_THAT(run_lbctl(lbd_.socket(), {"add-acl", kWeb, "--deny", "--file", path_}).err,
              HasSubstr("has no prefix"));
}

TEST_F(LbctlAclFile, ARefusalInTheMiddleIsStatusThree) {
  write(25'000);
  lbd_.answer(std::string("POST ") + kPath, change(0, 10'000));
  lbd_.answer(std::string("POST ") + kPath,
              R"({"error":{"code":"table_full","message":"no room"}})", 422);
  auto ran = run_lbctl(lbd_.socket(), {"add-acl", kWeb, "--deny", "--file", path_});
  EXPECT_EQ(ran.code, 3);
  EXPECT_THAT(ran.err, HasSubstr("lbctl: no room\n"));
  EXPECT_THAT(ran.err, HasSubstr("10000 of 25000 prefixes were added before that and stay so"));
}

TEST(LbctlAcl, RemovesSomeOrAll) {
  FakeLbd lbd;
  lbd.answer(std::string("POST ") + kPath + "/remove", change(3, 2));
  lbd.answer(std::string("DELETE ") + kPath, change(2, 0));
  auto some = run_lbctl(lbd.socket(), {"del-acl", kWeb, "10.0.0.0/8"});
  EXPECT_EQ(some.code, 0) << some.err;
  EXPECT_THAT(some.out, HasSubstr("removed 1 entry"));
  EXPECT_THAT(run_lbctl(lbd.socket(), {"del-acl", kWeb, "--all"}).out, HasSubstr("2 entries"));
  EXPECT_EQ(lbd.seen()[0].body, R"({"prefixes":["10.0.0.0/8"]})");
}

TEST(LbctlAcl, ShowsATable) {
  FakeLbd lbd;
  lbd.answer("GET /v1/acl?limit=1000",
             R"({"entries":[{"service":"192.0.2.10:80/tcp","prefix":"10.0.0.0/8","action":"deny",)"
             R"("limit":null,"burst":null,"packets":7,"bytes":700,"passed":0,"dropped":7},)"
             R"({"service":"192.0.2.10:80/tcp","prefix":"10.1.0.0/16","action":"limit","limit":5,)"
             R"("burst":9,"packets":9,"bytes":900,"passed":5,"dropped":4}],"shown":2,"total":3})");
  EXPECT_EQ(run_lbctl(lbd.socket(), {"show", "acl"}).out,
            "SERVICE            PREFIX       ACTION              PACKETS  BYTES  PASSED  DROPPED\n"
            "192.0.2.10:80/tcp  10.0.0.0/8   deny                      7    700       0        7\n"
            "192.0.2.10:80/tcp  10.1.0.0/16  limit 5/s, burst 9        9    900       5        4\n"
            "2 of 3 entries; --limit N shows more\n"
            "a client that no entry covers is allowed\n");
  lbd.answer("GET /v1/acl?limit=1000&service=192.0.2.10%3A80%2Ftcp&match=11.0.0.1",
             R"({"entries":[],"shown":0,"total":0})");
  EXPECT_EQ(run_lbctl(lbd.socket(), {"show", "acl", kWeb, "--match", "11.0.0.1"}).out,
            "11.0.0.1 is allowed: no entry covers it\n");
}

}  // namespace
}  // namespace lb::client
