// SPDX-License-Identifier: Apache-2.0
// What would become of a packet: the question, the answer, and what a worker would say of it by the
// tables and the flow memory as they are. Nothing is counted, remembered or changed. Control's
// thread, while workers run.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/drop_reason.h"
#include "dataplane/base/hand_reason.h"
#include "dataplane/counters.h"
#include "dataplane/pipeline.h"
#include "dataplane/table/service_table.h"

namespace lb {

/// A packet as it would arrive.
struct ExplainRequest {
  PortIndex port{};
  std::uint32_t queue = 0;
  IpAddr client, vip;  ///< of one family
  std::uint16_t client_port = 0, vip_port = 0;
  Proto proto = Proto::Tcp;
  std::uint8_t tcp_flags = 0x02;  ///< as in the TCP header
  std::uint8_t ttl = 64;
  std::uint32_t ip_bytes = 0;  ///< of the IP packet; 0: without a payload
  std::uint16_t vlan = 0;      ///< of the tag it comes with; 0: none
  static constexpr std::uint32_t kIpBytesMax = 3000;
  /// Headers alone.
  [[nodiscard]] std::uint32_t ip_bytes_min() const noexcept;
};

enum class ExplainVerdict : std::uint8_t {
  Pass,     ///< to the director's own stack
  Drop,     ///< with a reason
  Forward,  ///< to a real server
  Answer,   ///< by an ICMP message, dropped otherwise
};

/// What a worker would do with the packet.
struct WorkerLook {
  ExplainVerdict verdict = ExplainVerdict::Drop;
  DropReason drop = DropReason::VipUnmatched;  ///< of Drop and Answer
  const Service* service = nullptr;
  std::optional<std::uint32_t> slot;          ///< of the service's table, when it has a say
  std::optional<FlowData> flow;               ///< what is remembered of it, if that was asked for
  bool follows = false;                       ///< ... and counts for this packet
  bool remembers = false;                     ///< the flow would be remembered
  const RealServer* rs = nullptr;             ///< Forward: null when it is one of `candidates`
  std::vector<const RealServer*> candidates;  ///< the scheduler has them in turn, or by chance
};

struct Explanation {
  // What the XDP program did with it:
  ExplainVerdict verdict = ExplainVerdict::Pass;  ///< unless it was handed over
  HandReason handed = HandReason::None;           ///< None: it decided by itself
  DropReason drop = DropReason::Truncated;
  bool panic = false;  ///< Pass, because everything passes
  bool alone = false;  ///< decided without the worker that should have
  lb_trace trace{};
  Generation generation = Generation::None;  ///< of the tables
  std::vector<std::uint8_t> frame;           ///< as it leaves; empty: it does not
  // What the worker of the queue would do; what both look at is the same.
  WorkerLook worker;
};

/// The frame, with right lengths and checksums. REQUIRES: ip_bytes is 0 or from ip_bytes_min() to
/// kIpBytesMax.
[[nodiscard]] std::vector<std::uint8_t> probe_frame(const ExplainRequest& request,
                                                    const MacAddr& to);

/// REQUIRES: `frame` is one of probe_frame(). The rate of new flows is taken as not used up.
/// `counters`: as the least-connection schedulers weigh by. Pointers are into `table`.
[[nodiscard]] WorkerLook look_as_worker(const ServiceTable& table, const Pipeline& path,
                                        std::span<const Counters* const> counters,
                                        std::span<const std::uint8_t> frame, TickMs now);

}  // namespace lb
