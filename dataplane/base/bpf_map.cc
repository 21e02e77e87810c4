// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/bpf_map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>

namespace lb {
namespace {

constexpr std::uint32_t kBatch = 4096;

// More than any ring of ours holds: a drain ends, however fast records come.
constexpr std::uint32_t kRecordsAtOnce = 1U << 18;

}  // namespace

struct BpfRing::Reader {
  std::function<void(std::span<const std::byte>)> record;
  std::uint32_t left = 0;

  /// What libbpf calls; a negative answer ends ring_buffer__consume() behind this record.
  static int take(void* reader, void* data, std::size_t bytes) {
    auto& self = *static_cast<Reader*>(reader);
    self.record({static_cast<const std::byte*>(data), bytes});
    return --self.left == 0 ? -ECANCELED : 0;
  }
};

Result<BpfMap> BpfMap::open(int fd, std::size_t key_bytes, std::size_t value_bytes) {
  bpf_map_info info{};
  __u32 bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, &info, &bytes) != 0) return fail_errno(errno, "a BPF map");
  if (info.key_size != key_bytes || info.value_size != value_bytes) {
    return fail(EINVAL,
                fmt::format("map {} has keys of {} and values of {} bytes, not {} and {}",
                            info.name, info.key_size, info.value_size, key_bytes, value_bytes));
  }
  return BpfMap(fd, key_bytes, value_bytes, info.max_entries);
}

Status BpfMap::lookup(const void* key, std::span<std::byte> value) const {
  if (bpf_map_lookup_elem(fd_, key, value.data()) != 0) return fail_errno(errno, "map lookup");
  return {};
}

Status BpfMap::update(const void* key, std::span<const std::byte> value) const {
  if (bpf_map_update_elem(fd_, key, value.data(), BPF_ANY) != 0) {
    return fail_errno(errno, "map update");
  }
  return {};
}

Status BpfMap::erase(const void* key) const {
  if (bpf_map_delete_elem(fd_, key) != 0 && errno != ENOENT) return fail_errno(errno, "map delete");
  return {};
}

// A bucket that holds more than a batch answers ENOSPC: then with room for more.
Status BpfMap::scan(
    const std::function<void(const std::byte* key, const std::byte* value)>& each) const {
  std::uint32_t room = std::min(kBatch, entries_max_);
  std::vector<std::byte> keys;
  std::vector<std::byte> values;
  std::vector<std::byte> at(std::max<std::size_t>(key_bytes_, 8));
  bool first = true;
  while (true) {  // ends with ENOENT: the kernel walks the buckets once
    keys.resize(room * key_bytes_);
    values.resize(room * value_bytes_);
    __u32 count = room;
    int error = bpf_map_lookup_batch(fd_, first ? nullptr : at.data(), at.data(), keys.data(),
                                     values.data(), &count, nullptr);
    const int code = error != 0 ? errno : 0;
    if (code == ENOSPC && room < entries_max_) {
      room = std::min(room * 2, entries_max_);
      continue;
    }
    if (code != 0 && code != ENOENT) {
      return first ? scan_slowly(each) : Status(fail_errno(code, "map scan"));
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      each(keys.data() + i * key_bytes_, values.data() + i * value_bytes_);
    }
    if (code == ENOENT) return {};
    first = false;
  }
}

// For maps that know no batches. Bounded: keys that are deleted meanwhile start the walk anew.
Status BpfMap::scan_slowly(
    const std::function<void(const std::byte*, const std::byte*)>& each) const {
  std::vector<std::byte> key(key_bytes_);
  std::vector<std::byte> value(value_bytes_);
  bool first = true;
  for (std::uint64_t i = 0; i < 4 * static_cast<std::uint64_t>(entries_max_); ++i) {
    if (bpf_map_get_next_key(fd_, first ? nullptr : key.data(), key.data()) != 0) {
      return errno == ENOENT ? Status() : Status(fail_errno(errno, "map scan"));
    }
    first = false;
    if (bpf_map_lookup_elem(fd_, key.data(), value.data()) == 0) each(key.data(), value.data());
  }
  return fail(EAGAIN, "map scan: it changes faster than it can be read");
}

std::size_t BpfMap::cpus() {
  static const int kCpus = libbpf_num_possible_cpus();
  return kCpus > 0 ? static_cast<std::size_t>(kCpus) : 1;
}

Result<BpfMapping> BpfMapping::map(int fd, std::size_t bytes, bool writable) {
  void* data =
      mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return fail_errno(errno, "memory map of a BPF array");
  BpfMapping mapping;
  mapping.data_ = data;
  mapping.bytes_ = bytes;
  return mapping;
}

BpfMapping::~BpfMapping() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

Result<BpfRing> BpfRing::open(int map_fd, std::function<void(std::span<const std::byte>)> record) {
  BpfRing ring(std::make_unique<Reader>(std::move(record)));
  ring.ring_ = ring_buffer__new(map_fd, &Reader::take, ring.reader_.get(), nullptr);
  if (ring.ring_ == nullptr) return fail_errno(errno, "a BPF ring buffer");
  return ring;
}

BpfRing::BpfRing(std::unique_ptr<Reader> reader) : reader_(std::move(reader)) {}

BpfRing::BpfRing(BpfRing&& other) noexcept
    : reader_(std::move(other.reader_)), ring_(std::exchange(other.ring_, nullptr)) {}

BpfRing::~BpfRing() {
  if (ring_ != nullptr) ring_buffer__free(static_cast<ring_buffer*>(ring_));
}

int BpfRing::fd() const noexcept {
  return ring_buffer__epoll_fd(static_cast<const ring_buffer*>(ring_));
}

void BpfRing::drain() {
  reader_->left = kRecordsAtOnce;
  ring_buffer__consume(static_cast<ring_buffer*>(ring_));
}

}  // namespace lb
