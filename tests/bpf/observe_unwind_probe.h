// SPDX-License-Identifier: Apache-2.0
// What the tests of the user-stack unwinder share: the test program in the kernel for one process,
// its tables, and plain uprobes by perf_event_open. Header only; root, real kernel.
#pragma once

#include <gtest/gtest.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bpf/observe_stack.h"
#include "dataplane/base/bpf_map.h"
#include "dataplane/base/bpf_object.h"
#include "observe/unwind/unwind_tables.h"

namespace lb::observe {

/// A stack as the kernel side gave it.
struct TakenStack {
  std::vector<std::uint64_t> frames;
  std::uint16_t flags = 0;
  std::uint32_t tgid = 0;
  [[nodiscard]] bool cut() const { return (flags & OBSERVE_STACK_CUT_USER) != 0; }
  [[nodiscard]] bool frame_pointers() const { return (flags & OBSERVE_STACK_FRAME_POINTERS) != 0; }
};

/// bpf/test_unwind.bpf.c, compiled.
[[nodiscard]] std::span<const std::byte> test_unwind_object();

/// The globals of test_unwind.bpf.c.
struct TakenCounts {
  std::uint64_t ns = 0;
  std::uint64_t stacks = 0;
  std::uint64_t frames = 0;
  std::uint64_t cut = 0;
};

/// A perf event with one of our programs on it, from now until it goes.
inline Result<Fd> attach_event(perf_event_attr attributes, int pid, int cpu, int program) {
  attributes.size = sizeof attributes;
  Fd event(static_cast<int>(
      syscall(SYS_perf_event_open, &attributes, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!event) return fail_errno(errno, "perf_event_open");
  if (ioctl(event.get(), PERF_EVENT_IOC_SET_BPF, program) != 0) {
    return fail_errno(errno, "PERF_EVENT_IOC_SET_BPF");
  }
  if (ioctl(event.get(), PERF_EVENT_IOC_ENABLE, 0) != 0) {
    return fail_errno(errno, "PERF_EVENT_IOC_ENABLE");
  }
  return event;
}

/// A uprobe on a byte of a file; `returns`: at the return of the function there.
inline Result<Fd> attach_uprobe(const std::string& path, std::uint64_t offset, bool returns,
                                int pid, int program) {
  perf_event_attr attributes{};
  std::ifstream("/sys/bus/event_source/devices/uprobe/type") >> attributes.type;
  attributes.config = returns ? 1 : 0;
  attributes.uprobe_path = reinterpret_cast<std::uint64_t>(path.c_str());
  attributes.probe_offset = offset;
  return attach_event(attributes, pid, pid < 0 ? 0 : -1, program);
}

/// Where an address of this process is in the file that it was mapped from.
inline std::pair<std::string, std::uint64_t> place_in_file(std::uint64_t address) {
  const auto maps = ProcessMaps::read(static_cast<std::uint32_t>(getpid()));
  const Mapping* mapping = maps ? maps->find(address) : nullptr;
  if (mapping == nullptr) return {};
  return {mapping->path, address - mapping->start + mapping->file_offset};
}

/// The test program, tracing one process; all stacks that it took since the last drain().
class UnwindProbe {
 public:
  static Result<UnwindProbe> start(std::uint32_t pid) {
    BpfSpec spec;
    spec.name = "test_unwind";
    spec.elf = test_unwind_object();
    spec.constant("traced_tgid", pid);
    LB_TRY_ASSIGN(auto object, BpfObject::load(spec));
    LB_TRY_ASSIGN(auto tables, UnwindTables::open(object));
    return UnwindProbe(std::move(object), std::move(tables));
  }

  UnwindTables& tables() { return tables_; }
  const BpfObject& object() { return object_; }

  /// Attaches `program` (by_uprobe, by_uretprobe) to a function of this process.
  template <class Function>
  Result<Fd> at(Function* function, const std::string& program) {
    const auto [path, offset] = place_in_file(reinterpret_cast<std::uint64_t>(function));
    return attach_uprobe(path, offset, program == "by_uretprobe", -1, *object_.program_fd(program));
  }

  std::vector<TakenStack> drain() {
    std::vector<TakenStack> stacks;
    auto ring =
        BpfRing::open(*object_.map_fd("test_stacks"), [&](std::span<const std::byte> bytes) {
          observe_stack stack{};
          ASSERT_GE(bytes.size(), sizeof stack);
          std::memcpy(&stack, bytes.data(), sizeof stack);
          ASSERT_LE(stack.head.user_frames, OBSERVE_STACK_FRAMES);
          stacks.push_back({{stack.frames, stack.frames + stack.head.user_frames},
                            stack.head.flags,
                            stack.head.tgid});
        });
    EXPECT_TRUE(ring) << ring.error().message;
    if (ring) ring->drain();
    return stacks;
  }

  TakenCounts counts() {
    const auto bss = BpfMap::of<std::uint32_t, TakenCounts>(*object_.map_fd(".bss"));
    EXPECT_TRUE(bss) << bss.error().message;
    return bss ? bss->get<TakenCounts>(std::uint32_t{0}).value_or(TakenCounts{}) : TakenCounts{};
  }

 private:
  UnwindProbe(BpfObject object, UnwindTables tables)
      : object_(std::move(object)), tables_(std::move(tables)) {}
  BpfObject object_;
  UnwindTables tables_;
};

}  // namespace lb::observe
