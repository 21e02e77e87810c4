// SPDX-License-Identifier: Apache-2.0
#include "control/client/reset.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "control/netlink.h"
#include "control/unix_socket.h"
#include "control/vip_marker.h"
#include "dataplane/base/bpf_object.h"
#include "dataplane/base/offloads.h"
#include "dataplane/base/pin_dir.h"

namespace lb::client {
namespace {

/// What was found, what became of it.
struct Findings {
  std::vector<std::string> removed, failed;
  std::vector<std::string> kept;  ///< interfaces of a living lbd
  bool dry_run = false;

  /// Runs `remove` (not in a dry run) and notes the outcome.
  template <class Remove>
  void handle(const std::string& what, Remove remove) {
    auto status = dry_run ? Status{} : remove();
    if (status) {
      removed.push_back(what);
    } else {
      failed.push_back(fmt::format("{}: {}", what, status.error().message));
    }
  }
};

void reset_addresses(Netlink& netlink, const std::vector<InterfaceAddress>& addresses,
                     const LinkEntry& link, Findings& findings) {
  for (const auto& address : addresses) {
    if (address.ifindex != link.ifindex || address.origin != kVipMarker) continue;
    findings.handle(fmt::format("VIP {} on {}", address.address.to_string(), link.name),
                    [&] { return netlink.remove_address(address); });
  }
}

void reset_xdp(const ResetOptions& options, const LinkEntry& link, Findings& findings) {
  auto attached = query_xdp(link.ifindex);
  if (!attached) {
    findings.failed.push_back(fmt::format("{}: {}", link.name, attached.error().message));
    return;
  }
  if (!*attached || (*attached)->name != "lb_xdp") return;
  findings.handle(fmt::format("XDP program lb_xdp (id {}) on {}", (*attached)->id, link.name),
                  [&]() -> Status {
                    LB_TRY(detach_xdp(link.ifindex));
                    ::unlink((options.pins + "/" + link_pin(link.ifindex)).c_str());
                    return {};
                  });
}

void reset_offloads(const LinkEntry& link, OffloadNotes& notes, Findings& findings) {
  for (const auto& note : notes.all()) {
    if (note.interface != link.name) continue;
    findings.handle(fmt::format("setting \"{} off\" on {}", offload_name(note.offload), link.name),
                    [&] { return put_back(note, notes, ethtool_offloads()); });
  }
}

/// By taking the lock, so that an lbd that starts meanwhile keeps its own.
void reset_lock(const LinkEntry& link, Findings& findings) {
  auto stale = stale_lock(link.name);
  if (!stale) return;
  findings.handle(fmt::format("lock {}", *stale), [&]() -> Status {
    LB_TRY_ASSIGN([[maybe_unused]] auto lock, lock_interface(link.name));
    return {};
  });
}

void reset_socket(const std::string& path, Findings& findings) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode) || socket_answers(path)) return;
  findings.handle(fmt::format("socket {}", path), [&]() -> Status {
    if (::unlink(path.c_str()) == 0) return {};
    return fail_errno(errno, "unlink");
  });
}

/// Whether a program that is pinned is on the interface: it goes on without an lbd.
bool forwards_by_pin(const ResetOptions& options, const LinkEntry& link) {
  auto pinned = BpfLink::adopt(options.pins + "/" + link_pin(link.ifindex));
  if (!pinned) return false;
  const auto info = pinned->xdp();
  return info && info->ifindex == link.ifindex;
}

/// The maps and links of a dead lbd, unless only one interface is asked for.
void reset_pins(const ResetOptions& options, Findings& findings) {
  if (options.interface || ::access(options.pins.c_str(), F_OK) != 0) return;
  auto pins = PinDir::open(options.pins);
  if (!pins) {
    const bool held = pins.error().code == std::errc::device_or_resource_busy;
    auto& list = held ? findings.kept : findings.failed;
    list.push_back(held ? fmt::format("{}: an lbd lives by it", options.pins)
                        : pins.error().message);
    return;
  }
  if (options.leave_forwarding && !pins->names(kLinkPin).empty()) {
    findings.kept.push_back(fmt::format("{}: its programs go on to forward", options.pins));
    return;
  }
  findings.handle(fmt::format("maps and links in {}", options.pins), [&]() -> Status {
    pins->dissolve();
    if (::access(options.pins.c_str(), F_OK) == 0) return fail_errno(EBUSY, "not empty");
    return {};
  });
}

Status look_at_interfaces(const ResetOptions& options, const std::string& socket,
                          Findings& findings) {
  LB_TRY_ASSIGN(auto netlink, Netlink::open());
  LB_TRY_ASSIGN(auto links, netlink.links());
  LB_TRY_ASSIGN(auto addresses, netlink.addresses());
  if (options.interface) {
    std::erase_if(links, [&](const LinkEntry& link) { return link.name != *options.interface; });
    if (links.empty()) {
      return fail(ENODEV,
                  fmt::format("there is no interface {} (ip link lists them)", *options.interface));
    }
  }
  OffloadNotes notes(offload_notes_path(socket));
  for (const auto& link : links) {
    auto holder = interface_holder(link.name);
    if (holder && !options.force) {
      findings.kept.push_back(fmt::format(
          "{}: lbd lives on it (process {}); stop it first, or use --force", link.name, *holder));
      continue;
    }
    if (options.leave_forwarding && forwards_by_pin(options, link)) {
      findings.kept.push_back(fmt::format("{}: its program goes on to forward", link.name));
      reset_lock(link, findings);
      continue;
    }
    reset_addresses(netlink, addresses, link, findings);
    reset_xdp(options, link, findings);
    reset_offloads(link, notes, findings);
    reset_lock(link, findings);
  }
  return {};
}

ExitCode print(Session& session, const Findings& findings) {
  if (session.json()) {
    JsonObject answer;
    auto list = [&](std::string_view key, const std::vector<std::string>& lines) {
      answer.append_view(key, {});
      for (const auto& line : lines) answer.append(key, JsonObject().set("what", line));
    };
    list(findings.dry_run ? "would_remove" : "removed", findings.removed);
    list("failed", findings.failed);
    list("kept", findings.kept);
    session.print(answer.to_string() + "\n");
  } else {
    for (const auto& line : findings.removed) {
      session.print(fmt::format("{} {}\n", findings.dry_run ? "would remove" : "removed", line));
    }
    for (const auto& line : findings.kept) session.note(fmt::format("lbctl: kept {}\n", line));
    if (findings.removed.empty() && findings.failed.empty() && findings.kept.empty()) {
      session.print("nothing of lbd is left here\n");
    }
    for (const auto& line : findings.failed)
      session.note(fmt::format("lbctl: not removed: {}\n", line));
  }
  if (findings.failed.empty()) return ExitCode::Done;
  return findings.removed.empty() ? ExitCode::Failed : ExitCode::Partly;
}

}  // namespace

ExitCode reset(Session& session, const ResetOptions& options) {
  const auto& socket = session.options().socket;
  if (!options.force && !options.dry_run && socket_answers(socket)) {
    return session.report("running", fmt::format("lbd lives: it answers on {} (stop it first; with "
                                                 "--force it loses its VIPs and its XDP program)",
                                                 socket));
  }
  Findings findings;
  findings.dry_run = options.dry_run;
  if (auto status = look_at_interfaces(options, socket, findings); !status) {
    return session.report("system", status.error().message);
  }
  reset_pins(options, findings);
  reset_socket(socket, findings);
  return print(session, findings);
}

}  // namespace lb::client
