// SPDX-License-Identifier: Apache-2.0
// StackStore: the stacks that a tracer's programs stored (bpf/observe_stack.h), read from the
// kernel by id and put into a Report once each. A stack never changes under its id, so it is read
// once.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "dataplane/base/bpf_map.h"
#include "dataplane/base/result.h"
#include "observe/report.h"

namespace lb::observe {

class StackStore {
 public:
  /// `frames_max`: OBSERVE_STACK_FRAMES of that program. Errors: as BpfMap::open.
  [[nodiscard]] static Result<StackStore> open(int map_fd, std::size_t frames_max);

  /// Begins a new Report: what add() does from now on goes there. It outlives the calls of add().
  void begin(Report& report);
  /// The index of this stack in the Report; kNone for 0 and for an id that the map does not have.
  [[nodiscard]] std::uint32_t add(std::uint64_t id);

 private:
  struct Stored {
    std::vector<std::uint64_t> frames;
    std::size_t kernel_frames = 0;
    std::uint32_t pid = 0;
    bool cut = false;
  };
  StackStore(BpfMap map, std::size_t frames_max) : map_(map), frames_max_(frames_max) {}
  [[nodiscard]] const Stored* load(std::uint64_t id);
  [[nodiscard]] std::uint32_t add_frame(FrameKind kind, std::uint64_t address, std::uint32_t pid);

  BpfMap map_;
  std::size_t frames_max_;
  std::unordered_map<std::uint64_t, Stored> stored_;
  Report* report_ = nullptr;
  std::unordered_map<std::uint64_t, std::uint32_t> stacks_;                  // by id
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::uint32_t> frames_;  // by address, process
};

}  // namespace lb::observe
