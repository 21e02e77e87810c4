// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/offloads.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <tuple>

#include "dataplane/base/ethtool.h"

namespace lb {
namespace {

constexpr std::array kOffloads = {Offload::VlanStripping, Offload::VlanFilter};

class Ethtool final : public OffloadDevice {
 public:
  bool on(const std::string& interface, Offload offload) const override {
    return offload == Offload::VlanStripping ? strips_vlan(interface) : filters_vlan(interface);
  }
  Status set(const std::string& interface, Offload offload, bool on) override {
    return offload == Offload::VlanStripping ? set_strips_vlan(interface, on)
                                             : set_filters_vlan(interface, on);
  }
};

}  // namespace

std::string_view offload_name(Offload offload) {
  return offload == Offload::VlanStripping ? "rx-vlan-offload" : "rx-vlan-filter";
}

OffloadDevice& ethtool_offloads() {
  static Ethtool device;
  return device;
}

std::string offload_notes_path(const std::string& socket) { return socket + ".offloads"; }

std::vector<OffloadNote> OffloadNotes::all() const {
  std::vector<OffloadNote> notes;
  std::ifstream file(path_);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string interface;
    std::string name;
    words >> interface >> name;
    auto known = std::ranges::find(kOffloads, name, offload_name);
    if (known != kOffloads.end()) notes.push_back({interface, *known});
  }
  return notes;
}

bool OffloadNotes::has(const OffloadNote& note) const {
  const auto notes = all();
  return std::ranges::find(notes, note) != notes.end();
}

Status OffloadNotes::add(const OffloadNote& note) {
  if (path_.empty()) return {};
  auto notes = all();
  if (std::ranges::find(notes, note) != notes.end()) return {};
  notes.push_back(note);
  return write(notes);
}

Status OffloadNotes::remove(const OffloadNote& note) {
  if (path_.empty()) return {};
  auto notes = all();
  if (std::erase(notes, note) == 0) return {};
  if (!notes.empty()) return write(notes);
  if (std::remove(path_.c_str()) != 0) return fail_errno(errno, path_);
  return {};
}

Status OffloadNotes::write(const std::vector<OffloadNote>& notes) const {
  const std::string next = path_ + ".new";
  std::ofstream file(next, std::ios::trunc);
  for (const OffloadNote& note : notes) {
    file << note.interface << ' ' << offload_name(note.offload) << '\n';
  }
  file.close();
  if (!file || std::rename(next.c_str(), path_.c_str()) != 0) return fail_errno(errno, path_);
  return {};
}

Status put_back(const OffloadNote& note, OffloadNotes& notes, OffloadDevice& device) {
  LB_TRY(device.set(note.interface, note.offload, true));
  return notes.remove(note);
}

Status PortOffloads::switch_off(Offload offload) {
  const OffloadNote note{interface_, offload};
  if (device_.on(interface_, offload)) {
    LB_TRY(notes_.add(note));
    if (auto off = device_.set(interface_, offload, false); !off) {
      std::ignore = notes_.remove(note);
      return off;
    }
  } else if (!notes_.has(note)) {
    return {};
  }
  switched_off_.push_back(offload);
  return {};
}

PortOffloads::~PortOffloads() {
  for (Offload offload : switched_off_) {
    std::ignore = put_back({interface_, offload}, notes_, device_);
  }
}

}  // namespace lb
