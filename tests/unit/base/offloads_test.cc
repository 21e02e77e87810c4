// SPDX-License-Identifier: Apache-2.0
// PortOffloads and its notes over a fake NIC: what is switched off comes back, after a kill too.
#include "dataplane/base/offloads.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

namespace lb {
namespace {

class FakeNic : public OffloadDevice {
 public:
  bool on(const std::string&, Offload offload) const override { return on_.contains(offload); }
  Status set(const std::string&, Offload offload, bool on) override {
    if (fixed_.contains(offload)) return fail(EOPNOTSUPP, "fixed");
    if (on) {
      on_.insert(offload);
    } else {
      on_.erase(offload);
    }
    return {};
  }
  std::set<Offload> on_, fixed_;
};

class Offloads : public testing::Test {
 protected:
  Offloads() {
    std::string name = (std::filesystem::temp_directory_path() / "lb-offloads-XXXXXX").string();
    directory_ = mkdtemp(name.data());
    path_ = directory_ / "lbd.sock.offloads";
  }
  ~Offloads() override { std::filesystem::remove_all(directory_); }
  std::unique_ptr<PortOffloads> attach() {
    return std::make_unique<PortOffloads>("eth0", OffloadNotes(path_), nic_);
  }
  /// What a kill -9 leaves: the NIC as it is, and the notes.
  void die_attached() {
    auto copy = path_.string() + ".kept";
    auto port = attach();
    EXPECT_TRUE(port->switch_off(Offload::VlanStripping));
    auto off = nic_.on_;
    std::filesystem::copy(path_, copy);
    port.reset();
    nic_.on_ = off;
    std::filesystem::rename(copy, path_);
  }

  FakeNic nic_;
  std::filesystem::path directory_, path_;
};

TEST_F(Offloads, ComeBackWithTheEndAndLeaveNoNote) {
  nic_.on_ = {Offload::VlanStripping, Offload::VlanFilter};
  auto port = attach();
  ASSERT_TRUE(port->switch_off(Offload::VlanStripping));
  ASSERT_TRUE(port->switch_off(Offload::VlanFilter));
  EXPECT_TRUE(nic_.on_.empty());
  EXPECT_EQ(OffloadNotes(path_).all().size(), 2U);
  port.reset();
  EXPECT_EQ(nic_.on_.size(), 2U);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Offloads, WhatWasOffStaysOff) {
  auto port = attach();
  ASSERT_TRUE(port->switch_off(Offload::VlanStripping));
  EXPECT_FALSE(std::filesystem::exists(path_));
  port.reset();
  EXPECT_TRUE(nic_.on_.empty());
}

TEST_F(Offloads, OneThatIsFixedIsAnErrorAndNotNoted) {
  nic_.on_ = nic_.fixed_ = {Offload::VlanFilter};
  auto port = attach();
  EXPECT_FALSE(port->switch_off(Offload::VlanFilter));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Offloads, AfterAKillTheNextOnePutsThemBack) {
  nic_.on_ = {Offload::VlanStripping};
  die_attached();
  ASSERT_TRUE(nic_.on_.empty());
  auto port = attach();
  ASSERT_TRUE(port->switch_off(Offload::VlanStripping));
  port.reset();
  EXPECT_TRUE(nic_.on_.contains(Offload::VlanStripping));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Offloads, AfterAKillANoteIsEnoughToPutThemBack) {
  nic_.on_ = {Offload::VlanStripping};
  die_attached();
  OffloadNotes notes(path_);
  auto all = notes.all();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0], (OffloadNote{"eth0", Offload::VlanStripping}));
  ASSERT_TRUE(put_back(all[0], notes, nic_));
  EXPECT_TRUE(nic_.on_.contains(Offload::VlanStripping));
  EXPECT_TRUE(notes.all().empty());
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Offloads, NoteThatCannotBeWrittenLeavesTheNicAsItWas) {
  nic_.on_ = {Offload::VlanStripping};
  PortOffloads port("eth0", OffloadNotes(directory_ / "no" / "such"), nic_);
  EXPECT_FALSE(port.switch_off(Offload::VlanStripping));
  EXPECT_TRUE(nic_.on_.contains(Offload::VlanStripping));
}

TEST_F(Offloads, LinesThatAreNoNotesAreLeftOut) {
  std::ofstream(path_)
      << "eth0 rx-vlan-filter\n\neth1\neth1 tso\n\x01\x02\neth2 rx-vlan-offload x\n";
  auto all = OffloadNotes(path_).all();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1].interface, "eth2");
}

}  // namespace
}  // namespace lb
