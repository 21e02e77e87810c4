// SPDX-License-Identifier: Apache-2.0
// FramePool: who owns each frame of a worker's UMEM. One thread (the worker's); no I/O.
// Invariants: a frame has exactly one owner; the free stack holds exactly the Free frames, the last
// freed on top (it is still in cache); the counts sum to the number of frames. What the kernel
// hands back is checked against the owner byte, so a lost, repeated or invented descriptor never
// puts a frame into two places.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include "dataplane/base/assert.h"

namespace lb {

/// Where a frame is. Tx: in a TX ring, with the driver, or in a COMPLETION ring that was not yet
/// read.
enum class FrameOwner : std::uint8_t { Free, Fill, Worker, Tx, Completion };
inline constexpr std::size_t kFrameOwners = 5;

/// Frames by number. The worker moves frames one by one (move) and books the counts once a batch
/// (count).
class FramePool {
 public:
  using Frame = std::uint32_t;
  static constexpr Frame kNone = 0xffffffff;

  /// All frames are Free. REQUIRES: frames > 0; frame_bytes a power of two.
  FramePool(std::uint32_t frames, std::uint32_t frame_bytes)
      : frames_(checked(frames, frame_bytes)),
        shift_(static_cast<std::uint32_t>(std::countr_zero(frame_bytes))),
        stack_(std::make_unique<Frame[]>(frames)),
        owner_(std::make_unique<FrameOwner[]>(frames)),
        free_(frames) {
    counts_[index(FrameOwner::Free)] = frames;
    for (Frame i = 0; i < frames; ++i) stack_[i] = frames - 1 - i;
  }

  [[nodiscard]] std::uint32_t frames() const noexcept { return frames_; }
  [[nodiscard]] std::uint32_t frame_bytes() const noexcept { return 1U << shift_; }
  [[nodiscard]] std::uint32_t free_frames() const noexcept { return free_; }
  /// As booked by count().
  [[nodiscard]] std::uint32_t owned_by(FrameOwner owner) const noexcept {
    return counts_[index(owner)];
  }
  [[nodiscard]] FrameOwner owner(Frame frame) const noexcept {
    LB_DCHECK(frame < frames_);
    return owner_[frame];
  }
  /// UMEM address of the chunk.
  [[nodiscard]] std::uint64_t address(Frame frame) const noexcept {
    return static_cast<std::uint64_t>(frame) << shift_;
  }
  /// The frame that `address` lies in, or kNone when it is outside of the UMEM. AF_XDP hands frames
  /// back at chunk + 256 + headroom, so any address inside of the chunk will do.
  [[nodiscard]] Frame frame_at(std::uint64_t address) const noexcept {
    std::uint64_t frame = address >> shift_;
    return frame < frames_ ? static_cast<Frame>(frame) : kNone;
  }

  /// Hands a frame on. False, and nothing done, when the frame is unknown or `from` does not own
  /// it.
  [[nodiscard]] bool move(Frame frame, FrameOwner from, FrameOwner to) noexcept {
    if (frame >= frames_ || owner_[frame] != from) [[unlikely]]
      return false;
    owner_[frame] = to;
    return true;
  }
  /// As move(), where only a mistake of ours could make it fail.
  void hand_on(Frame frame, FrameOwner from, FrameOwner to) noexcept {
    LB_DCHECK(frame < frames_ && owner_[frame] == from);
    owner_[frame] = to;
  }
  /// Takes the frame freed last. REQUIRES: free_frames() > 0. Book it with count(Free, to, n).
  [[nodiscard]] Frame take(FrameOwner to) noexcept {
    LB_DCHECK(free_ > 0);
    Frame frame = stack_[--free_];
    LB_DCHECK(owner_[frame] == FrameOwner::Free);
    owner_[frame] = to;
    return frame;
  }
  /// Puts a frame of `from` on the stack. REQUIRES: `from` owns it. Book it with count(from, Free,
  /// n).
  void give(Frame frame, FrameOwner from) noexcept {
    hand_on(frame, from, FrameOwner::Free);
    LB_DCHECK(free_ < frames_);
    stack_[free_++] = frame;
  }
  /// Books `n` frames that went from one owner to another.
  void count(FrameOwner from, FrameOwner to, std::uint32_t n) noexcept {
    counts_[index(from)] -= n;
    counts_[index(to)] += n;
  }

  /// The counts sum to frames() and Free is what the stack holds. Cheap: for every build, between
  /// two steps.
  [[nodiscard]] bool balanced() const noexcept {
    return std::accumulate(counts_.begin(), counts_.end(), 0U) == frames_ &&
           counts_[index(FrameOwner::Free)] == free_;
  }
  /// Counts the owner bytes anew and looks at every stack slot; for tests.
  [[nodiscard]] bool recounted() const {
    std::array<std::uint32_t, kFrameOwners> counts{};
    for (Frame i = 0; i < frames_; ++i) ++counts[index(owner_[i])];
    std::vector<bool> on_stack(frames_);
    for (std::uint32_t i = 0; i < free_; ++i) {
      if (owner_[stack_[i]] != FrameOwner::Free || on_stack[stack_[i]]) return false;
      on_stack[stack_[i]] = true;
    }
    return counts == counts_ && balanced();
  }

 private:
  static std::uint32_t checked(std::uint32_t frames, std::uint32_t frame_bytes) noexcept {
    LB_ASSERT(frames > 0 && std::has_single_bit(frame_bytes));
    return frames;
  }
  static constexpr std::size_t index(FrameOwner owner) noexcept {
    return static_cast<std::size_t>(owner);
  }
  // Hot:
  std::uint32_t frames_;
  std::uint32_t shift_;
  std::unique_ptr<Frame[]> stack_;
  std::unique_ptr<FrameOwner[]> owner_;
  std::uint32_t free_;
  std::array<std::uint32_t, kFrameOwners> counts_{};
};

}  // namespace lb
