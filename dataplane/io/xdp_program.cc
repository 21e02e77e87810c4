// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/xdp_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "bpf/lb_explain.skel.h"
#include "bpf/lb_xdp.skel.h"
#include "dataplane/base/log.h"

namespace lb {
namespace {

constexpr const char* kProgram = "lb_xdp";

std::span<const std::byte> elf(const void* (*of)(std::size_t*)) {
  std::size_t bytes = 0;
  const void* data = of(&bytes);
  return {static_cast<const std::byte*>(data), bytes};
}

BpfSpec spec_of(const char* name, const void* (*of)(std::size_t*), const FastPath& shared) {
  BpfSpec spec{
      .name = name, .elf = elf(of), .constants = {}, .shared_maps = {}, .alternatives = {}};
  shared.give_to(spec);
  return spec;
}

/// Where the counter with this index goes.
std::uint64_t* place_of(XdpProgram::CounterValues& values, std::uint32_t index) {
  if (index < kDropReasons) return &values.drops[index];
  if (index < LB_XDP_PASSED) return &values.handed[index - LB_XDP_HANDED];
  switch (index) {
    case LB_XDP_PASSED:
      return &values.passed;
    case LB_XDP_PANIC_PASSED:
      return &values.panic_passed;
    case LB_XDP_SENT:
      return &values.sent;
    case LB_XDP_REDIRECTED:
      return &values.redirected;
    case LB_XDP_ALONE:
      return &values.alone;
    default:
      return nullptr;
  }
}

}  // namespace

Result<XdpProgram> XdpProgram::load(const FastPath& shared, const Build& build) {
  BpfSpec spec = spec_of(kProgram, lb_xdp__elf_bytes, shared);
  if (!build.elf.empty()) spec.elf = build.elf;
  LB_TRY_ASSIGN(XdpProgram program, load(spec));
  program.short_way_ = build.short_way;
  return program;
}

Result<XdpProgram> XdpProgram::load_explaining(const FastPath& shared, const XdpProgram& port) {
  BpfSpec spec = spec_of("lb_explain", lb_explain__elf_bytes, shared);
  spec.shared_maps.push_back({"xsks", port.xsks_});
  spec.shared_maps.push_back({".data.settings", port.settings_map_});
  return load(spec);
}

Result<XdpProgram> XdpProgram::load(const BpfSpec& spec) {
  LB_TRY_ASSIGN(auto object, BpfObject::load(spec));
  XdpProgram program(std::move(object));
  LB_TRY_ASSIGN(program.xsks_, program.object_.map_fd("xsks"));
  LB_TRY_ASSIGN(program.settings_map_, program.object_.map_fd(".data.settings"));
  LB_TRY_ASSIGN(program.counters_, program.object_.map_fd("xdp_counters"));
  LB_TRY_ASSIGN(program.program_, program.object_.program_fd(kProgram));
  return program;
}

std::optional<BpfLink> XdpProgram::find_link(const PinDir& pins, int ifindex,
                                             const std::string& interface, XdpMode mode) {
  const std::string name = link_pin(ifindex);
  if (!pins || pins.names(name).empty()) return std::nullopt;
  auto remove = [&](const std::string& why) -> std::optional<BpfLink> {
    spdlog::warn("pins {}: {} is removed: {}", pins.path(), name, why);
    pins.remove(name);
    return std::nullopt;
  };
  auto link = BpfLink::adopt(pins.path_of(name));
  if (!link) return remove(link.error().message);
  const std::optional<XdpLinkInfo> info = link->xdp();
  if (!info) return remove("it is no link of an XDP program");
  if (info->ifindex != ifindex) return remove("it is on no interface any more");
  auto attached = query_xdp(ifindex);
  if (!attached || !*attached || (*attached)->id != info->program_id ||
      (*attached)->name != kProgram) {
    return remove(fmt::format("it is not what runs on {}", interface));
  }
  const bool wrong = mode == XdpMode::Native && (*attached)->generic;
  if (wrong || (mode == XdpMode::Generic && !(*attached)->generic)) {
    return remove(
        fmt::format("{} is attached to in the other xdp_mode; {} is without a program "
                    "for a moment",
                    interface, interface));
  }
  return std::move(*link);
}

void XdpProgram::remove_other_links(const PinDir& pins, std::span<const int> ifindexes) {
  std::vector<std::string> ours;
  for (int ifindex : ifindexes) ours.push_back(link_pin(ifindex));
  for (const std::string& name : pins.names(kLinkPin)) {
    if (std::ranges::find(ours, name) != ours.end()) continue;
    spdlog::info("pins {}: {} is removed: its interface is gone or no port any more", pins.path(),
                 name);
    // With the link held, the program is off when its descriptor closes, not some time later.
    const auto link = BpfLink::adopt(pins.path_of(name));
    pins.remove(name);
  }
}

Status XdpProgram::check_room(int ifindex, const std::string& interface) {
  LB_TRY_ASSIGN(auto attached, query_xdp(ifindex));
  if (!attached) return {};
  bool ours = attached->name == kProgram;
  return std::unexpected(Error{
      BpfError::Occupied,
      fmt::format(
          "interface {} already has XDP program \"{}\" (id {}): {}, or start lbd with --replace",
          interface, attached->name, attached->id,
          ours ? "another lbd runs there (stop it), or has left it (lbctl reset --pins DIRECTORY)"
               : fmt::format("take it off (ip link set dev {} xdp off)", interface))});
}

Result<XdpProgram::InForce> XdpProgram::attach(int ifindex, const std::string& interface,
                                               XdpMode mode, bool replace_foreign) {
  if (replace_foreign) {
    LB_TRY_ASSIGN(replaced_, TakenXdp::take(ifindex));
  } else {
    LB_TRY(check_room(ifindex, interface));
  }
  auto in_force = attach_to(ifindex, interface, mode);
  if (!in_force) undo_attach();
  return in_force;
}

XdpProgram::InForce XdpProgram::adopt(BpfLink link, int ifindex) {
  link_ = std::move(link);
  InForce in_force;
  in_force.program_id = program_id();
  if (auto attached = query_xdp(ifindex); attached && *attached && (*attached)->generic) {
    in_force.mode = XdpAttachMode::Generic;
    in_force.reason = "as the lbd before attached it";
  }
  return in_force;
}

Status XdpProgram::go_live(const PinDir& pins, int ifindex) {
  if (link_.pinned()) {
    LB_TRY(object_.replace(link_, kProgram));
  } else if (pins) {
    LB_TRY(link_.pin(pins.path_of(link_pin(ifindex))));
  }
  live_ = true;
  replaced_ = TakenXdp();
  return {};
}

void XdpProgram::detach(const PinDir& pins, int ifindex) noexcept {
  if (live_ && link_.pinned()) pins.remove(link_pin(ifindex));
  undo_attach();
}

void XdpProgram::undo_attach() noexcept {
  link_ = BpfLink();
  if (auto back = replaced_.put_back(); !back) {
    spdlog::error("the XDP program that was there before: {}", back.error().message);
  }
}

std::uint32_t XdpProgram::program_id() const {
  bpf_prog_info info{};
  __u32 bytes = sizeof info;
  return bpf_obj_get_info_by_fd(program_, &info, &bytes) == 0 ? info.id : 0;
}

Result<XdpProgram::InForce> XdpProgram::attach_to(int ifindex, const std::string& interface,
                                                  XdpMode mode) {
  InForce in_force;
  in_force.program_id = program_id();
  if (mode != XdpMode::Generic) {
    auto native = object_.attach_xdp(kProgram, ifindex, XdpAttachMode::Native);
    if (native) {
      link_ = std::move(*native);
      return in_force;
    }
    // Drivers refuse native mode in many ways (EOPNOTSUPP, ENOMEM, ENOSPC, EIO ...).
    const auto why = native.error().code;
    if (mode == XdpMode::Native || why == BpfError::Occupied || why == BpfError::NoPermission) {
      return fail_in("interface " + interface, std::move(native.error()));
    }
    in_force.reason = native.error().message;
  } else {
    in_force.reason = "xdp_mode = \"generic\"";
  }
  in_force.mode = XdpAttachMode::Generic;
  auto generic = object_.attach_xdp(kProgram, ifindex, XdpAttachMode::Generic);
  if (!generic) return fail_in("interface " + interface, std::move(generic.error()));
  link_ = std::move(*generic);
  return in_force;
}

Status XdpProgram::set_socket(std::uint32_t queue, int socket_fd) {
  if (queue >= LB_QUEUES_MAX) {
    return fail(EINVAL, fmt::format("queue {} is over {}", queue, LB_QUEUES_MAX - 1));
  }
  int result = socket_fd < 0 ? bpf_map_delete_elem(xsks_, &queue)
                             : bpf_map_update_elem(xsks_, &queue, &socket_fd, BPF_ANY);
  if (result != 0 && !(socket_fd < 0 && errno == ENOENT)) return fail_errno(errno, "XSKMAP");
  return {};
}

Status XdpProgram::write_settings() {
  const bool short_way = short_way_ && settings_.panic == 0 && settings_.mac_valid != 0 &&
                         settings_.engine == LB_ENGINE_HYBRID;
  std::uint64_t mac = 0;
  std::memcpy(&mac, settings_.mac, sizeof settings_.mac);
  settings_.short_mac = short_way ? mac << 16 : LB_NO_SHORT_MAC;
  settings_.short_port =
      (settings_.sends >> (settings_.port & 31) & 1) != 0 ? settings_.port : LB_NO_SHORT_PORT;
  __u32 zero = 0;
  if (bpf_map_update_elem(settings_map_, &zero, &settings_, BPF_ANY) != 0) {
    return fail_errno(errno, "settings of the XDP program");
  }
  return {};
}

Status XdpProgram::set_panic(bool on) {
  settings_.panic = on ? 1 : 0;
  return write_settings();
}

Status XdpProgram::set_mac(const MacAddr& mac) {
  std::ranges::copy(mac.bytes, settings_.mac);
  settings_.mac_valid = mac.is_zero() ? 0 : 1;
  return write_settings();
}

Status XdpProgram::set_forwarding(const Forwarding& forwarding) {
  settings_.port = raw(forwarding.port);
  settings_.engine = forwarding.engine;
  settings_.sends = forwarding.sends;
  settings_.stale_ms = forwarding.stale_ms;
  return write_settings();
}

XdpProgram::CounterValues XdpProgram::counters() const {
  CounterValues sum;
  int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return sum;
  std::vector<std::uint64_t> values(static_cast<std::size_t>(cpus));
  for (__u32 index = 0; index < LB_XDP_COUNTER_COUNT; ++index) {
    if (bpf_map_lookup_elem(counters_, &index, values.data()) != 0) continue;
    std::uint64_t packets = 0;
    for (std::uint64_t value : values) packets += value;
    if (std::uint64_t* to = place_of(sum, index)) *to = packets;
  }
  return sum;
}

}  // namespace lb
