// SPDX-License-Identifier: Apache-2.0
// The one loader of BPF programs: BpfSpec (data: an ELF object and what it is given) -> BpfObject
// (in the kernel: programs and maps) -> BpfLink (an attachment). The XDP program and the tracers
// alike. One thread at a time; not for the packet path. Closing is the destructor's: a link that is
// not pinned detaches, maps and programs go with the object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

struct bpf_object;
struct bpf_program;
struct bpf_map;
struct bpf_link;

namespace lb {

/// What stands between us and a running BPF program; the code of the Errors of this file.
enum class BpfError {
  NoPermission = 1,  ///< CAP_BPF, CAP_NET_ADMIN or CAP_PERFMON is missing
  NoBtf,             ///< the kernel has no BTF
  Unsupported,       ///< the kernel lacks a program, map or attach type, or the driver the mode
  Rejected,          ///< the verifier said no
  NoMemory,          ///< maps do not fit the memory limit
  NoSuchSymbol,      ///< a constant, program or map that the object does not have
  Occupied,          ///< another program is attached there
  Failed,            ///< any other failure of the kernel or of libbpf
};
[[nodiscard]] const std::error_category& bpf_error_category() noexcept;
[[nodiscard]] inline std::error_code make_error_code(BpfError error) noexcept {
  return {static_cast<int>(error), bpf_error_category()};
}

/// A BPF object before the kernel has it.
struct BpfSpec {
  struct Constant {
    std::string name;
    std::vector<std::byte> value;
  };
  struct SharedMap {
    std::string name;
    int fd;  ///< borrowed; open until load() returns
  };
  std::string name;                ///< for messages
  std::span<const std::byte> elf;  ///< of the skeleton; outlives the BpfObject
  std::vector<Constant> constants;
  std::vector<SharedMap> shared_maps;
  /// Of each group the first program that the kernel takes is loaded, the others are not (tp_btf ->
  /// raw tracepoint -> tracepoint).
  std::vector<std::vector<std::string>> alternatives;

  struct MapSize {
    std::string name;
    std::uint32_t entries;
  };
  std::vector<MapSize> map_sizes{};  ///< in the place of the object's own max_entries
  struct AttachType {
    std::string program;
    std::uint32_t type;  ///< enum bpf_attach_type; libbpf need not know it
  };
  std::vector<AttachType> attach_types{};  ///< in the place of what the section says
  /// Programs and maps that are not wanted this time.
  std::vector<std::string> left_out{};

  /// Gives a `const volatile` variable of the object its value.
  template <class T>
  BpfSpec& constant(std::string symbol, const T& value) {
    auto bytes = std::as_bytes(std::span(&value, 1));
    constants.push_back({std::move(symbol), {bytes.begin(), bytes.end()}});
    return *this;
  }
};

/// One program or map that an object holds.
struct BpfHeld {
  bool is_map = false;
  std::string name;
  std::string type;  ///< libbpf's name, e.g. "xdp", "xskmap"
  std::uint32_t id = 0;
  std::uint64_t entries_max = 0;   ///< maps
  std::uint64_t memory_bytes = 0;  ///< as the kernel accounts it
};

/// What an XDP program's link is attached to.
struct XdpLinkInfo {
  int ifindex = 0;  ///< 0: the interface is gone
  std::uint32_t program_id = 0;
};

/// An attachment; ends with the object unless it is pinned.
class BpfLink {
 public:
  BpfLink() = default;
  BpfLink(BpfLink&&) noexcept;
  BpfLink& operator=(BpfLink&&) noexcept;
  ~BpfLink();
  /// Takes over a link that was pinned at `path` (bpffs).
  [[nodiscard]] static Result<BpfLink> adopt(const std::string& path);
  /// Keeps the attachment when this process ends. `path` is on a bpffs and free.
  [[nodiscard]] Status pin(const std::string& path);
  [[nodiscard]] int fd() const noexcept;
  /// The kernel's id of the link; 0 when there is none.
  [[nodiscard]] std::uint32_t id() const noexcept;
  /// Nothing when it is the link of another kind of program.
  [[nodiscard]] std::optional<XdpLinkInfo> xdp() const noexcept;
  /// Whether it stays when this process ends.
  [[nodiscard]] bool pinned() const noexcept { return pinned_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd() >= 0; }

 private:
  friend class BpfObject;
  struct Destroy {
    void operator()(bpf_link* link) const noexcept;
  };
  Fd fd_;                                    // raw links (XDP)
  std::unique_ptr<bpf_link, Destroy> link_;  // what libbpf attached
  bool pinned_ = false;
};

enum class XdpAttachMode : std::uint8_t { Native, Generic };

class BpfObject {
 public:
  /// Opens, sets the constants, shares the maps, chooses among the alternatives, loads. The
  /// verifier's log becomes one line in the error. Errors: BpfError.
  [[nodiscard]] static Result<BpfObject> load(const BpfSpec& spec);
  BpfObject(BpfObject&&) noexcept;
  BpfObject& operator=(BpfObject&&) noexcept;
  ~BpfObject();

  /// The descriptor stays the object's. Errors: NoSuchSymbol; for programs also those that were not
  /// chosen.
  [[nodiscard]] Result<int> map_fd(const std::string& name) const;
  [[nodiscard]] Result<int> program_fd(const std::string& name) const;
  /// Which program of the group that contains `name` was chosen; `name` itself when it is in no
  /// group.
  [[nodiscard]] std::string chosen(const std::string& name) const;

  /// Attaches by a bpf_link. Errors: Occupied, Unsupported (mode), NoPermission, Failed.
  [[nodiscard]] Result<BpfLink> attach_xdp(const std::string& program, int ifindex,
                                           XdpAttachMode mode) const;
  /// Attaches as the program's section says (tracepoints, kprobes, ...).
  [[nodiscard]] Result<BpfLink> attach(const std::string& program) const;
  /// Makes `link` run this object's program from now on, without a gap.
  [[nodiscard]] Status replace(const BpfLink& link, const std::string& program) const;

  [[nodiscard]] Status pin_map(const std::string& name, const std::string& path) const;
  /// A map pinned by an earlier run, for BpfSpec::shared_maps.
  [[nodiscard]] static Result<Fd> adopt_map(const std::string& path);

  [[nodiscard]] std::vector<BpfHeld> held() const;

 private:
  struct Close {
    void operator()(bpf_object* object) const noexcept;
  };
  BpfObject() = default;
  [[nodiscard]] bpf_program* program(const std::string& name) const;
  std::string name_;
  std::unique_ptr<bpf_object, Close> object_;
  std::vector<std::vector<std::string>> alternatives_;
  std::vector<std::size_t> choice_;  // by group
};

/// The XDP program attached to an interface now.
struct XdpAttachment {
  std::uint32_t id = 0;
  std::string name;
  bool generic = false;
  bool by_link = false;
};
/// Nothing when none is attached.
[[nodiscard]] Result<std::optional<XdpAttachment>> query_xdp(int ifindex);
/// Takes any XDP program off an interface, however it was attached.
[[nodiscard]] Status detach_xdp(int ifindex);

/// An XDP program that was taken off an interface and can be put back as it was, but for a bpf_link
/// of another process: that stays without an interface. Move-only.
class TakenXdp {
 public:
  TakenXdp() = default;
  /// Takes the program off. None attached: an empty TakenXdp.
  [[nodiscard]] static Result<TakenXdp> take(int ifindex);
  /// Attaches it again, unless another one is there; empty afterwards.
  [[nodiscard]] Status put_back();
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(program_); }

 private:
  Fd program_;
  int ifindex_ = 0;
  bool generic_ = false;
};

}  // namespace lb

template <>
struct std::is_error_code_enum<lb::BpfError> : std::true_type {};
