// SPDX-License-Identifier: Apache-2.0
#include "control/capabilities.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string>

namespace lb {
namespace {

struct Need {
  unsigned capability;
  unsigned instead;  ///< serves as well
  const char* name;
  const char* what_for;
};

constexpr std::array kNeeds{
    Need{.capability = CAP_NET_ADMIN,
         .instead = CAP_NET_ADMIN,
         .name = "CAP_NET_ADMIN",
         .what_for = "XDP, addresses"},
    Need{.capability = CAP_NET_RAW,
         .instead = CAP_NET_RAW,
         .name = "CAP_NET_RAW",
         .what_for = "AF_XDP sockets, ARP"},
    Need{.capability = CAP_BPF,
         .instead = CAP_SYS_ADMIN,
         .name = "CAP_BPF",
         .what_for = "BPF programs and maps"},
};

}  // namespace

Status check_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return fail_errno(errno, "capabilities");
  auto has = [&](unsigned capability) {
    return (data[capability / 32].effective & (1U << (capability % 32))) != 0;
  };
  std::string missing;
  for (const Need& need : kNeeds) {
    if (has(need.capability) || has(need.instead)) continue;
    missing += (missing.empty() ? "" : ", ") + std::string(need.name) + " (" + need.what_for + ")";
  }
  if (missing.empty()) return {};
  return fail(EPERM, "no permission: this process lacks " + missing +
                         "; start lbd as root or by its systemd unit");
}

void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace lb
