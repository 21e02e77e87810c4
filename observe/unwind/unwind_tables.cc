// SPDX-License-Identifier: Apache-2.0
#include "observe/unwind/unwind_tables.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "dataplane/base/bpf_map_create.h"
#include "dataplane/base/files.h"

namespace lb::observe {
namespace {

constexpr std::size_t kMappingsMax = std::size_t{1} << OBSERVE_UNWIND_MAPPINGS_LOG2;
constexpr observe_unwind_row kPastTheEnd{
    .pc = ~std::uint32_t{0}, .cfa = 0, .kind = OBSERVE_UNWIND_NONE, .rbp = 0};

// When the process began, in ticks since boot; 0: it is gone.
std::uint64_t start_time(std::uint32_t pid) {
  constexpr std::size_t kStatBytesMax = 65536;
  constexpr int kStartField = 22;  // proc(5)
  const Fd file(open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return 0;
  const auto text = read_whole(file.get(), kStatBytesMax);
  if (!text) return 0;
  std::size_t at = text->rfind(')');  // the end of field 2, which may contain anything
  for (int field = 2; field < kStartField && at != std::string::npos; ++field) {
    at = text->find(' ', at + 1);
  }
  return at == std::string::npos ? 0 : std::strtoull(text->c_str() + at, nullptr, 10);
}

ReadAt read_file(int fd) {
  return [fd](std::uint64_t offset, std::span<std::byte> into) {
    while (!into.empty()) {
      const ssize_t got = pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      offset += static_cast<std::uint64_t>(got);
      into = into.subspan(static_cast<std::size_t>(got));
    }
    return true;
  };
}

// Our own: the kernel gives every process of 64 bits the same one.
Result<std::vector<std::byte>> own_vdso() {
  LB_TRY_ASSIGN(const auto maps, ProcessMaps::read(static_cast<std::uint32_t>(getpid())));
  const Mapping* mapping = maps.find(getauxval(AT_SYSINFO_EHDR));
  if (mapping == nullptr) return fail(ENOENT, "this process has no vdso");
  const Fd memory(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  std::vector<std::byte> image(mapping->end - mapping->start);
  if (!memory || !read_file(memory.get())(mapping->start, image)) {
    return fail_errno(errno, "the vdso in /proc/self/mem");
  }
  return image;
}

bool same(const observe_unwind_mapping& a, const observe_unwind_mapping& b) {
  return a.start == b.start && a.end == b.end && a.bias == b.bias && a.object == b.object &&
         a.chunks == b.chunks;
}

}  // namespace

UnwindTables::UnwindTables(BpfMap processes, BpfMap tables, BpfMap wanted, BpfMap same)
    : process_map_(processes),
      table_map_(tables),
      wanted_map_(wanted),
      same_map_(same),
      used_(tables.entries_max()) {}

Result<UnwindTables> UnwindTables::open(const BpfObject& object) {
  LB_TRY_ASSIGN(const int processes_fd, object.map_fd("observe_unwind_processes"));
  LB_TRY_ASSIGN(const int tables_fd, object.map_fd("observe_unwind_tables"));
  LB_TRY_ASSIGN(const int wanted_fd, object.map_fd("observe_unwind_wanted"));
  LB_TRY_ASSIGN(auto processes, (BpfMap::of<std::uint32_t, std::uint32_t>(processes_fd)));
  LB_TRY_ASSIGN(auto tables, (BpfMap::of<std::uint32_t, std::uint32_t>(tables_fd)));
  LB_TRY_ASSIGN(auto wanted, (BpfMap::of<std::uint32_t, std::uint64_t>(wanted_fd)));
  LB_TRY_ASSIGN(const int same_fd, object.map_fd("observe_unwind_same"));
  LB_TRY_ASSIGN(auto same, (BpfMap::of<std::uint32_t, std::uint32_t>(same_fd)));
  return UnwindTables(processes, tables, wanted, same);
}

Status UnwindTables::learn(std::uint32_t pid) {
  Process process;
  process.started = start_time(pid);
  auto read = read_process(pid, process);
  if (!read) {
    LB_TRY(forget(pid));
    return read;
  }
  const auto known = processes_.find(pid);
  if (known == processes_.end() ||
      !std::ranges::equal(known->second.mappings, process.mappings, same)) {
    LB_TRY(publish_mappings(pid, process.mappings));
  }
  processes_[pid] = std::move(process);
  LB_TRY(same_map_.erase(&pid));  // it has its own from here on
  return drop_unused();
}

Status UnwindTables::forget(std::uint32_t pid) {
  if (!processes_.contains(pid)) return {};
  LB_TRY(process_map_.erase(&pid));  // waits until no program walks by it
  processes_.erase(pid);
  return drop_unused();
}

Result<std::size_t> UnwindTables::learn_wanted() {
  std::vector<std::uint32_t> pids;
  LB_TRY((wanted_map_.scan_as<std::uint32_t, std::uint64_t>(
      [&pids](std::uint32_t pid, std::uint64_t) { pids.push_back(pid); })));
  std::size_t learned = 0;
  for (const std::uint32_t pid : pids) {
    // Taken out first, so that an address met meanwhile asks again.
    LB_TRY(wanted_map_.erase(&pid));
    if (learn(pid)) ++learned;
  }
  return learned;
}

Status UnwindTables::forget_ended() {
  std::vector<std::uint32_t> ended;
  for (const auto& [pid, process] : processes_) {
    if (start_time(pid) != process.started) ended.push_back(pid);
  }
  for (const std::uint32_t pid : ended) LB_TRY(forget(pid));
  return {};
}

std::size_t UnwindTables::objects() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(objects_, [](const auto& entry) { return entry.second->chunks > 0; }));
}

std::size_t UnwindTables::rows() const {
  std::size_t sum = 0;
  for (const auto& [identity, object] : objects_) sum += object->rows;
  return sum;
}

std::size_t UnwindTables::memory_bytes() const {
  std::size_t sum = 0;
  for (const auto& [identity, object] : objects_) {
    sum += object->chunks * sizeof(observe_unwind_chunk);
  }
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  for (const auto& [pid, process] : processes_) {
    const std::size_t bytes = process.mappings.size() * sizeof(observe_unwind_mapping);
    sum += (bytes + page - 1) / page * page;
  }
  return sum;
}

std::size_t UnwindTables::mappings_without_table() const {
  std::size_t sum = 0;
  for (const auto& [pid, process] : processes_) sum += process.without_table;
  return sum;
}

Status UnwindTables::read_process(std::uint32_t pid, Process& process) {
  LB_TRY_ASSIGN(const auto maps, ProcessMaps::read(pid));
  const Root root = root_of(pid);
  for (const Mapping& mapping : maps.mappings()) {
    // The trampoline of return probes is no code of the process, and vsyscall has no callers.
    if (mapping.path == "[uprobes]" || mapping.path == "[vsyscall]") continue;
    if (process.mappings.size() >= kMappingsMax) {
      ++process.without_table;
      continue;
    }
    process.mappings.push_back(mapping_of(pid, mapping, root, process));
  }
  if (process.mappings.empty()) {
    return fail(ESRCH, fmt::format("process {} has ended, or is a kernel thread", pid));
  }
  return {};
}

observe_unwind_mapping UnwindTables::mapping_of(std::uint32_t pid, const Mapping& mapping,
                                                const Root& root, Process& process) {
  observe_unwind_mapping result{.start = mapping.start,
                                .end = mapping.end,
                                .bias = mapping.start,
                                .object = OBSERVE_UNWIND_NO_TABLE,
                                .chunks = 0};
  // Code made at run time keeps frame pointers, or is lost.
  if (mapping.inode == 0 && mapping.kind != MappingKind::Vdso) return result;
  auto object = object_of(pid, mapping, root);
  if (!object) {
    result.chunks = 1;
    ++process.without_table;
    return result;
  }
  process.objects.push_back(*object);
  const auto bias = (*object)->layout.bias(mapping.start, mapping.file_offset);
  if (!bias || (*object)->chunks == 0) return result;
  result.bias = *bias;
  result.object = (*object)->index;
  result.chunks = (*object)->chunks;
  return result;
}

Result<std::shared_ptr<UnwindTables::Object>> UnwindTables::object_of(std::uint32_t pid,
                                                                      const Mapping& mapping,
                                                                      const Root& root) {
  if (mapping.kind == MappingKind::Vdso) {
    LB_TRY_ASSIGN(const auto image, own_vdso());
    return object_by({}, read_from(image));
  }
  LB_TRY_ASSIGN(const Fd file, open_mapped(pid, mapping, root));
  struct stat status{};
  if (fstat(file.get(), &status) != 0) return fail_errno(errno, mapping.path);
  const auto changed_ns = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000 +
                          static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
  return object_by({status.st_dev, status.st_ino, status.st_size, changed_ns},
                   read_file(file.get()));
}

Result<std::shared_ptr<UnwindTables::Object>> UnwindTables::object_by(const Identity& identity,
                                                                      const ReadAt& bytes) {
  const auto known = objects_.find(identity);
  if (known != objects_.end()) return known->second;
  auto object = std::make_shared<Object>();
  // What is no ELF object of 64 bits was made by a just-in-time compiler: frame pointers.
  if (auto layout = ElfLayout::read(bytes)) {
    object->layout = std::move(*layout);
    LB_TRY_ASSIGN(const UnwindTable table, compile_object(bytes, object->layout));
    if (!table.rows.empty()) LB_TRY(publish_table(*object, table.rows));
  }
  objects_.emplace(identity, object);
  return object;
}

Status UnwindTables::publish_table(Object& object, std::span<const observe_unwind_row> rows) {
  const auto free = std::ranges::find(used_, false);
  if (free == used_.end()) {
    return fail(ENOSPC, fmt::format("there are tables of {} objects already", used_.size()));
  }
  const auto index = static_cast<std::uint32_t>(free - used_.begin());
  const auto chunks = static_cast<std::uint32_t>((rows.size() + OBSERVE_UNWIND_CHUNK_ROWS - 1) /
                                                 OBSERVE_UNWIND_CHUNK_ROWS);
  LB_TRY_ASSIGN(const auto map,
                BpfOwnedMap::inner_array("unwind_table", sizeof(observe_unwind_chunk), chunks));
  LB_TRY_ASSIGN(const auto memory, map.memory());
  const auto table = memory.as<observe_unwind_row>();
  std::ranges::copy(rows, table.begin());
  std::ranges::fill(table.subspan(rows.size()), kPastTheEnd);
  LB_TRY(table_map_.put(index, map.fd()));
  *free = true;
  object.index = index;
  object.chunks = chunks;
  object.rows = rows.size();
  return {};
}

Status UnwindTables::publish_mappings(std::uint32_t pid,
                                      std::span<const observe_unwind_mapping> mappings) const {
  LB_TRY_ASSIGN(const auto map,
                BpfOwnedMap::inner_array("unwind_process", sizeof(observe_unwind_mapping),
                                         static_cast<std::uint32_t>(mappings.size())));
  LB_TRY_ASSIGN(const auto memory, map.memory());
  std::ranges::copy(mappings, memory.as<observe_unwind_mapping>().begin());
  auto status = process_map_.put(pid, map.fd());
  if (!status && status.error().code == std::errc::argument_list_too_long) {
    return fail(E2BIG, fmt::format("process {}: stacks of {} processes are followed already", pid,
                                   process_map_.entries_max()));
  }
  return status;
}

// After the processes that used an object are no longer in the kernel's map, so no program reads
// it.
Status UnwindTables::drop_unused() {
  for (auto at = objects_.begin(); at != objects_.end();) {
    const Object& object = *at->second;
    if (at->second.use_count() > 1) {
      ++at;
      continue;
    }
    if (object.chunks > 0) {
      LB_TRY(table_map_.erase(&object.index));
      used_[object.index] = false;
    }
    at = objects_.erase(at);
  }
  return {};
}

}  // namespace lb::observe
