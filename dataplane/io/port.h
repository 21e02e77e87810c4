// SPDX-License-Identifier: Apache-2.0
// Port: one attached interface: what it is, the XDP program on it, and what was changed on it and
// is put back. Control's thread. Destroying it detaches the program.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "dataplane/base/ethtool.h"
#include "dataplane/base/offloads.h"
#include "dataplane/base/result.h"
#include "dataplane/dataplane.h"
#include "dataplane/io/xdp_program.h"

namespace lb {

class Port {
 public:
  /// Reads the interface; nothing is loaded yet. Errors: ENODEV; EINVAL (not Ethernet, no RX
  /// queues).
  /// `pins` outlives the port.
  [[nodiscard]] static Result<std::unique_ptr<Port>> open(const PortConfig& config,
                                                          const OffloadNotes& notes,
                                                          const PinDir& pins);
  /// Loads the program for it; nothing is attached yet. Errors: BpfError.
  [[nodiscard]] Status load(const FastPath& shared);
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port();

  /// Looks for the link that an lbd before has left on the interface: then attach() takes it over.
  void find_link(XdpMode mode) {
    found_ = XdpProgram::find_link(pins_, link_.ifindex, interface_, mode);
  }
  /// Turns receive VLAN stripping and the VLAN filter off, then attaches the program, or takes the
  /// link over whose program goes on until go_live(). Errors as XdpProgram::attach, and EOPNOTSUPP
  /// when VLAN stripping stays on.
  [[nodiscard]] Status attach(XdpMode mode, bool replace_foreign);
  /// Errors: another XDP program is there.
  [[nodiscard]] Status check_room() const {
    if (found_) return {};
    return XdpProgram::check_room(link_.ifindex, interface_);
  }
  /// From here on our program runs: what attach() replaced is not put back at the end.
  [[nodiscard]] Status go_live() { return program_->go_live(pins_, link_.ifindex); }
  /// All ports are live: from now on detach() means it.
  void settle() noexcept { stays_ = false; }
  /// At the end the interface stays as it is: link, program and what was switched off.
  void leave_as_is() noexcept { stays_ = true; }
  /// Takes the program off. Packets go to the kernel's stack from now on.
  void detach() noexcept;

  /// Tells the program when the interface's MAC address has changed: it passes frames for others
  /// by.
  void follow_mac();
  /// Reads the number of RX queues again and logs when it has changed: packets for VIPs that come
  /// in by a queue without a socket are dropped.
  void follow_queues();

  [[nodiscard]] const std::string& interface() const noexcept { return interface_; }
  [[nodiscard]] const std::string& driver() const noexcept { return driver_; }
  [[nodiscard]] std::uint32_t queues() const noexcept { return queues_; }
  [[nodiscard]] int ifindex() const noexcept { return link_.ifindex; }
  [[nodiscard]] const LinkInfo& link() const noexcept { return link_; }
  [[nodiscard]] bool native() const noexcept { return in_force_.mode == XdpAttachMode::Native; }
  /// REQUIRES: load().
  [[nodiscard]] XdpProgram& program() noexcept { return *program_; }
  [[nodiscard]] const XdpProgram& program() const noexcept { return *program_; }
  /// The interface as it is now; all but copy_mode. Not up when it is gone, or another took its
  /// name.
  [[nodiscard]] PortInfo info() const;

 private:
  [[nodiscard]] std::string queues_problem() const;
  Port(const std::string& interface, LinkInfo link, OffloadNotes notes, const PinDir& pins)
      : pins_(pins),
        interface_(interface),
        link_(link),
        offloads_(interface, std::move(notes), ethtool_offloads()) {}
  const PinDir& pins_;
  std::string interface_;
  std::string driver_;
  LinkInfo link_;
  std::uint32_t queues_ = 0;      ///< with a socket
  std::uint32_t queues_now_ = 0;  ///< at the last look
  PortOffloads offloads_;
  std::string vlan_reason_;  ///< why tagged frames do not all come in; empty: they do
  std::optional<XdpProgram> program_;
  std::optional<BpfLink> found_;  ///< of an lbd before
  bool stays_ = false;            ///< nothing is undone at the end
  XdpProgram::InForce in_force_;
};

/// All ports must have the same number of RX queues, at most LB_QUEUES_MAX. Errors: EINVAL with the
/// `ethtool -L` line.
[[nodiscard]] Status check_queues(const std::vector<std::unique_ptr<Port>>& ports);

}  // namespace lb
