// SPDX-License-Identifier: Apache-2.0
// PinDir: the directory on a bpffs where an lbd keeps what is to outlive it: its maps and the links
// of its XDP programs. One process at a time has it: the lock ends with the process. Control's
// thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb {

/// Where an lbd keeps them that is not told otherwise.
inline constexpr const char* kPinsDefault = "/sys/fs/bpf/sluice/lbd";

class PinDir {
 public:
  /// Nowhere: nothing is kept.
  PinDir() = default;
  /// Makes `path` (0700) where it is missing, and locks it. Errors: EOPNOTSUPP (not on a bpffs,
  /// with what to do), EBUSY (another lbd has it), EACCES and what else the kernel says.
  [[nodiscard]] static Result<PinDir> open(const std::string& path);

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(directory_); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string path_of(const std::string& name) const { return path_ + "/" + name; }

  /// Keeps a map or link; what had the name before goes. Nowhere: does nothing. Errors: ENOSPC ...
  [[nodiscard]] Status pin(const std::string& name, int fd) const;
  /// Errors: ENOENT, EPERM.
  [[nodiscard]] Result<Fd> get(const std::string& name) const;
  void remove(const std::string& name) const noexcept;
  /// `to` is replaced. Errors: ENOENT.
  [[nodiscard]] Status rename(const std::string& from, const std::string& to) const;
  /// Names that begin so, sorted.
  [[nodiscard]] std::vector<std::string> names(const std::string& prefix) const;
  void remove_all(const std::string& prefix) const;
  /// Removes all and the directory itself; nothing is kept from here on.
  void dissolve();

 private:
  PinDir(std::string path, Fd directory)
      : path_(std::move(path)), directory_(std::move(directory)) {}
  std::string path_;
  Fd directory_;  ///< locked
};

/// The pin of the link by which an XDP program is on an interface. (An interface's name may have a
/// dot, a pin's may not.)
inline constexpr const char* kLinkPin = "link_";
[[nodiscard]] inline std::string link_pin(int ifindex) {
  return kLinkPin + std::to_string(ifindex);
}

}  // namespace lb
