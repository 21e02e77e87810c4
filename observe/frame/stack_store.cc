// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/stack_store.h"

#include <algorithm>
#include <cstring>

#include "bpf/observe_stack.h"

namespace lb::observe {

Result<StackStore> StackStore::open(int map_fd, std::size_t frames_max) {
  auto map = BpfMap::open(map_fd, sizeof(std::uint64_t),
                          sizeof(observe_stack_head) + frames_max * sizeof(std::uint64_t));
  if (!map) return std::unexpected(map.error());
  return StackStore(*map, frames_max);
}

void StackStore::begin(Report& report) {
  report_ = &report;
  stacks_.clear();
  frames_.clear();
}

const StackStore::Stored* StackStore::load(std::uint64_t id) {
  auto [at, isnew] = stored_.try_emplace(id);
  if (!isnew) return &at->second;
  std::vector<std::byte> value(sizeof(observe_stack_head) + frames_max_ * sizeof(std::uint64_t));
  if (!map_.lookup(&id, value)) {
    stored_.erase(at);
    return nullptr;
  }
  observe_stack_head head{};
  std::memcpy(&head, value.data(), sizeof head);
  auto& stored = at->second;
  const std::size_t frames =
      std::min<std::size_t>(frames_max_, std::size_t{head.kernel_frames} + head.user_frames);
  stored.frames.resize(frames);
  std::memcpy(stored.frames.data(), value.data() + sizeof head, frames * sizeof(std::uint64_t));
  stored.kernel_frames = std::min<std::size_t>(head.kernel_frames, frames);
  stored.pid = head.tgid;
  stored.cut = (head.flags & (OBSERVE_STACK_CUT_KERNEL | OBSERVE_STACK_CUT_USER)) != 0;
  return &stored;
}

std::uint32_t StackStore::add_frame(FrameKind kind, std::uint64_t address, std::uint32_t pid) {
  const auto next = static_cast<std::uint32_t>(report_->frames.size());
  auto [at, isnew] = frames_.try_emplace({address, pid}, next);
  if (isnew) {
    Frame frame;
    frame.kind = kind;
    frame.address = address;
    frame.pid = pid;
    report_->frames.push_back(std::move(frame));
  }
  return at->second;
}

std::uint32_t StackStore::add(std::uint64_t id) {
  if (id == 0) return kNone;
  if (auto known = stacks_.find(id); known != stacks_.end()) return known->second;
  const Stored* stored = load(id);
  if (stored == nullptr) return kNone;
  Stack stack;
  stack.cut = stored->cut;
  for (std::size_t i = 0; i < stored->frames.size(); ++i) {
    const bool kernel = i < stored->kernel_frames;
    stack.frames.push_back(add_frame(kernel ? FrameKind::Kernel : FrameKind::User,
                                     stored->frames[i], kernel ? 0 : stored->pid));
  }
  report_->stacks.push_back(std::move(stack));
  const auto index = static_cast<std::uint32_t>(report_->stacks.size() - 1);
  stacks_.emplace(id, index);
  return index;
}

}  // namespace lb::observe
