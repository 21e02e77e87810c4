// SPDX-License-Identifier: Apache-2.0
// BpfObject against the running kernel.
#include "dataplane/base/bpf_object.h"

#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "bpf/test_loader.skel.h"

namespace lb {
namespace {

BpfSpec loader_spec(std::vector<std::vector<std::string>> alternatives) {
  std::size_t bytes = 0;
  const void* elf = test_loader__elf_bytes(&bytes);
  BpfSpec spec{.name = "test_loader",
               .elf = {static_cast<const std::byte*>(elf), bytes},
               .constants = {},
               .shared_maps = {},
               .alternatives = std::move(alternatives)};
  spec.constant("answer", std::uint64_t{42});
  return spec;
}

std::uint64_t result(const BpfObject& object, std::uint32_t index) {
  std::uint64_t value = 0;
  EXPECT_EQ(bpf_map_lookup_elem(*object.map_fd("results"), &index, &value), 0);
  return value;
}

const std::vector<std::string> kEvent = {"by_fentry", "by_raw_tp"};
const std::vector<std::string> kGoodXdp = {"good_xdp", "bad_xdp"};

TEST(BpfObject, SetsConstantsAndRunsWhatItAttached) {
  auto object = BpfObject::load(loader_spec({kEvent, kGoodXdp}));
  ASSERT_TRUE(object) << object.error().message;
  EXPECT_EQ(result(*object, 0), 0U);
  auto link = object->attach(object->chosen("by_fentry"));
  ASSERT_TRUE(link) << link.error().message;
  syscall(SYS_getpid);
  EXPECT_EQ(result(*object, 0), 42U);
}

TEST(BpfObject, FallsBackToTheNextAlternativeThatTheKernelTakes) {
  // The verifier refuses the first of the group on every kernel.
  auto object = BpfObject::load(loader_spec({kEvent, {"bad_xdp", "good_xdp"}}));
  ASSERT_TRUE(object) << object.error().message;
  EXPECT_EQ(object->chosen("bad_xdp"), "good_xdp");
  EXPECT_TRUE(object->program_fd("good_xdp"));
  auto refused = object->program_fd("bad_xdp");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, BpfError::NoSuchSymbol);
}

TEST(BpfObject, TellsTheVerifiersReasonInOneLine) {
  auto object = BpfObject::load(loader_spec({kEvent}));  // bad_xdp has no alternative
  ASSERT_FALSE(object);
  EXPECT_EQ(object.error().code, BpfError::Rejected);
  EXPECT_THAT(object.error().message, testing::HasSubstr("outside of the packet"));
  EXPECT_EQ(object.error().message.find('\n'), std::string::npos);
}

TEST(BpfObject, RefusesWhatTheObjectDoesNotHave) {
  auto spec = loader_spec({kEvent, kGoodXdp});
  spec.constant("question", 1);
  EXPECT_EQ(BpfObject::load(spec).error().code, BpfError::NoSuchSymbol);

  auto wrong_size = loader_spec({kEvent, kGoodXdp});
  wrong_size.constants.clear();
  wrong_size.constant("answer", std::uint8_t{1});
  EXPECT_EQ(BpfObject::load(wrong_size).error().code, BpfError::NoSuchSymbol);

  auto no_program = loader_spec({{"nobody"}});
  EXPECT_EQ(BpfObject::load(no_program).error().code, BpfError::NoSuchSymbol);

  auto garbage = loader_spec({});
  garbage.elf = garbage.elf.first(100);
  EXPECT_FALSE(BpfObject::load(garbage));
}

TEST(BpfObject, SharesAMapWithAnotherObject) {
  auto first = BpfObject::load(loader_spec({kEvent, kGoodXdp}));
  ASSERT_TRUE(first);
  auto spec = loader_spec({kEvent, kGoodXdp});
  spec.shared_maps.push_back({"results", *first->map_fd("results")});
  auto second = BpfObject::load(spec);
  ASSERT_TRUE(second) << second.error().message;
  std::array<std::uint8_t, 64> frame{};
  bpf_test_run_opts run{};
  run.sz = sizeof run;
  run.data_in = frame.data();
  run.data_size_in = frame.size();
  ASSERT_EQ(bpf_prog_test_run_opts(*second->program_fd("good_xdp"), &run), 0);
  EXPECT_EQ(result(*first, 1), 42U);
}

/// A bpffs and a loopback interface (index 1) that only this test process sees.
class BpfObjectPins : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(unshare(CLONE_NEWNS | CLONE_NEWNET), 0);
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    ASSERT_EQ(mount("bpf", directory_.c_str(), "bpf", 0, nullptr), 0);
  }
  void TearDown() override {
    umount2(directory_.c_str(), MNT_DETACH);
    rmdir(directory_.c_str());
  }
  std::string directory_ = "/tmp/lb_pins_XXXXXX";
};

TEST_F(BpfObjectPins, OutliveTheObjectAndAreAdopted) {
  const std::string map_path = directory_ + "/results";
  const std::string link_path = directory_ + "/link";
  {
    auto object = BpfObject::load(loader_spec({{"by_raw_tp", "by_fentry"}, kGoodXdp}));
    ASSERT_TRUE(object) << object.error().message;
    ASSERT_TRUE(object->pin_map("results", map_path));
    EXPECT_FALSE(object->pin_map("results", map_path)) << "the path is taken";
    auto link = object->attach_xdp("good_xdp", 1, XdpAttachMode::Generic);
    ASSERT_TRUE(link) << link.error().message;
    ASSERT_TRUE(link->pin(link_path));
  }
  ASSERT_TRUE(*query_xdp(1)) << "a pinned link outlives its process";
  auto map = BpfObject::adopt_map(map_path);
  ASSERT_TRUE(map) << map.error().message;
  auto link = BpfLink::adopt(link_path);
  ASSERT_TRUE(link) << link.error().message;

  auto spec = loader_spec({kEvent, kGoodXdp});
  spec.shared_maps.push_back({"results", map->get()});
  auto successor = BpfObject::load(spec);
  ASSERT_TRUE(successor) << successor.error().message;
  auto before = (*query_xdp(1))->id;
  ASSERT_TRUE(successor->replace(*link, "good_xdp"));
  EXPECT_NE((*query_xdp(1))->id, before);
  EXPECT_TRUE((*query_xdp(1))->by_link);
  EXPECT_TRUE((*query_xdp(1))->generic);
  EXPECT_EQ((*query_xdp(1))->name, "good_xdp");
  ASSERT_TRUE(detach_xdp(1));
  EXPECT_FALSE(*query_xdp(1));
  EXPECT_FALSE(BpfLink::adopt(directory_ + "/nothing"));
}

TEST(BpfObject, CountsWhatItHolds) {
  auto object = BpfObject::load(loader_spec({kEvent, kGoodXdp}));
  ASSERT_TRUE(object);
  auto held = object->held();
  auto named = [&](const std::string& name) {
    return std::ranges::find(held, name, &BpfHeld::name);
  };
  ASSERT_NE(named("results"), held.end());
  EXPECT_EQ(named("results")->type, "array");
  EXPECT_EQ(named("results")->entries_max, 2U);
  EXPECT_GT(named("results")->memory_bytes, 0U);
  ASSERT_NE(named("good_xdp"), held.end());
  EXPECT_NE(named("good_xdp")->id, 0U);
  EXPECT_EQ(named("bad_xdp"), held.end());
}

}  // namespace
}  // namespace lb
