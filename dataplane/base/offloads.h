// SPDX-License-Identifier: Apache-2.0
// Offloads: what a NIC does to VLAN tagged frames before XDP sees them is switched off while a port
// is attached to and put back afterwards. A note on disk tells lbctl reset, or the next lbd, what
// an lbd that was killed has left switched off. Control's thread and lbctl.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace lb {

enum class Offload : std::uint8_t {
  VlanStripping,  ///< takes the tag out of the frame
  VlanFilter,     ///< drops frames of VLANs that have no VLAN device
};
/// As ethtool -K has it: "rx-vlan-offload", "rx-vlan-filter".
[[nodiscard]] std::string_view offload_name(Offload offload);

/// Where offloads are read and set: ethtool, or a test's own.
class OffloadDevice {
 public:
  virtual ~OffloadDevice() = default;
  [[nodiscard]] virtual bool on(const std::string& interface, Offload offload) const = 0;
  /// Errors: EOPNOTSUPP when the driver keeps it as it is.
  [[nodiscard]] virtual Status set(const std::string& interface, Offload offload, bool on) = 0;
};
[[nodiscard]] OffloadDevice& ethtool_offloads();

struct OffloadNote {
  std::string interface;
  Offload offload{};
  bool operator==(const OffloadNote&) const = default;
};

/// The notes, a line each: "eth0 rx-vlan-offload". Written at once; the last one takes the file
/// along.
class OffloadNotes {
 public:
  /// `path` empty: nothing is noted.
  explicit OffloadNotes(std::string path) : path_(std::move(path)) {}
  /// Of lines that are no notes nothing is said.
  [[nodiscard]] std::vector<OffloadNote> all() const;
  [[nodiscard]] bool has(const OffloadNote& note) const;
  [[nodiscard]] Status add(const OffloadNote& note);
  [[nodiscard]] Status remove(const OffloadNote& note);

 private:
  [[nodiscard]] Status write(const std::vector<OffloadNote>& notes) const;
  std::string path_;
};
/// Where an lbd whose API is at `socket` keeps its notes.
[[nodiscard]] std::string offload_notes_path(const std::string& socket);

/// Puts back what a note says and crosses it out. Errors: those of OffloadDevice::set.
[[nodiscard]] Status put_back(const OffloadNote& note, OffloadNotes& notes, OffloadDevice& device);

/// What was switched off on one interface.
class PortOffloads {
 public:
  PortOffloads(std::string interface, OffloadNotes notes, OffloadDevice& device)
      : interface_(std::move(interface)), notes_(std::move(notes)), device_(device) {}
  PortOffloads(const PortOffloads&) = delete;
  PortOffloads& operator=(const PortOffloads&) = delete;
  /// Puts all of it back, what a dead lbd had switched off included. Best effort: the interface may
  /// be gone.
  ~PortOffloads();

  /// Leaves it off for the next lbd, which finds the notes.
  void keep() noexcept { switched_off_.clear(); }
  /// Notes it and switches it off; nothing to do where it is off. Errors: those of
  /// OffloadDevice::set, and of the note: then it is as it was.
  [[nodiscard]] Status switch_off(Offload offload);

 private:
  std::string interface_;
  OffloadNotes notes_;
  OffloadDevice& device_;
  std::vector<Offload> switched_off_;
};

}  // namespace lb
