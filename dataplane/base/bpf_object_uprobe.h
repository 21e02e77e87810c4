// SPDX-License-Identifier: Apache-2.0
// Uprobes by raw bpf(2) and perf_event_open(2): the links that libbpf of Debian 12 does not know
// (uprobe.multi of kernel 6.6, uprobe.session of 6.13), and plain uprobes for kernels without them.
// One thread at a time. A link detaches with its owner, in whatever way the process ends.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb {

/// expected_attach_type of a program (BPF_PROG_TYPE_KPROBE) for UprobeKind::Multi and MultiReturn
/// (enum bpf_attach_type of Linux 6.6; the headers of Debian 12 are older).
inline constexpr std::uint32_t kAttachUprobeMulti = 48;
/// For UprobeKind::Session (Linux 6.13).
inline constexpr std::uint32_t kAttachUprobeSession = 57;

/// How a program is called. REQUIRES: it was loaded with uprobe_attach_type().
enum class UprobeKind : std::uint8_t {
  Multi,        ///< at the place; one link for many places of a file
  MultiReturn,  ///< when the function that begins at the place returns
  Session,      ///< both; the return only of calls where it returned 0 at the entry
  Plain,        ///< at the place; one perf event for each
  PlainReturn,  ///< when the function that begins at the place returns
};

/// The expected_attach_type: one of those above, or 0 for Plain and PlainReturn.
[[nodiscard]] std::uint32_t uprobe_attach_type(UprobeKind kind) noexcept;

/// Programs attached to places of one file. Move-only.
class UprobeLink {
 public:
  UprobeLink() = default;
  [[nodiscard]] explicit operator bool() const noexcept { return !fds_.empty(); }
  /// How many descriptors it holds.
  [[nodiscard]] std::size_t descriptors() const noexcept { return fds_.size(); }

 private:
  friend Result<UprobeLink> attach_uprobes(int, UprobeKind, const std::string&,
                                           std::span<const std::uint64_t>,
                                           std::span<const std::uint64_t>, std::uint32_t);
  std::vector<Fd> fds_;  // of Plain: each link before its event
};

/// Attaches to all `offsets` of the file (in bytes, of the file) or to none. `cookies` are what
/// bpf_get_attach_cookie() gives, one for each offset, or none. `pid`: a thread group; 0: all
/// processes, now and later. Errors: BpfError::Unsupported: no such kind of link on this kernel;
/// NoPermission; Failed with the kernel's word (ESRCH: the process is gone; EINVAL: the instruction
/// cannot be probed, or the program has another expected_attach_type).
[[nodiscard]] Result<UprobeLink> attach_uprobes(int program_fd, UprobeKind kind,
                                                const std::string& path,
                                                std::span<const std::uint64_t> offsets,
                                                std::span<const std::uint64_t> cookies,
                                                std::uint32_t pid);

/// A program that does nothing but return `result`, for trying and measuring. Errors as above.
[[nodiscard]] Result<Fd> load_empty_uprobe_program(UprobeKind kind, int result = 0);

/// Which kinds of links the kernel takes: found out by trying, nothing stays attached.
struct UprobeSupport {
  bool multi = false;
  bool session = false;
};
/// Errors: NoPermission when this process may not load programs; Failed.
[[nodiscard]] Result<UprobeSupport> probe_uprobe_support();

}  // namespace lb
