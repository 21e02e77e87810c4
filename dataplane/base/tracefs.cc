// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/tracefs.h"

#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <cerrno>

namespace lb {
namespace {

constexpr const char* kPath = "/sys/kernel/tracing";

bool is_tracefs() {
  struct ::statfs system{};
  return ::statfs(kPath, &system) == 0 && system.f_type == TRACEFS_MAGIC;
}

}  // namespace

Status make_tracefs_visible() {
  if (is_tracefs()) return {};
  if (unshare(CLONE_NEWNS) != 0) return fail_errno(errno, "a mount namespace for the tracefs");
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("none", kPath, "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return fail_errno(errno, "mount of the tracefs on /sys/kernel/tracing");
  }
  return {};
}

}  // namespace lb
