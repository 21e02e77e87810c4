// SPDX-License-Identifier: Apache-2.0
// XdpProgram: bpf/lb_xdp.bpf.c on one port. What all ports of an lbd share is FastPath's; sockets,
// settings and counters are the port's own. Control's thread; the packet path never calls it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/addr.h"
#include "dataplane/base/bpf_object.h"
#include "dataplane/base/drop_reason.h"
#include "dataplane/dataplane.h"
#include "dataplane/io/fast_path.h"

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
    std::uint64_t passed = 0, panic_passed = 0;
    std::uint64_t sent = 0;        ///< by XDP_TX
    std::uint64_t redirected = 0;  ///< to another port
    std::uint64_t alone = 0;       ///< decided without the worker that should have
    std::array<std::uint64_t, LB_HAND_REASON_COUNT> handed{};  ///< to AF_XDP, by lb_hand_reason
    std::array<std::uint64_t, kDropReasons> drops{};
    [[nodiscard]] std::uint64_t handed_sum() const noexcept {
      std::uint64_t sum = 0;
      for (std::uint64_t one : handed) sum += one;
      return sum;
    }
  };

  /// How it is built, for tests and benchmarks.
  struct Build {
    std::span<const std::byte> elf{};  ///< empty: the program itself
    bool short_way = true;             ///< xdp_shortcut.bpf.h; what it decides is the same without
  };
  /// Loads the program over what all ports share. Errors: BpfError, as BpfObject::load.
  [[nodiscard]] static Result<XdpProgram> load(const FastPath& shared, const Build& build);
  [[nodiscard]] static Result<XdpProgram> load(const FastPath& shared) {
    return load(shared, Build{});
  }
  /// Its double that explains (XdpExplainer): with counters of its own, by the settings and sockets
  /// of `port`. Never attached.
  [[nodiscard]] static Result<XdpProgram> load_explaining(const FastPath& shared,
                                                          const XdpProgram& port);

  /// The link that an lbd has left in `pins` on this interface, if it goes on by it: in mode
  /// `mode`. A pin that is something else, or has no interface any more, is removed, with a line in
  /// the log.
  [[nodiscard]] static std::optional<BpfLink> find_link(const PinDir& pins, int ifindex,
                                                        const std::string& interface, XdpMode mode);
  /// Removes the pinned links of interfaces that are none of these: so the program leaves them.
  static void remove_other_links(const PinDir& pins, std::span<const int> ifindexes);

  /// Whether another program is on the interface. Errors: Occupied, with its name and id.
  [[nodiscard]] static Status check_room(int ifindex, const std::string& interface);
  /// Attaches by a bpf_link. Auto: native, else generic with the reason. A program that is there
  /// already is refused as in check_room() unless `replace_foreign`: then it is taken off, and put
  /// back on an error and by detach(), until keep(). Errors: Occupied, Unsupported, NoPermission,
  /// Failed.
  [[nodiscard]] Result<InForce> attach(int ifindex, const std::string& interface, XdpMode mode,
                                       bool replace_foreign);
  /// Instead: the program goes on to run that the link has, until go_live().
  [[nodiscard]] InForce adopt(BpfLink link, int ifindex);
  /// From here on this program runs, without a gap where an adopted link had another one, and the
  /// link is kept in `pins` when this process ends. What attach() replaced is not put back any
  /// more.
  [[nodiscard]] Status go_live(const PinDir& pins, int ifindex);
  /// Takes the program off the interface; harmless when the interface is gone. An adopted link is
  /// left as it was found unless the program is live.
  void detach(const PinDir& pins, int ifindex) noexcept;

  /// Enters a bound AF_XDP socket for RX queue `queue` (< LB_QUEUES_MAX), or takes it out (fd < 0).
  [[nodiscard]] Status set_socket(std::uint32_t queue, int socket_fd);
  [[nodiscard]] Status set_panic(bool on);
  /// The port's own address: frames for others are passed by.
  [[nodiscard]] Status set_mac(const MacAddr& mac);
  /// Who forwards: see lb_settings. `sends`: bit n, packets for port n may leave from here by XDP.
  struct Forwarding {
    PortIndex port{};
    lb_engine engine = LB_ENGINE_HYBRID;
    std::uint32_t sends = 0;
    std::uint32_t stale_ms = 1'000;
  };
  [[nodiscard]] Status set_forwarding(const Forwarding& forwarding);

  [[nodiscard]] CounterValues counters() const;
  [[nodiscard]] const BpfObject& object() const noexcept { return object_; }
  [[nodiscard]] const BpfLink& link() const noexcept { return link_; }

 private:
  explicit XdpProgram(BpfObject object) : object_(std::move(object)) {}
  [[nodiscard]] static Result<XdpProgram> load(const BpfSpec& spec);
  [[nodiscard]] Result<InForce> attach_to(int ifindex, const std::string& interface, XdpMode mode);
  [[nodiscard]] std::uint32_t program_id() const;
  void undo_attach() noexcept;
  [[nodiscard]] Status write_settings();
  BpfObject object_;
  BpfLink link_;
  bool live_ = false;
  bool short_way_ = true;
  TakenXdp replaced_;
  lb_settings settings_{};
  int xsks_ = -1, settings_map_ = -1, counters_ = -1, program_ = -1;  // object_'s
};

}  // namespace lb
