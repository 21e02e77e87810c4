// SPDX-License-Identifier: Apache-2.0
// ThreeWays: one packet after the other through the XDP program (BPF_PROG_TEST_RUN), the pipeline
// and the referee, over the same tables and the same flow memory. All three have to agree: on the
// verdict, on the bytes and port of what is sent, on what is remembered. A frame that the program
// hands over goes to the pipeline as it would to a worker, with its metadata before it. Needs
// CAP_BPF; for the differential test and the fuzzer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "dataplane/base/fd.h"
#include "dataplane/io/fast_path.h"
#include "dataplane/io/xdp_program.h"
#include "dataplane/pipeline.h"
#include "tests/support/frame.h"
#include "tests/support/random_world.h"
#include "tests/support/referee.h"

namespace lb::test {

class ThreeWays {
 public:
  struct Counts {
    std::uint64_t packets = 0, passed = 0, dropped = 0, sent = 0, redirected = 0, handed = 0;
    std::uint64_t remembered = 0, held = 0, answered = 0, alone = 0;
  };

  /// Makes the maps and loads the program. Errors: BpfError.
  [[nodiscard]] static Result<std::unique_ptr<ThreeWays>> create();

  /// Everything anew, by a seed of its own: world, memory, worker, engine, port of arrival.
  [[nodiscard]] Status begin(std::uint64_t seed);
  /// The same world, which nobody remembers a packet of.
  [[nodiscard]] Status forget();
  /// The next change of the world, in force for all three.
  [[nodiscard]] Status change();
  /// Every flow was seen 100 s earlier.
  void let_idle();
  /// The ageing of the worker goes once around: the first time only, since each further turn takes
  /// it 8 s of the clock, which the program has as well.
  void sweep();
  /// The worker is gone: from now on the program decides by itself, and the pipeline gets nothing.
  [[nodiscard]] Status stop_worker();
  /// Nothing when all agree; else all that is needed to see why.
  [[nodiscard]] std::optional<std::string> run(const Bytes& frame);
  /// Whether pipeline and referee remember the same.
  [[nodiscard]] std::optional<std::string> compare_flows();

  [[nodiscard]] const RandomWorld& world() const { return *world_; }
  [[nodiscard]] const MacAddr& mac() const { return spec_.ports[raw(port_)].mac; }
  [[nodiscard]] Referee& referee() { return *referee_; }
  [[nodiscard]] const Counts& counts() const { return counts_; }
  /// Time since begin() in which a flow may have got too old for one and not for the other.
  [[nodiscard]] bool is_stale() const { return ms_since(tick_ms_now(), begun_) > 1'000; }
  /// For tests of the comparison itself: this flow's real server in the memory becomes another.
  bool bend_a_flow();

 private:
  struct Program {
    std::string what;  // "pass", "drop", "tx", "redirect", "handed" or "wrong"
    std::optional<DropReason> reason;
    std::uint32_t hand_reason = LB_HAND_COUNT;
    Bytes meta, bytes;
    bool alone = false;
  };
  struct Worker {
    std::vector<std::pair<PortIndex, Bytes>> sent;
    std::vector<DropReason> drops;
    bool held = false;
    std::optional<std::string> broken;
  };
  ThreeWays() = default;
  [[nodiscard]] Status install();
  [[nodiscard]] Program run_program(const Bytes& frame);
  void explain(const XdpProgram::CounterValues& now, std::uint32_t code, Program& program) const;
  [[nodiscard]] std::optional<std::string> run_alone(const Bytes& frame);
  [[nodiscard]] Worker run_worker(const Bytes& frame, const Bytes& meta, TickMs now);
  [[nodiscard]] std::optional<std::string> disagreement(const Program& program,
                                                        const Verdict& verdict,
                                                        const Bytes& frame) const;
  [[nodiscard]] std::optional<std::string> disagreement(const Worker& worker,
                                                        const Verdict& verdict,
                                                        const Verdict::Choice* choice,
                                                        const std::vector<Ending>& released) const;
  [[nodiscard]] const Verdict::Choice* choice_of(const Verdict& verdict) const;
  [[nodiscard]] std::optional<FlowData> remembered(const RefTuple& tuple) const;
  [[nodiscard]] std::string report(const std::string& why, const Bytes& frame,
                                   const Verdict& verdict, const Program& program,
                                   const Worker* worker) const;

  std::unique_ptr<FastPath> shared_;
  std::optional<XdpProgram> program_;
  Fd socket_;  // bound to nothing; stands for the worker's
  XdpProgram::CounterValues before_;
  std::optional<RandomWorld> world_;
  ServiceTableSpec spec_;
  std::unique_ptr<ServiceTable> table_;
  std::uint64_t generation_ = 0;
  std::unique_ptr<Counters> counters_;
  std::unique_ptr<ResolveRequests> resolve_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<BatchOut> out_ = std::make_unique<BatchOut>();
  std::map<std::uint64_t, std::unique_ptr<Frame>> frames_;  // in the pipeline's hands
  std::optional<Referee> referee_;
  PortIndex port_{};
  PipelineOptions options_;
  XdpProgram::Forwarding forwarding_;
  bool alone_ = false;        // the worker is gone
  bool swept_ = false;        // the ageing went around
  bool only_handed_ = false;  // the pipeline gets what a worker would get, and no more
  std::uint64_t seed_ = 0, number_ = 0;
  TickMs begun_ = 0;
  Counts counts_;
};

}  // namespace lb::test
