// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/bpf_object.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "dataplane/base/bpf_object_log.h"
#include "dataplane/base/tracefs.h"

namespace lb {
namespace {

constexpr std::size_t kVerifierLogBytes = 1U << 20;

std::unexpected<Error> bpf_fail(BpfError code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

BpfError classify(int error) {
  switch (error) {
    case EPERM:
      return BpfError::NoPermission;
    case ENOMEM:
    case E2BIG:
      return BpfError::NoMemory;
    case EOPNOTSUPP:
    case 524:
      return BpfError::Unsupported;  // ENOTSUPP, which the C library does not know
    case EBUSY:
    case EEXIST:
      return BpfError::Occupied;
    case EACCES:
    case EINVAL:
      return BpfError::Rejected;
    default:
      return BpfError::Failed;
  }
}

Status set_constant(bpf_object* object, const BpfSpec::Constant& constant) {
  const btf* types = bpf_object__btf(object);
  int id = types == nullptr ? -1 : btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC);
  if (id >= 0) {
    const btf_type* section = btf__type_by_id(types, static_cast<__u32>(id));
    const btf_var_secinfo* variable = btf_var_secinfos(section);
    for (int i = 0; i < btf_vlen(section); ++i, ++variable) {
      const btf_type* type = btf__type_by_id(types, variable->type);
      if (constant.name != btf__name_by_offset(types, type->name_off)) continue;
      if (variable->size != constant.value.size()) {
        return bpf_fail(BpfError::NoSuchSymbol,
                        fmt::format("constant {} is {} bytes in the object, {} were given",
                                    constant.name, variable->size, constant.value.size()));
      }
      bpf_map* map = nullptr;
      bpf_object__for_each_map(map, object) {
        std::string_view name = bpf_map__name(map);
        if (!name.ends_with(".rodata")) continue;
        std::size_t size = 0;
        // libbpf keeps the initial value of a data section writable until the object is loaded.
        auto* image =
            static_cast<std::byte*>(const_cast<void*>(bpf_map__initial_value(map, &size)));
        if (image == nullptr || variable->offset + constant.value.size() > size) break;
        std::ranges::copy(constant.value, image + variable->offset);
        return {};
      }
    }
  }
  return bpf_fail(BpfError::NoSuchSymbol,
                  fmt::format("no constant {} in the object", constant.name));
}

/// What of the object is other than its ELF file says.
Status prepare_object(bpf_object* object, const BpfSpec& spec) {
  for (const auto& [name, entries] : spec.map_sizes) {
    bpf_map* map = bpf_object__find_map_by_name(object, name.c_str());
    if (map == nullptr) {
      return bpf_fail(BpfError::NoSuchSymbol, fmt::format("no map {} in the object", name));
    }
    if (int error = bpf_map__set_max_entries(map, entries); error != 0) {
      return bpf_fail(classify(-error), fmt::format("map {} cannot have {} entries: {}", name,
                                                    entries, std::strerror(-error)));
    }
  }
  for (const auto& [name, type] : spec.attach_types) {
    bpf_program* program = bpf_object__find_program_by_name(object, name.c_str());
    if (program == nullptr) {
      return bpf_fail(BpfError::NoSuchSymbol, fmt::format("no program {} in the object", name));
    }
    bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(type));
  }
  for (const auto& name : spec.left_out) {
    bpf_program* program = bpf_object__find_program_by_name(object, name.c_str());
    bpf_map* map = bpf_object__find_map_by_name(object, name.c_str());
    if (program == nullptr && map == nullptr) {
      return bpf_fail(BpfError::NoSuchSymbol,
                      fmt::format("no program or map {} in the object", name));
    }
    if (program != nullptr) bpf_program__set_autoload(program, false);
    if (map != nullptr) bpf_map__set_autocreate(map, false);
  }
  return {};
}

Status prepare(bpf_object* object, const BpfSpec& spec, std::span<const std::size_t> choice) {
  for (const auto& constant : spec.constants) LB_TRY(set_constant(object, constant));
  for (const auto& shared : spec.shared_maps) {
    bpf_map* map = bpf_object__find_map_by_name(object, shared.name.c_str());
    if (map == nullptr) {
      return bpf_fail(BpfError::NoSuchSymbol, fmt::format("no map {} in the object", shared.name));
    }
    if (int error = bpf_map__reuse_fd(map, shared.fd); error != 0) {
      return bpf_fail(classify(-error), fmt::format("map {} cannot be shared: {}", shared.name,
                                                    std::strerror(-error)));
    }
  }
  LB_TRY(prepare_object(object, spec));
  for (std::size_t group = 0; group < spec.alternatives.size(); ++group) {
    for (std::size_t i = 0; i < spec.alternatives[group].size(); ++i) {
      const auto& name = spec.alternatives[group][i];
      bpf_program* program = bpf_object__find_program_by_name(object, name.c_str());
      if (program == nullptr) {
        return bpf_fail(BpfError::NoSuchSymbol, fmt::format("no program {} in the object", name));
      }
      bpf_program__set_autoload(program, i == choice[group]);
    }
  }
  return {};
}

/// Moves the group on whose chosen program the load failed to its next alternative.
bool advance(const BpfSpec& spec, std::vector<std::size_t>& choice, const std::string& failed) {
  for (std::size_t group = 0; group < choice.size(); ++group) {
    const auto& names = spec.alternatives[group];
    if (names[choice[group]] != failed) continue;
    if (choice[group] + 1 == names.size()) return false;
    ++choice[group];
    return true;
  }
  return false;
}

std::unexpected<Error> load_failed(const BpfSpec& spec, int error, const BpfLog& log) {
  BpfError code = classify(error);
  // libbpf says ESRCH when it looks for BTF in vain.
  if ((code == BpfError::Rejected || error == ESRCH) &&
      access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
    code = BpfError::NoBtf;
  }
  std::string hint;
  switch (code) {
    case BpfError::NoPermission:
      hint = "; run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON";
      break;
    case BpfError::NoBtf:
      hint = "; this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)";
      break;
    case BpfError::NoMemory:
      hint = "; raise the memory limit (ulimit -l, LimitMEMLOCK=)";
      break;
    default:
      break;
  }
  auto reason = log.reason();
  return bpf_fail(
      code, fmt::format("the kernel does not load {}: {}{}{}", spec.name, std::strerror(error),
                        reason.empty() ? "" : ": " + reason, hint));
}

std::uint64_t memory_of(int fd) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(fmt::format("/proc/self/fdinfo/{}", fd).c_str(), "re"), std::fclose);
  std::array<char, 256> line{};
  unsigned long long bytes = 0;
  while (file && std::fgets(line.data(), line.size(), file.get()) != nullptr) {
    if (std::sscanf(line.data(), "memlock: %llu", &bytes) == 1) return bytes;
  }
  return 0;
}

}  // namespace

const std::error_category& bpf_error_category() noexcept {
  struct Category final : std::error_category {
    [[nodiscard]] const char* name() const noexcept override { return "bpf"; }
    [[nodiscard]] std::string message(int value) const override {
      static constexpr std::array<const char*, 9> kTexts = {"no error",
                                                            "no permission",
                                                            "no BTF",
                                                            "unsupported by the kernel",
                                                            "verifier refusal",
                                                            "no memory",
                                                            "no such symbol",
                                                            "occupied",
                                                            "failed"};
      auto index = static_cast<std::size_t>(value);
      return index < kTexts.size() ? kTexts[index] : "unknown";
    }
  };
  static const Category kCategory;
  return kCategory;
}

void BpfLink::Destroy::operator()(bpf_link* link) const noexcept { bpf_link__destroy(link); }
BpfLink::BpfLink(BpfLink&&) noexcept = default;
BpfLink& BpfLink::operator=(BpfLink&&) noexcept = default;
BpfLink::~BpfLink() = default;
int BpfLink::fd() const noexcept { return link_ ? bpf_link__fd(link_.get()) : fd_.get(); }

std::uint32_t BpfLink::id() const noexcept {
  bpf_link_info info{};
  __u32 bytes = sizeof info;
  if (fd() < 0 || bpf_obj_get_info_by_fd(fd(), &info, &bytes) != 0) return 0;
  return info.id;
}

std::optional<XdpLinkInfo> BpfLink::xdp() const noexcept {
  bpf_link_info info{};
  __u32 bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(fd(), &info, &bytes) != 0 || info.type != BPF_LINK_TYPE_XDP) {
    return std::nullopt;
  }
  return XdpLinkInfo{static_cast<int>(info.xdp.ifindex), info.prog_id};
}

Result<BpfLink> BpfLink::adopt(const std::string& path) {
  BpfLink link;
  link.fd_.reset(bpf_obj_get(path.c_str()));
  if (!link.fd_) return fail_errno(errno, fmt::format("pinned link {}", path));
  link.pinned_ = true;
  return link;
}

Status BpfLink::pin(const std::string& path) {
  if (bpf_obj_pin(fd(), path.c_str()) != 0) {
    return fail_errno(errno, fmt::format("pin link at {}", path));
  }
  pinned_ = true;
  return {};
}

void BpfObject::Close::operator()(bpf_object* object) const noexcept { bpf_object__close(object); }
BpfObject::BpfObject(BpfObject&&) noexcept = default;
BpfObject& BpfObject::operator=(BpfObject&&) noexcept = default;
BpfObject::~BpfObject() = default;

Result<BpfObject> BpfObject::load(const BpfSpec& spec) {
  BpfObject result;
  result.name_ = spec.name;
  result.alternatives_ = spec.alternatives;
  result.choice_.assign(spec.alternatives.size(), 0);
  while (true) {  // bounded: each turn moves one group on
    BpfLog log;
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = spec.name.c_str());
    result.object_.reset(bpf_object__open_mem(spec.elf.data(), spec.elf.size(), &options));
    if (!result.object_) return load_failed(spec, errno, log);
    LB_TRY(prepare(result.object_.get(), spec, result.choice_));
    std::vector<char> verifier(kVerifierLogBytes);
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, result.object_.get()) {
      bpf_program__set_log_buf(program, verifier.data(), verifier.size());
    }
    int error = bpf_object__load(result.object_.get());
    if (error == 0) return result;
    log.add_verifier(verifier.data());
    if (!advance(spec, result.choice_, log.failed_program())) return load_failed(spec, -error, log);
  }
}

bpf_program* BpfObject::program(const std::string& name) const {
  bpf_program* program = bpf_object__find_program_by_name(object_.get(), name.c_str());
  return program != nullptr && bpf_program__fd(program) >= 0 ? program : nullptr;
}

Result<int> BpfObject::map_fd(const std::string& name) const {
  bpf_map* map = bpf_object__find_map_by_name(object_.get(), name.c_str());
  if (map == nullptr)
    return bpf_fail(BpfError::NoSuchSymbol, fmt::format("{} has no map {}", name_, name));
  return bpf_map__fd(map);
}

Result<int> BpfObject::program_fd(const std::string& name) const {
  bpf_program* found = program(name);
  if (found == nullptr) {
    return bpf_fail(BpfError::NoSuchSymbol, fmt::format("{} has no program {}", name_, name));
  }
  return bpf_program__fd(found);
}

std::string BpfObject::chosen(const std::string& name) const {
  for (std::size_t group = 0; group < alternatives_.size(); ++group) {
    if (std::ranges::find(alternatives_[group], name) != alternatives_[group].end()) {
      return alternatives_[group][choice_[group]];
    }
  }
  return name;
}

Result<BpfLink> BpfObject::attach(const std::string& name) const {
  bpf_program* found = program(name);
  if (found == nullptr) {
    return bpf_fail(BpfError::NoSuchSymbol, fmt::format("{} has no program {}", name_, name));
  }
  if (bpf_program__type(found) == BPF_PROG_TYPE_TRACEPOINT) LB_TRY(make_tracefs_visible());
  BpfLog log;
  BpfLink link;
  link.link_.reset(bpf_program__attach(found));
  if (!link.link_) {
    int error = errno;
    return bpf_fail(classify(error),
                    fmt::format("{}: {} does not attach: {}", name_, name, std::strerror(error)));
  }
  return link;
}

Status BpfObject::replace(const BpfLink& link, const std::string& name) const {
  LB_TRY_ASSIGN(int fd, program_fd(name));
  if (bpf_link_update(link.fd(), fd, nullptr) != 0) {
    return bpf_fail(classify(errno), fmt::format("{}: cannot replace the program of a link: {}",
                                                 name_, std::strerror(errno)));
  }
  return {};
}

Status BpfObject::pin_map(const std::string& name, const std::string& path) const {
  LB_TRY_ASSIGN(int fd, map_fd(name));
  if (bpf_obj_pin(fd, path.c_str()) != 0) {
    return fail_errno(errno, fmt::format("pin map {} at {}", name, path));
  }
  return {};
}

Result<Fd> BpfObject::adopt_map(const std::string& path) {
  Fd fd(bpf_obj_get(path.c_str()));
  if (!fd) return fail_errno(errno, fmt::format("pinned map {}", path));
  return fd;
}

std::vector<BpfHeld> BpfObject::held() const {
  std::vector<BpfHeld> all;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object_.get()) {
    int fd = bpf_program__fd(program);
    if (fd < 0) continue;
    bpf_prog_info info{};
    __u32 bytes = sizeof info;
    bpf_obj_get_info_by_fd(fd, &info, &bytes);
    all.push_back({false, bpf_program__name(program),
                   libbpf_bpf_prog_type_str(bpf_program__type(program)), info.id, 0,
                   memory_of(fd)});
  }
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object_.get()) {
    int fd = bpf_map__fd(map);
    if (fd < 0) continue;
    bpf_map_info info{};
    __u32 bytes = sizeof info;
    bpf_obj_get_info_by_fd(fd, &info, &bytes);
    all.push_back({true, bpf_map__name(map), libbpf_bpf_map_type_str(bpf_map__type(map)), info.id,
                   info.max_entries, memory_of(fd)});
  }
  return all;
}

}  // namespace lb
