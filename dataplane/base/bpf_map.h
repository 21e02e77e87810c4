// SPDX-License-Identifier: Apache-2.0
// BpfMap: reading and writing one map of a BpfObject from user space, with the sizes of key and
// value checked against the kernel's once. Borrows the descriptor. One thread at a time; not for
// packets.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "dataplane/base/result.h"

namespace lb {

class BpfMap {
 public:
  /// Errors: EINVAL when the kernel's sizes are not these; errno of BPF_OBJ_GET_INFO_BY_FD.
  [[nodiscard]] static Result<BpfMap> open(int fd, std::size_t key_bytes, std::size_t value_bytes);
  template <class Key, class Value>
  [[nodiscard]] static Result<BpfMap> of(int fd) {
    static_assert(std::is_trivially_copyable_v<Key> && std::is_trivially_copyable_v<Value>);
    return open(fd, sizeof(Key), sizeof(Value));
  }

  [[nodiscard]] std::uint32_t entries_max() const noexcept { return entries_max_; }
  [[nodiscard]] int fd() const noexcept { return fd_; }

  /// Errors: ENOENT, errno of bpf(2). The spans have the map's sizes (per-CPU maps: CPUs x the
  /// value rounded up to 8 bytes).
  [[nodiscard]] Status lookup(const void* key, std::span<std::byte> value) const;
  [[nodiscard]] Status update(const void* key, std::span<const std::byte> value) const;
  /// ENOENT is no error.
  [[nodiscard]] Status erase(const void* key) const;

  template <class Value, class Key>
  [[nodiscard]] std::optional<Value> get(const Key& key) const {
    Value value{};
    if (!lookup(&key, std::as_writable_bytes(std::span(&value, 1)))) return std::nullopt;
    return value;
  }
  template <class Key, class Value>
  [[nodiscard]] Status put(const Key& key, const Value& value) const {
    return update(&key, std::as_bytes(std::span(&value, 1)));
  }

  /// Calls `each` with the bytes of every entry, in batches where the kernel has them. Entries that
  /// come or go meanwhile may or may not be seen; an entry that stays is seen at least once, and
  /// twice only when the map is changed meanwhile. Not for per-CPU maps. Errors: errno of bpf(2).
  [[nodiscard]] Status scan(
      const std::function<void(const std::byte* key, const std::byte* value)>& each) const;
  template <class Key, class Value, class Each>
  [[nodiscard]] Status scan_as(Each each) const {
    return scan([&each](const std::byte* key, const std::byte* value) {
      // The batch buffers are aligned to 8 bytes, entries are not when their size is not.
      Key k;
      Value v;
      std::copy_n(key, sizeof k, reinterpret_cast<std::byte*>(&k));
      std::copy_n(value, sizeof v, reinterpret_cast<std::byte*>(&v));
      each(k, v);
    });
  }

  /// The values of all CPUs at `key` of a per-CPU map.
  template <class Value, class Key>
  [[nodiscard]] Result<std::vector<Value>> per_cpu(const Key& key) const {
    static_assert(sizeof(Value) % 8 == 0);
    std::vector<Value> values(cpus());
    LB_TRY(lookup(&key, std::as_writable_bytes(std::span(values))));
    return values;
  }
  /// CPUs that could be there: what the values of a per-CPU map are counted by.
  [[nodiscard]] static std::size_t cpus();

 private:
  BpfMap(int fd, std::size_t key_bytes, std::size_t value_bytes, std::uint32_t entries_max)
      : fd_(fd), key_bytes_(key_bytes), value_bytes_(value_bytes), entries_max_(entries_max) {}
  [[nodiscard]] Status scan_slowly(
      const std::function<void(const std::byte*, const std::byte*)>& each) const;
  int fd_;
  std::size_t key_bytes_;
  std::size_t value_bytes_;
  std::uint32_t entries_max_;
};

/// A memory-mapped array map (BPF_F_MMAPABLE), readable while it lives. Move-only.
class BpfMapping {
 public:
  BpfMapping() = default;
  /// Errors: errno of mmap(2).
  [[nodiscard]] static Result<BpfMapping> map(int fd, std::size_t bytes, bool writable);
  BpfMapping(BpfMapping&& other) noexcept { *this = std::move(other); }
  BpfMapping& operator=(BpfMapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~BpfMapping();
  template <class T>
  [[nodiscard]] std::span<T> as() const noexcept {
    return {static_cast<T*>(data_), bytes_ / sizeof(T)};
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// A BPF ring buffer. Move-only.
class BpfRing {
 public:
  /// Errors: errno; ENOMEM.
  [[nodiscard]] static Result<BpfRing> open(int map_fd,
                                            std::function<void(std::span<const std::byte>)> record);
  BpfRing(BpfRing&& other) noexcept;
  BpfRing& operator=(BpfRing&& other) noexcept {
    std::swap(reader_, other.reader_);
    std::swap(ring_, other.ring_);
    return *this;
  }
  ~BpfRing();
  /// Readable when records wait.
  [[nodiscard]] int fd() const noexcept;
  /// Gives every record that waits to the function; ends, however fast more come.
  void drain();

 private:
  struct Reader;
  explicit BpfRing(std::unique_ptr<Reader> reader);
  std::unique_ptr<Reader> reader_;
  void* ring_ = nullptr;  // libbpf's ring_buffer
};

}  // namespace lb
