// SPDX-License-Identifier: Apache-2.0
// XdpProgram: bpf/lb_xdp.bpf.c on one port. All ports of an lbd share the VIP map; sockets,
// settings and counters are the port's own. Control's thread; the packet path never calls it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/bpf_object.h"
#include "dataplane/base/drop_reason.h"
#include "dataplane/dataplane.h"

namespace lb {

class XdpProgram {
 public:
  /// What is in force after attach().
  struct InForce {
    XdpAttachMode mode = XdpAttachMode::Native;
    std::string reason;  ///< why not native; empty when it is
    std::uint32_t program_id = 0;
  };
  struct CounterValues {
    std::uint64_t passed = 0, redirected = 0, panic_passed = 0;
    std::array<std::uint64_t, kDropReasons> drops{};
  };

  /// Loads the program. `first` is the program of another port whose VIP map is shared, or null.
  /// Errors: BpfError, as BpfObject::load.
  [[nodiscard]] static Result<XdpProgram> load(const XdpProgram* first);

  /// Whether another program is on the interface. Errors: Occupied, with its name and id.
  [[nodiscard]] static Status check_room(int ifindex, const std::string& interface);
  /// Attaches by a bpf_link. Auto: native, else generic with the reason. A program that is there
  /// already is refused as in check_room() unless `replace_foreign`: then it is taken off, and put
  /// back on an error and by detach(), until keep(). Errors: Occupied, Unsupported, NoPermission,
  /// Failed.
  [[nodiscard]] Result<InForce> attach(int ifindex, const std::string& interface, XdpMode mode,
                                       bool replace_foreign);
  /// The start is a success: the program that was replaced is not put back any more.
  void keep() noexcept { replaced_ = TakenXdp(); }
  /// Takes the program off the interface; harmless when the interface is gone.
  void detach() noexcept;

  /// Enters a bound AF_XDP socket for RX queue `queue` (< LB_QUEUES_MAX), or takes it out (fd < 0).
  [[nodiscard]] Status set_socket(std::uint32_t queue, int socket_fd);
  [[nodiscard]] Status set_panic(bool on);
  /// The port's own address: frames for others are passed by.
  [[nodiscard]] Status set_mac(const MacAddr& mac);
  /// The shared VIP map; through any port's program. Errors: E2BIG when it is full.
  [[nodiscard]] Status put_vip(const lb_vip_key& key, const lb_vip_value& value);
  [[nodiscard]] Status delete_vip(const lb_vip_key& key);

  [[nodiscard]] CounterValues counters() const;
  [[nodiscard]] const BpfObject& object() const noexcept { return object_; }
  [[nodiscard]] const BpfLink& link() const noexcept { return link_; }

 private:
  explicit XdpProgram(BpfObject object) : object_(std::move(object)) {}
  [[nodiscard]] Result<InForce> attach_to(int ifindex, const std::string& interface, XdpMode mode);
  [[nodiscard]] Status write_settings();
  BpfObject object_;
  BpfLink link_;
  TakenXdp replaced_;
  lb_settings settings_{};
  int xsks_ = -1, vips_ = -1, settings_map_ = -1, counters_ = -1, program_ = -1;  // object_'s
};

}  // namespace lb
