// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/xdp_explainer.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <cerrno>
#include <utility>

namespace lb {
namespace {

constexpr std::size_t kRoomForTag = 256;

/// What the program did, by what it has counted: exactly one thing. False: none.
bool read_verdict(const XdpProgram::CounterValues& before, const XdpProgram::CounterValues& after,
                  Explanation& to) {
  to.alone = after.alone != before.alone;
  to.panic = after.panic_passed != before.panic_passed;
  if (to.panic || after.passed != before.passed) {
    to.verdict = ExplainVerdict::Pass;
    return true;
  }
  if (after.sent != before.sent || after.redirected != before.redirected) {
    to.verdict = ExplainVerdict::Forward;
    return true;
  }
  for (std::size_t i = 0; i < LB_HAND_REASON_COUNT; ++i) {
    if (after.handed[i] == before.handed[i]) continue;
    to.handed = static_cast<HandReason>(i);
    return true;
  }
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    if (after.drops[i] == before.drops[i]) continue;
    to.verdict = ExplainVerdict::Drop;
    to.drop = static_cast<DropReason>(i);
    return true;
  }
  return false;
}

}  // namespace

Result<XdpExplainer> XdpExplainer::load(const FastPath& shared, const XdpProgram& port) {
  LB_TRY_ASSIGN(auto program, XdpProgram::load_explaining(shared, port));
  XdpExplainer explainer(std::move(program));
  LB_TRY_ASSIGN(int fd, explainer.object().map_fd("trace"));
  Fd own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!own) return fail_errno(errno, "trace of the XDP program");
  LB_TRY_ASSIGN(explainer.trace_, BpfMap::over(std::move(own), {.name = "trace",
                                                                .type = BPF_MAP_TYPE_ARRAY,
                                                                .value_bytes = sizeof(lb_trace),
                                                                .entries = 1,
                                                                .flags = BPF_F_MMAPABLE}));
  return explainer;
}

Result<Explanation> XdpExplainer::run(std::span<const std::uint8_t> frame, int ifindex,
                                      std::uint32_t queue) {
  Explanation answer;
  *trace_.values<lb_trace>() = {};
  const XdpProgram::CounterValues before = program_.counters();
  answer.frame.resize(frame.size() + kRoomForTag);
  xdp_md context{};
  context.data_end = static_cast<__u32>(frame.size());
  context.ingress_ifindex = static_cast<__u32>(ifindex);
  context.rx_queue_index = queue;
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = frame.data();
  options.data_size_in = static_cast<__u32>(frame.size());
  options.data_out = answer.frame.data();
  options.data_size_out = static_cast<__u32>(answer.frame.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof context;
  LB_TRY_ASSIGN(int program, object().program_fd("lb_xdp"));
  if (bpf_prog_test_run_opts(program, &options) != 0) {
    return fail_errno(errno, fmt::format("run the XDP program as if on queue {}", queue));
  }
  if (!read_verdict(before, program_.counters(), answer)) {
    return fail(EPROTO, "the XDP program does not tell what it did with the packet");
  }
  answer.trace = *trace_.values<lb_trace>();
  const bool leaves =
      answer.handed == HandReason::None && answer.verdict == ExplainVerdict::Forward;
  answer.frame.resize(leaves ? options.data_size_out : 0);
  return answer;
}

}  // namespace lb
