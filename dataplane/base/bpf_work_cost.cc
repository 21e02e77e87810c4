// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/bpf_work_cost.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/base/fd.h"

namespace lb {
namespace {

constexpr std::uint32_t kKeyBytes = 16;    // as observe_heap_key
constexpr std::uint32_t kValueBytes = 32;  // as observe_heap_block
constexpr std::int16_t kKeyAt = -16;       // from the frame pointer
constexpr std::int16_t kValueAt = -48;
constexpr int kAddNumber = BPF_ALU64 | BPF_ADD;  // BPF_K is 0
constexpr int kLoadMap = BPF_LD | BPF_DW;        // BPF_IMM is 0
constexpr int kRepeat = 500;
constexpr std::size_t kRounds = 5;

bpf_insn instruction(int code, int to, int from, std::int16_t offset, std::int32_t number) {
  bpf_insn made{};
  made.code = static_cast<std::uint8_t>(code);
  made.dst_reg = static_cast<std::uint8_t>(to & 0xf);
  made.src_reg = static_cast<std::uint8_t>(from & 0xf);
  made.off = offset;
  made.imm = number;
  return made;
}

/// update, look-up, delete of the entry whose key and value are zeros.
std::vector<bpf_insn> unit_of_work(int map) {
  std::vector<bpf_insn> code;
  auto add = [&code](int op, int to, int from, std::int16_t offset, std::int32_t number) {
    code.push_back(instruction(op, to, from, offset, number));
  };
  auto address = [&add](int to, std::int16_t at) {  // to = r10 + at
    add(BPF_ALU64 | BPF_MOV | BPF_X, to, BPF_REG_10, 0, 0);
    add(kAddNumber, to, 0, 0, at);
  };
  auto call = [&](std::int32_t helper) {
    add(kLoadMap, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map);
    add(0, 0, 0, 0, 0);  // the upper half of the address
    address(BPF_REG_2, kKeyAt);
    add(BPF_JMP | BPF_CALL, 0, 0, 0, helper);
  };
  for (std::int16_t at = kValueAt; at < 0; at += 8) {
    add(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, at, 0);
  }
  address(BPF_REG_3, kValueAt);
  add(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_4, 0, 0, BPF_ANY);
  call(BPF_FUNC_map_update_elem);
  call(BPF_FUNC_map_lookup_elem);
  call(BPF_FUNC_map_delete_elem);
  add(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
  add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  return code;
}

Result<BpfWorkProgram> load(bpf_prog_type type, std::uint32_t attach_type) {
  LIBBPF_OPTS(bpf_map_create_opts, map_options, .map_flags = BPF_F_NO_PREALLOC);
  Fd map(bpf_map_create(BPF_MAP_TYPE_HASH, "observe_work", kKeyBytes, kValueBytes, 1024,
                        &map_options));
  if (!map) return fail_errno(errno, "calibration: a map");
  const auto code = unit_of_work(map.get());
  LIBBPF_OPTS(bpf_prog_load_opts, options,
              .expected_attach_type = static_cast<bpf_attach_type>(attach_type));
  Fd program(
      bpf_prog_load(type, "observe_work", "Dual BSD/GPL", code.data(), code.size(), &options));
  if (!program) return fail_errno(errno, "calibration: a program");
  return BpfWorkProgram{std::move(map), std::move(program)};
}

}  // namespace

Result<BpfWorkProgram> load_bpf_work_unit(UprobeKind kind) {
  return load(BPF_PROG_TYPE_KPROBE, uprobe_attach_type(kind));
}

Result<double> measure_bpf_work_unit() {
  LB_TRY_ASSIGN(const BpfWorkProgram work, load(BPF_PROG_TYPE_SOCKET_FILTER, 0));
  std::array<double, kRounds> ns{};
  for (double& round : ns) {
    std::array<char, 64> packet{};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.data(), .data_size_in = packet.size(),
                .repeat = kRepeat);
    if (bpf_prog_test_run_opts(work.program.get(), &options) != 0) {
      return fail_errno(errno, "calibration: a run");
    }
    round = options.duration;
  }
  std::ranges::sort(ns);
  return ns[kRounds / 2];
}

}  // namespace lb
