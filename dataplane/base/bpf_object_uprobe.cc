// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/bpf_object_uprobe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "dataplane/base/bpf_object.h"
#include "dataplane/base/files.h"
#include "dataplane/base/text.h"

namespace lb {
namespace {

constexpr std::uint32_t kUprobeMultiReturn = 1;  // BPF_F_UPROBE_MULTI_RETURN
constexpr std::size_t kNumberBytesMax = 64;
constexpr std::uint64_t kRetprobe = 1;  // /sys/bus/event_source/devices/uprobe/format/retprobe

/// The part of union bpf_attr that BPF_LINK_CREATE reads for uprobe links; the kernel headers of
/// the build may be older than it.
struct UprobeLinkAttr {
  std::uint32_t program_fd;
  std::uint32_t target_fd;
  std::uint32_t attach_type;
  std::uint32_t link_flags;
  std::uint64_t path;
  std::uint64_t offsets;
  std::uint64_t reference_counters;
  std::uint64_t cookies;
  std::uint32_t count;
  std::uint32_t flags;
  std::uint32_t pid;
  std::uint32_t unused;
};
static_assert(offsetof(UprobeLinkAttr, path) == 16 && offsetof(UprobeLinkAttr, pid) == 56);

std::uint64_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

Fd bpf_call(int command, void* attr, std::size_t bytes) {
  return Fd(static_cast<int>(syscall(SYS_bpf, command, attr, bytes)));
}

std::unexpected<Error> uprobe_fail(int error, const std::string& what) {
  const BpfError code = error == EPERM || error == EACCES        ? BpfError::NoPermission
                        : error == EOPNOTSUPP || error == ENOSYS ? BpfError::Unsupported
                                                                 : BpfError::Failed;
  std::string message = fmt::format("{}: {}", what, std::strerror(error));
  if (code == BpfError::NoPermission) message += "; CAP_BPF and CAP_PERFMON are needed";
  return std::unexpected(Error{code, std::move(message)});
}

Fd create_multi_link(int program_fd, UprobeKind kind, const std::string& path,
                     std::span<const std::uint64_t> offsets, std::span<const std::uint64_t> cookies,
                     std::uint32_t pid) {
  UprobeLinkAttr attr{};
  attr.program_fd = static_cast<std::uint32_t>(program_fd);
  attr.attach_type = uprobe_attach_type(kind);
  attr.path = address_of(path.c_str());
  attr.offsets = address_of(offsets.data());
  attr.cookies = cookies.empty() ? 0 : address_of(cookies.data());
  attr.count = static_cast<std::uint32_t>(offsets.size());
  attr.flags = kind == UprobeKind::MultiReturn ? kUprobeMultiReturn : 0;
  attr.pid = pid;
  return bpf_call(BPF_LINK_CREATE, &attr, sizeof attr);
}

Result<std::uint32_t> uprobe_pmu() {
  const std::string path = "/sys/bus/event_source/devices/uprobe/type";
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return uprobe_fail(errno == ENOENT ? EOPNOTSUPP : errno, path);
  LB_TRY_ASSIGN(const std::string text, read_whole(file.get(), kNumberBytesMax));
  std::uint32_t type = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), type);
  if (error != std::errc{}) return uprobe_fail(EINVAL, fmt::format("{}: {}", path, quoted(text)));
  return type;
}

/// The perf event of one place; all CPUs of the process, or of all processes.
Result<Fd> open_event(std::uint32_t pmu, UprobeKind kind, const std::string& path,
                      std::uint64_t offset, std::uint32_t pid) {
  perf_event_attr attr{};
  attr.size = sizeof attr;
  attr.type = pmu;
  attr.config = kind == UprobeKind::PlainReturn ? kRetprobe : 0;
  attr.uprobe_path = address_of(path.c_str());
  attr.probe_offset = offset;
  // The program runs on every CPU and in every thread of the process whatever the event says.
  Fd event(
      static_cast<int>(syscall(SYS_perf_event_open, &attr, pid == 0 ? -1 : static_cast<int>(pid),
                               pid == 0 ? 0 : -1, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!event) return uprobe_fail(errno, fmt::format("uprobe at {}+{:#x}", quoted(path), offset));
  return event;
}

Result<Fd> link_event(int program_fd, const Fd& event, std::uint64_t cookie) {
  bpf_attr attr{};
  attr.link_create.prog_fd = static_cast<std::uint32_t>(program_fd);
  attr.link_create.target_fd = static_cast<std::uint32_t>(event.get());
  attr.link_create.attach_type = BPF_PERF_EVENT;
  attr.link_create.perf_event.bpf_cookie = cookie;
  Fd link = bpf_call(BPF_LINK_CREATE, &attr, sizeof attr);
  if (!link) return uprobe_fail(errno, "program of a uprobe");
  return link;
}

}  // namespace

std::uint32_t uprobe_attach_type(UprobeKind kind) noexcept {
  switch (kind) {
    case UprobeKind::Multi:
    case UprobeKind::MultiReturn:
      return kAttachUprobeMulti;
    case UprobeKind::Session:
      return kAttachUprobeSession;
    default:
      return 0;
  }
}

Result<UprobeLink> attach_uprobes(int program_fd, UprobeKind kind, const std::string& path,
                                  std::span<const std::uint64_t> offsets,
                                  std::span<const std::uint64_t> cookies, std::uint32_t pid) {
  if (offsets.empty() || (!cookies.empty() && cookies.size() != offsets.size())) {
    return uprobe_fail(EINVAL, "uprobes: no offset, or not one cookie for each");
  }
  UprobeLink link;
  if (kind == UprobeKind::Plain || kind == UprobeKind::PlainReturn) {
    LB_TRY_ASSIGN(const std::uint32_t pmu, uprobe_pmu());
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      LB_TRY_ASSIGN(Fd event, open_event(pmu, kind, path, offsets[i], pid));
      LB_TRY_ASSIGN(Fd bound, link_event(program_fd, event, cookies.empty() ? 0 : cookies[i]));
      link.fds_.push_back(std::move(bound));
      link.fds_.push_back(std::move(event));
    }
    return link;
  }
  Fd made = create_multi_link(program_fd, kind, path, offsets, cookies, pid);
  if (!made) {
    return uprobe_fail(errno, fmt::format("{} uprobes of {}", offsets.size(), quoted(path)));
  }
  link.fds_.push_back(std::move(made));
  return link;
}

Result<Fd> load_empty_uprobe_program(UprobeKind kind, int result) {
  const std::array<bpf_insn, 2> code = {
      bpf_insn{
          .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = result},
      bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  static constexpr char kLicense[] = "Dual BSD/GPL";
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_KPROBE;
  attr.insn_cnt = code.size();
  attr.insns = address_of(code.data());
  attr.license = address_of(kLicense);
  attr.expected_attach_type = uprobe_attach_type(kind);
  Fd program = bpf_call(BPF_PROG_LOAD, &attr, sizeof attr);
  if (!program) {
    const bool unknown = errno == EINVAL && uprobe_attach_type(kind) != 0;
    return uprobe_fail(unknown ? EOPNOTSUPP : errno, "load an empty uprobe program");
  }
  return program;
}

namespace {

/// A kernel that knows the kind looks at the path before it says no ("/" is not a file).
Result<bool> takes_links(UprobeKind kind) {
  auto program = load_empty_uprobe_program(kind);
  if (!program && program.error().code == BpfError::Unsupported) return false;
  if (!program) return std::unexpected(program.error());
  const std::array<std::uint64_t, 1> offsets = {0};
  if (create_multi_link(program->get(), kind, "/", offsets, {}, 0) || errno != EBADF) return false;
  // The first ones (6.6 to 6.9) filter by thread where a process is asked for. Those that do it
  // right look at the number before the path.
  constexpr auto kNobody = static_cast<std::uint32_t>(-1);
  return !create_multi_link(program->get(), kind, "/", offsets, {}, kNobody) && errno == EINVAL;
}

}  // namespace

Result<UprobeSupport> probe_uprobe_support() {
  UprobeSupport support;
  LB_TRY_ASSIGN(support.multi, takes_links(UprobeKind::Multi));
  LB_TRY_ASSIGN(support.session, takes_links(UprobeKind::Session));
  return support;
}

}  // namespace lb
