// SPDX-License-Identifier: Apache-2.0
// FlowSimulation: TCP connections of one hashed service over random changes of its real servers, at
// a clock of seconds, with a flow memory that follows the steps of the packet path. It counts the
// connections that met another real server than the one that they began with. What the rules are is
// a parameter, so that wrong ones can be seen to break connections.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "dataplane/table/maglev.h"
#include "dataplane/table/slot_plan.h"

namespace lb {

struct FlowRules {
  bool remember_syn = true;    ///< in an open slot; false: only what follows it
  bool forget_refused = true;  ///< a memory that a SYN does not follow is forgotten
};

struct FlowOutcome {
  std::uint64_t connections = 0;
  std::uint64_t broken = 0;         ///< and their real server had not gone down, nor away
  std::uint64_t lost = 0;           ///< their real server had
  std::uint64_t idle_too_long = 0;  ///< broken, but idle for longer than the window before
  /// The SYN came twice and went to two real servers; the connection goes on with the second one.
  std::uint64_t repeated_apart = 0;
  std::uint64_t repeated_apart_without_change = 0;
  std::uint64_t remembered_most = 0;  ///< entries at once
  std::uint32_t changes = 0;
  std::uint64_t steady_seconds = 0;  ///< of slots
};

/// `Plan` is SlotPlan or SlotModel.
template <class Plan>
class FlowSimulation {
 public:
  static constexpr std::uint32_t kSlots = 1021;
  static constexpr std::uint32_t kWindow = 100;
  static constexpr std::uint32_t kTimeWait = 30;
  static constexpr std::uint32_t kSeconds = 3000;
  static constexpr std::uint32_t kPhase = 400;  ///< half of it busy, half of it quiet
  static constexpr std::size_t kServersMax = 20, kServersMin = 3;

  FlowSimulation(std::uint32_t keys, std::uint32_t seed, FlowRules rules)
      : random_(seed), rules_(rules), flows_(keys), calendar_(kSeconds), plan_(first_owners()) {
    for (std::uint32_t i = 0; i < keys; ++i) {
      flows_[i].slot = static_cast<std::uint16_t>(below(kSlots));
      later(i, 1 + below(kPhase));
    }
  }

  FlowOutcome run() {
    for (now_ = 0; now_ < kSeconds; ++now_) {
      if (now_ == next_change_) change();
      plan_.close_due(now_);
      if (now_ % 5 == 4) scan();
      for (std::uint32_t flow : std::exchange(calendar_[now_], {})) packet(flow);
      for (std::uint32_t i = 0; i < kSlots; i += 10)
        outcome_.steady_seconds += !asks(plan_.slot(i));
    }
    return outcome_;
  }

 private:
  static constexpr std::uint32_t kNoRs = ~0U;
  enum class Phase : std::uint8_t { Idle, SynSent, SynRepeated, Established };
  enum class State : std::uint8_t { SynRecv, Established, TimeWait };
  struct Entry {
    std::uint32_t rs = kNoRs;  // none: there is no entry
    std::uint32_t seen = 0;
    State state = State::SynRecv;
  };
  struct Flow {
    std::uint16_t slot = 0;
    Phase phase = Phase::Idle;
    bool patient = false;  // may idle for too long
    std::uint32_t rs = kNoRs;
    std::uint32_t began = 0, last = 0, ends = 0;
    Entry entry;
  };
  struct Server {  // by id; ids are not used again
    std::uint32_t member = 0, weight = 1;
    bool there = true, up = true;
    std::uint32_t died = 0;  // when it was last seen to be down or gone; 0: never
  };

  std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>((std::uint64_t{random_()} * bound) >> 32);
  }
  void later(std::uint32_t flow, std::uint32_t seconds) {
    if (now_ + seconds < kSeconds) calendar_[now_ + seconds].push_back(flow);
  }
  static bool asks(const SlotPlan::Slot& slot) { return slot.open || slot.exceptions; }
  std::uint32_t rs_of(std::uint16_t member) const {
    return member == LB_SLOT_NOBODY ? kNoRs : members_[member];
  }

  // Real servers.
  std::vector<std::uint16_t> first_owners() {
    for (int i = 0; i < 8; ++i) add();
    return owners();
  }
  void add() {
    std::uint32_t member = 0;
    while (member < members_.size() && members_[member] != kNoRs) ++member;
    if (member == members_.size()) members_.push_back(kNoRs);
    members_[member] = static_cast<std::uint32_t>(servers_.size());
    servers_.push_back({.member = member, .weight = 1 + below(4)});
  }
  std::vector<std::uint16_t> owners() const {
    std::vector<MaglevBackend> backends;
    std::vector<std::uint16_t> member_of;
    for (std::uint32_t id = 0; id < servers_.size(); ++id) {
      const Server& rs = servers_[id];
      if (!rs.there || !rs.up || rs.weight == 0) continue;
      backends.push_back({lb_mix64(2 * id + 1), lb_mix64(2 * id + 2), rs.weight});
      member_of.push_back(static_cast<std::uint16_t>(rs.member));
    }
    if (backends.empty()) return std::vector<std::uint16_t>(kSlots, LB_SLOT_NOBODY);
    std::vector<std::uint16_t> slots = *build_maglev(backends, kSlots);
    for (auto& slot : slots) slot = member_of[slot];
    return slots;
  }
  template <class Accepts>
  std::vector<std::uint32_t> servers_that(Accepts&& accepts) const {
    std::vector<std::uint32_t> ids;
    for (std::uint32_t id = 0; id < servers_.size(); ++id) {
      if (servers_[id].there && accepts(servers_[id])) ids.push_back(id);
    }
    return ids;
  }
  void change() {
    const bool busy = now_ % kPhase < kPhase / 2;
    next_change_ = now_ + (busy ? 1 + below(8) : 1 + below(2 * kWindow));
    ++outcome_.changes;
    last_change_ = now_;
    std::vector<std::uint32_t> all = servers_that([](const Server&) { return true; });
    std::vector<std::uint32_t> up = servers_that([](const Server& rs) { return rs.up; });
    std::uint32_t removed = kNoRs;
    const std::uint32_t id = all[below(static_cast<std::uint32_t>(all.size()))];
    switch (below(12)) {
      case 0:
      case 1:
        if (all.size() < kServersMax) add();
        break;
      case 2:
        if (all.size() > kServersMin) removed = id;
        break;
      case 3:
      case 4:
      case 5:
      case 6:
        servers_[id].weight = 1 + below(10);
        break;
      case 7:
      case 8:
        servers_[id].weight = 0;
        break;
      case 9:
        if (up.size() > kServersMin) servers_[id].up = false;
        break;
      default:
        servers_[id].up = true;
        break;
    }
    if (removed != kNoRs) servers_[removed].there = false;
    if (!servers_[id].there || !servers_[id].up) servers_[id].died = now_;
    MemberBits alive(members_.size());
    for (const Server& rs : servers_) {
      if (rs.there && rs.up) alive[rs.member] = true;
    }
    const auto next = owners();
    plan_.advance({.owners = next, .alive = alive, .now_s = now_, .window_s = kWindow});
    if (removed != kNoRs) members_[servers_[removed].member] = kNoRs;
  }

  // The flow memory.
  bool is_living(const Entry& entry) const {
    const std::uint32_t timeout = entry.state == State::Established ? kWindow
                                  : entry.state == State::SynRecv   ? 10
                                                                    : kTimeWait;
    return entry.rs != kNoRs && now_ - entry.seen <= timeout && servers_[entry.rs].there;
  }
  void remember(std::uint32_t flow, std::uint32_t rs, bool syn) {
    if (rs == kNoRs) return;
    if (flows_[flow].entry.rs == kNoRs) remembered_.push_back(flow);
    flows_[flow].entry = {rs, now_, syn ? State::SynRecv : State::Established};
    outcome_.remembered_most =
        std::max<std::uint64_t>(outcome_.remembered_most, remembered_.size());
  }
  /// What control's scan and the workers' ageing do.
  void scan() {
    SlotBits disagree(kSlots);
    for (std::uint32_t flow : remembered_) {
      const Entry& entry = flows_[flow].entry;
      const std::uint16_t slot = flows_[flow].slot;
      if (!is_living(entry) || !servers_[entry.rs].up) continue;
      if (entry.rs != rs_of(plan_.slot(slot).owner)) disagree[slot] = true;
    }
    plan_.clear_exceptions(disagree);
    std::erase_if(remembered_, [&](std::uint32_t flow) {
      Entry& entry = flows_[flow].entry;
      const SlotPlan::Slot slot = plan_.slot(flows_[flow].slot);
      if (is_living(entry) && (slot.open || (slot.exceptions && entry.rs != rs_of(slot.owner)))) {
        return false;
      }
      entry = {};
      return true;
    });
  }
  /// Where a packet goes.
  std::uint32_t decide(std::uint32_t flow, bool syn) {
    const SlotPlan::Slot slot = plan_.slot(flows_[flow].slot);
    const std::uint32_t owner = rs_of(slot.owner);
    if (!asks(slot)) return owner;
    Entry& entry = flows_[flow].entry;
    const bool refused = syn && entry.rs != kNoRs &&
                         (entry.state == State::TimeWait || servers_[entry.rs].weight == 0);
    if (is_living(entry) && servers_[entry.rs].up && !refused) {
      entry.seen = now_;
      if (!syn && entry.state == State::SynRecv) entry.state = State::Established;
      return entry.rs;
    }
    if (slot.open && !syn) {
      remember(flow, rs_of(slot.old), false);
      return rs_of(slot.old);
    }
    if (slot.open && rules_.remember_syn) {
      remember(flow, owner, true);
    } else if (rules_.forget_refused && entry.rs != kNoRs) {
      entry.seen = now_ - 2 * kWindow;  // for scan() to take away
    }
    return owner;
  }

  // Connections.
  void packet(std::uint32_t index) {
    Flow& flow = flows_[index];
    if (flow.phase == Phase::Idle) return begin(index);
    // Whether its real server was seen down since it began: then nothing is promised.
    if (servers_[flow.rs].died >= flow.began) {
      ++outcome_.lost;
      return end(index);
    }
    if (flow.phase == Phase::SynRepeated) return repeat(index);
    const std::uint32_t rs = decide(index, false);
    if (rs != flow.rs) {
      ++(now_ - flow.last > kWindow ? outcome_.idle_too_long : outcome_.broken);
      return end(index);
    }
    flow.phase = Phase::Established;
    flow.last = now_;
    if (now_ >= flow.ends) {
      if (flow.entry.rs != kNoRs) flow.entry.state = State::TimeWait;
      return end(index);
    }
    const std::uint32_t longest = flow.patient ? 2 * kWindow : kWindow;
    later(index, 1 + (below(4) == 0 ? below(longest) : below(10)));
  }
  void begin(std::uint32_t index) {
    Flow& flow = flows_[index];
    flow.rs = decide(index, true);
    if (flow.rs == kNoRs) return later(index, 1 + below(10));
    ++outcome_.connections;
    flow.began = flow.last = now_;
    flow.ends = now_ + (below(20) == 0 ? kSeconds : below(600));
    flow.patient = below(20) == 0;
    flow.phase = below(100) == 0 ? Phase::SynRepeated : Phase::SynSent;
    later(index, 1);
  }
  void repeat(std::uint32_t index) {
    Flow& flow = flows_[index];
    const std::uint32_t rs = decide(index, true);
    if (rs == kNoRs) return end(index);
    if (rs != flow.rs) {
      ++outcome_.repeated_apart;
      outcome_.repeated_apart_without_change += last_change_ <= flow.began;
      flow.began = now_;
    }
    flow.rs = rs;
    flow.last = now_;
    flow.phase = Phase::SynSent;
    later(index, 1);
  }
  /// The same ports come again, sooner or later.
  void end(std::uint32_t index) {
    flows_[index].phase = Phase::Idle;
    later(index, 1 + below(below(4) == 0 ? 300 : 20));
  }

  std::mt19937 random_;
  FlowRules rules_;
  std::uint32_t now_ = 0, next_change_ = kWindow, last_change_ = 0;
  std::vector<Flow> flows_;
  std::vector<std::vector<std::uint32_t>> calendar_;
  std::vector<Server> servers_;
  std::vector<std::uint32_t> members_;     // server by member index
  std::vector<std::uint32_t> remembered_;  // flows that have an entry
  Plan plan_;
  FlowOutcome outcome_;
};

}  // namespace lb
