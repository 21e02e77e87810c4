// SPDX-License-Identifier: Apache-2.0
// Referee: what becomes of a packet, from the rules of the design and of the RFCs, over the plain
// data of the tables: the third opinion beside the pipeline and the XDP program. It knows flows by
// a std::map and writes answers from scratch. Slow, obvious, tests only. One worker, no clock of
// its own, no limits but that of half-open flows.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "dataplane/base/clock.h"
#include "tests/support/referee_reading.h"

namespace lb::test {

/// How it ends for a frame.
struct Ending {
  bool sent = false;
  PortIndex port{};
  Bytes bytes;      ///< of a frame that is sent
  Reasons reasons;  ///< each of them is a true reason for its drop
};

/// States by their places in the table of IPVS (ip_vs_proto_tcp.c), then those of other protocols.
enum class RefState : std::uint8_t { NO, ES, SS, SR, FW, TW, CL, CW, LA, LI, SA, Udp, Sctp };

struct RefFlow {
  RsId rs = RsId::None;
  ServiceId service = ServiceId::None;
  RefState state = RefState::NO;
  TickMs last_seen = 0;
};

struct Verdict {
  enum class Kind : std::uint8_t {
    Kernel,   ///< to the director's own stack
    Drop,     ///< choices[0].ending
    Answer,   ///< by the director itself: choices[0].ending, with a reason if it counts as a drop
    Forward,  ///< to one of `choices`: one alone, but where the scheduler has a say
    Hold,     ///< an early fragment
  };
  struct Choice {
    RsId rs = RsId::None;
    Ending ending;
  };
  enum class Memory : std::uint8_t { Leave, Write, Forget };
  Kind kind = Kind::Kernel;
  std::vector<Choice> choices;
  // What settle() does; `flow` lacks the real server.
  Memory memory = Memory::Leave;
  RefTuple tuple;
  RefFlow flow;
  std::optional<RefDatagram> first, held;
  Reading reading;
};

struct RefereeOptions {
  std::uint32_t half_open_max = 65'536;
  std::uint32_t held_max = 64;
};

class Referee {
 public:
  explicit Referee(RefereeOptions options = {}) : options_(options) {}

  /// Another generation. The plain data is copied, the slots are read from the tables' memory.
  void use(const ServiceTableSpec& spec) { spec_ = spec; }
  /// The port where frames arrive from now on, whose MAC they carry.
  void arrive_at(PortIndex port) { port_ = port; }

  [[nodiscard]] Verdict judge(const Bytes& frame, TickMs now) const;
  /// By an XDP program whose worker is gone: an entry of the flow memory wins, else the slot
  /// decides; what only a worker can do is dropped. Several choices: how long a flow that is not
  /// established may idle, and what other services remember, is the worker's to know. Changes
  /// nothing, so there is nothing to settle.
  [[nodiscard]] Verdict judge_alone(const Bytes& frame, TickMs now) const;
  /// Takes note of what came of it; `rs`: one of the choices of a Forward. Gives back the endings
  /// of held fragments that go on now, in order.
  std::vector<Ending> settle(const Verdict& verdict, const Bytes& frame, RsId rs, TickMs now);
  /// What the ageing does in a full turn: flows that are over go, and those nobody asks for.
  void sweep(TickMs now);
  /// All flows were seen so much earlier.
  void let_idle(std::uint32_t ms);

  [[nodiscard]] const std::map<RefTuple, RefFlow>& flows() const { return flows_; }
  [[nodiscard]] const ServiceTableSpec& spec() const { return spec_; }

 private:
  struct Slot {
    const RealServer* owner = nullptr;
    const RealServer* old = nullptr;
    bool asks = false, open = false;
  };
  struct Held {
    RefDatagram datagram;
    Bytes frame;
    Reading reading;
  };
  [[nodiscard]] const RealServer* rs(RsId id) const;
  [[nodiscard]] const Service* service(ServiceId id) const;
  [[nodiscard]] const RealServer* member_up(const Service& of, std::uint32_t index) const;
  [[nodiscard]] Slot slot_of(const Service& of, const RefTuple& tuple, bool by_flow) const;
  [[nodiscard]] const RefFlow* usable(const RefTuple& tuple, bool syn, const Service& of,
                                      TickMs now) const;
  [[nodiscard]] const RealServer* slot_alone(const Reading& reading) const;
  [[nodiscard]] bool is_idle(const RefFlow& flow, const Service& of, TickMs now) const;
  [[nodiscard]] bool is_half_open_full() const;
  [[nodiscard]] std::uint32_t half_open() const;

  void judge_flow(Verdict& v, const Bytes& frame, TickMs now) const;
  void judge_hashed(Verdict& v, const Bytes& frame, TickMs now) const;
  void judge_unknown(Verdict& v, const Bytes& frame, const Slot& slot, TickMs now) const;
  void judge_stateful(Verdict& v, const Bytes& frame, TickMs now) const;
  void judge_icmp_error(Verdict& v, const Bytes& frame, TickMs now) const;
  void judge_fragment(Verdict& v, const Bytes& frame) const;
  void follow(Verdict& v, const Bytes& frame, const RefFlow& flow, TickMs now) const;
  void forward(Verdict& v, const Bytes& frame, const RealServer* to) const;
  void drop(Verdict& v, DropReason reason) const;
  void answer(Verdict& v, Bytes bytes, std::optional<DropReason> counted) const;
  [[nodiscard]] Ending ending(const Bytes& frame, const Reading& reading,
                              const RealServer& to) const;
  [[nodiscard]] Ending follow_first(const Bytes& frame, const Reading& reading,
                                    std::pair<RsId, ServiceId> target) const;

  RefereeOptions options_;
  ServiceTableSpec spec_;
  PortIndex port_{};
  std::map<RefTuple, RefFlow> flows_;
  std::map<RefDatagram, std::pair<RsId, ServiceId>> firsts_;
  std::vector<Held> held_;
};

}  // namespace lb::test
