// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/xdp_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "bpf/lb_xdp.skel.h"
#include "dataplane/base/log.h"

namespace lb {
namespace {

constexpr const char* kProgram = "lb_xdp";

std::span<const std::byte> own_elf() {
  std::size_t bytes = 0;
  const void* data = lb_xdp__elf_bytes(&bytes);
  return {static_cast<const std::byte*>(data), bytes};
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
  BpfSpec spec{.name = kProgram,
               .elf = build.elf.empty() ? own_elf() : build.elf,
               .constants = {},
               .shared_maps = {},
               .alternatives = {}};
  shared.give_to(spec);
  spec.constant("short_way_first", static_cast<std::uint8_t>(build.short_way));
  LB_TRY_ASSIGN(auto object, BpfObject::load(spec));
  XdpProgram program(std::move(object));
  LB_TRY_ASSIGN(program.xsks_, program.object_.map_fd("xsks"));
  LB_TRY_ASSIGN(program.settings_map_, program.object_.map_fd(".data.settings"));
  LB_TRY_ASSIGN(program.counters_, program.object_.map_fd("xdp_counters"));
  LB_TRY_ASSIGN(program.program_, program.object_.program_fd(kProgram));
  return program;
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
          ours ? "another lbd runs there; stop it"
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
  if (!in_force) detach();
  return in_force;
}

void XdpProgram::detach() noexcept {
  link_ = BpfLink();
  if (auto back = replaced_.put_back(); !back) {
    spdlog::error("the XDP program that was there before: {}", back.error().message);
  }
}

Result<XdpProgram::InForce> XdpProgram::attach_to(int ifindex, const std::string& interface,
                                                  XdpMode mode) {
  InForce in_force;
  bpf_prog_info info{};
  __u32 bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(program_, &info, &bytes) == 0) in_force.program_id = info.id;
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
