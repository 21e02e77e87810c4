// SPDX-License-Identifier: Apache-2.0
// Snapshots<T>: one publisher (control), many readers (workers). publish() hands over a new
// immutable object; a reader adopts the newest between two batches; an old object is freed by
// reclaim() once every reader has reported a later generation. No lock and no reference count on
// the readers' side.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/base/ids.h"

namespace lb {

template <class T>
class Snapshots {
 public:
  explicit Snapshots(std::size_t readers) : adopted_(readers) {}

  /// Publisher only. Sets object->generation to the next number and makes it current.
  Generation publish(std::unique_ptr<T> object) {
    LB_ASSERT(object != nullptr);
    auto generation = static_cast<Generation>(raw(last_) + 1);
    object->generation = generation;
    last_ = generation;
    const T* pointer = object.get();
    kept_.push_back(std::move(object));
    current_.store(pointer, std::memory_order_release);
    return generation;
  }

  /// Publisher only. Frees what no reader can hold any more; returns how many objects are still
  /// kept.
  std::size_t reclaim() {
    Generation oldest = last_;
    for (const auto& slot : adopted_) {
      auto seen = static_cast<Generation>(slot.generation.load(std::memory_order_acquire));
      if (seen < oldest) oldest = seen;
    }
    while (kept_.size() > 1 && kept_.front()->generation < oldest) kept_.pop_front();
    return kept_.size();
  }

  /// Reader `index` only: the newest object (null before the first publication); reports that all
  /// earlier ones are no longer in this reader's hands. Valid until this reader's next adopt().
  const T* adopt(std::size_t index) noexcept {
    const T* object = current_.load(std::memory_order_acquire);
    if (object != nullptr) {
      adopted_[index].generation.store(raw(object->generation), std::memory_order_release);
    }
    return object;
  }

  /// Publisher only: the newest object, or null.
  [[nodiscard]] const T* current() const noexcept {
    return current_.load(std::memory_order_relaxed);
  }
  /// Any thread: the generation that reader `index` has adopted.
  [[nodiscard]] Generation adopted(std::size_t index) const noexcept {
    return static_cast<Generation>(adopted_[index].generation.load(std::memory_order_acquire));
  }
  [[nodiscard]] std::size_t readers() const noexcept { return adopted_.size(); }

 private:
  struct alignas(64) Slot {
    std::atomic<std::uint64_t> generation{0};
  };
  std::atomic<const T*> current_{nullptr};
  std::vector<Slot> adopted_;
  std::deque<std::unique_ptr<T>> kept_;
  Generation last_ = Generation::None;
};

}  // namespace lb
