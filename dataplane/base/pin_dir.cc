// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/pin_dir.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace lb {
namespace {

namespace fs = std::filesystem;

/// A directory for root alone, made where it is missing.
Status make_directory(const fs::path& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return fail_errno(errno, fmt::format("pins {}: make the directory", path.string()));
}

Status check_is_bpffs(const fs::path& path, const std::string& wanted) {
  struct statfs about{};
  if (statfs(path.c_str(), &about) != 0) {
    return fail_errno(errno, fmt::format("pins {}", wanted));
  }
  if (static_cast<unsigned long>(about.f_type) == BPF_FS_MAGIC) return {};
  return fail(EOPNOTSUPP,
              fmt::format("pins {}: {} is not on a bpffs (mount -t bpf bpf /sys/fs/bpf)", wanted,
                          path.string()));
}

}  // namespace

Result<PinDir> PinDir::open(const std::string& path) {
  fs::path there = path;
  std::vector<fs::path> missing;
  while (there.has_relative_path() && access(there.c_str(), F_OK) != 0) {
    missing.push_back(there);
    there = there.parent_path();
  }
  LB_TRY(check_is_bpffs(there, path));
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) LB_TRY(make_directory(*at));
  Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return fail_errno(errno, fmt::format("pins {}", path));
  if (flock(directory.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno(errno, fmt::format("pins {}: lock", path));
    return fail(EBUSY, fmt::format("pins {}: another lbd has this directory; give each lbd its own "
                                   "(pins in [dataplane])",
                                   path));
  }
  return PinDir(path, std::move(directory));
}

Status PinDir::pin(const std::string& name, int fd) const {
  if (!*this) return {};
  const std::string path = path_of(name);
  if (bpf_obj_pin(fd, path.c_str()) == 0) return {};
  if (errno == EEXIST) {
    unlink(path.c_str());
    if (bpf_obj_pin(fd, path.c_str()) == 0) return {};
  }
  return fail_errno(errno, fmt::format("pin {}", path));
}

Result<Fd> PinDir::get(const std::string& name) const {
  const std::string path = path_of(name);
  Fd fd(bpf_obj_get(path.c_str()));
  if (!fd) return fail_errno(errno, fmt::format("pinned {}", path));
  return fd;
}

void PinDir::remove(const std::string& name) const noexcept {
  if (*this) unlink(path_of(name).c_str());
}

Status PinDir::rename(const std::string& from, const std::string& to) const {
  if (!*this) return {};
  if (::rename(path_of(from).c_str(), path_of(to).c_str()) == 0) return {};
  return fail_errno(errno, fmt::format("rename pin {} to {}", path_of(from), to));
}

std::vector<std::string> PinDir::names(const std::string& prefix) const {
  std::vector<std::string> names;
  if (!*this) return names;
  std::error_code error;
  for (fs::directory_iterator at(path_, error), end; !error && at != end; at.increment(error)) {
    std::string name = at->path().filename();
    if (name.starts_with(prefix)) names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  return names;
}

void PinDir::remove_all(const std::string& prefix) const {
  for (const std::string& name : names(prefix)) remove(name);
}

void PinDir::dissolve() {
  if (!*this) return;
  remove_all("");
  rmdir(path_.c_str());
  directory_.reset();
}

}  // namespace lb
