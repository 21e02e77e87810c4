// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "dataplane/base/bpf_map.h"
#include "dataplane/base/text.h"

namespace lb::observe {
namespace {

constexpr long kCgroup2Magic = 0x63677270;  // linux/magic.h

// The namespaces of the kernel's own start (linux/proc_ns.h).
constexpr const char* kFirstPidNamespace = "pid:[4026531836]";
constexpr const char* kFirstCgroupNamespace = "cgroup:[4026531835]";

/// BPF programs know processes and cgroups by the numbers of the first namespace.
Status check_namespace(const char* kind, const char* first) {
  std::error_code error;
  const auto now = std::filesystem::read_symlink(fmt::format("/proc/self/ns/{}", kind), error);
  if (error || now == first) return {};
  return fail(ENOTSUP, fmt::format("this is not the host's {} namespace: processes have other "
                                   "numbers here than the kernel's; run it on the host",
                                   kind));
}

Status check_pid(std::uint32_t pid) {
  struct ::stat info{};
  if (pid == 0 || ::stat(fmt::format("/proc/{}", pid).c_str(), &info) != 0) {
    return fail(ESRCH, fmt::format("there is no process {}", pid));
  }
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    std::uint32_t group = 0;
    if (std::sscanf(line.c_str(), "Tgid: %u", &group) == 1 && group != pid) {
      return fail(EINVAL,
                  fmt::format("{} is a thread of process {}; give the process", pid, group));
    }
  }
  return {};
}

Result<TargetSet> resolve_cgroup(const std::string& name) {
  const auto mount = cgroup2_mount();
  if (mount.empty()) {
    return fail(ENOENT, "cgroup2 is not mounted here; mount -t cgroup2 none DIRECTORY");
  }
  LB_TRY(check_namespace("cgroup", kFirstCgroupNamespace));
  if (name.find("..") != std::string::npos) {
    return fail(EINVAL, fmt::format("cgroup {}: write it without ..", lb::quoted(name)));
  }
  const auto path = name.starts_with('/') && name.starts_with(mount) ? name : mount + "/" + name;
  struct ::stat info{};
  struct ::statfs system{};
  if (::stat(path.c_str(), &info) != 0 || ::statfs(path.c_str(), &system) != 0) {
    return fail_errno(errno, fmt::format("cgroup {}", lb::quoted(path)));
  }
  if (system.f_type != kCgroup2Magic || !S_ISDIR(info.st_mode)) {
    return fail(EINVAL, fmt::format("{} is no cgroup of cgroup2", lb::quoted(path)));
  }
  TargetSet targets;
  targets.everything = false;
  targets.cgroup_id = info.st_ino;
  const std::string_view below = std::string_view(path).substr(mount.size());
  bool inside = false;
  for (char c : below) {
    if (c != '/' && !inside) ++targets.cgroup_level;
    inside = c != '/';
  }
  return targets;
}

}  // namespace

std::string cgroup2_mount() {
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string device;
    std::string path;
    std::string type;
    if (words >> device >> path >> type && type == "cgroup2") return path;
  }
  return {};
}

std::string comm_of(std::uint32_t pid) {
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::string name;
  std::getline(file, name);
  return name;
}

Result<TargetSet> resolve_target(const TargetOptions& options, std::uint32_t child) {
  const int kinds = int{!options.pids.empty()} + int{!options.comm.empty()} +
                    int{!options.cgroup.empty()} + int{options.daemon.has_value()} +
                    int{!options.command.empty()};
  if (kinds > 1) {
    return fail(EINVAL, "give one kind of target: -p, --comm, --cgroup, --lbd or a command");
  }
  if (!options.cgroup.empty()) return resolve_cgroup(options.cgroup);
  TargetSet targets;
  targets.everything = kinds == 0;
  if (options.comm.size() > 15) {
    return fail(EINVAL, fmt::format("the kernel keeps 15 characters of a name; {} has {}",
                                    lb::quoted(options.comm), options.comm.size()));
  }
  targets.comm = options.comm;
  targets.pids = options.pids;
  if (options.daemon) targets.pids = {*options.daemon};
  if (!options.command.empty()) targets.pids = {child};
  targets.follow_children = !targets.pids.empty();
  if (!targets.pids.empty()) LB_TRY(check_namespace("pid", kFirstPidNamespace));
  for (auto pid : targets.pids) LB_TRY(check_pid(pid));
  return targets;
}

observe_target target_constant(const TargetSet& targets) {
  observe_target constant{};
  if (!targets.pids.empty()) {
    constant.kind = OBSERVE_TARGET_PIDS;
  } else if (!targets.comm.empty()) {
    constant.kind = OBSERVE_TARGET_COMM;
    std::copy_n(targets.comm.begin(), std::min<std::size_t>(targets.comm.size(), 15),
                std::begin(constant.comm));
  } else if (targets.cgroup_id != 0) {
    constant.kind = OBSERVE_TARGET_CGROUP;
    constant.cgroup_id = targets.cgroup_id;
    constant.cgroup_level = targets.cgroup_level;
  }
  return constant;
}

void leave_out_target_programs(BpfSpec& spec, const TargetSet& targets) {
  if (!targets.pids.empty()) return;
  spec.left_out.emplace_back("observe_fork");
  spec.left_out.emplace_back("observe_exit");
}

Result<std::vector<BpfLink>> arm_target(const BpfObject& object, const TargetSet& targets) {
  std::vector<BpfLink> links;
  if (targets.pids.empty()) return links;
  LB_TRY_ASSIGN(int fd, object.map_fd("observe_pids"));
  auto map = BpfMap::of<std::uint32_t, std::uint8_t>(fd);
  if (!map) return std::unexpected(map.error());
  for (auto pid : targets.pids) LB_TRY(map->put(pid, std::uint8_t{1}));
  for (const char* program : {"observe_fork", "observe_exit"}) {
    LB_TRY_ASSIGN(auto link, object.attach(program));
    links.push_back(std::move(link));
  }
  return links;
}

std::string describe(const TargetSet& targets) {
  if (!targets.pids.empty()) {
    std::vector<std::string> names;
    for (auto pid : targets.pids) names.push_back(fmt::format("{} ({})", pid, comm_of(pid)));
    return fmt::format("pid {}", fmt::join(names, ", "));
  }
  if (!targets.comm.empty()) return fmt::format("processes named {}", lb::quoted(targets.comm));
  if (targets.cgroup_id != 0) return fmt::format("cgroup {}", targets.cgroup_id);
  return "the whole system";
}

}  // namespace lb::observe
