// SPDX-License-Identifier: Apache-2.0
// The picks of scheduler.h. Every one is a loop over the service's real servers, at most two of
// them. Shares are compared crosswise, not divided: weights are at most 65535 (service_check.h) and
// a load is below 2^44, so the products fit in 64 bits.
#include "dataplane/table/scheduler.h"

#include "dataplane/table/slot_decision.h"

namespace lb {
namespace {

bool is_candidate(const RealServer& rs) { return rs.up && rs.weight != 0; }

std::uint64_t next_random(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/// Uniform in [0, bound). REQUIRES: bound > 0.
std::uint32_t random_below(std::uint64_t& state, std::uint32_t bound) {
  return static_cast<std::uint32_t>(((next_random(state) >> 32) * bound) >> 32);
}

/// The candidate in whose share of the cycle `at` lies. Weights are multiples of the plan's unit.
const RealServer* at_weight(std::span<const RealServer> servers, std::uint32_t at,
                            const WrrPlan& plan) {
  std::uint32_t left = at * plan.unit;  // below the sum of the weights, which fits
  for (const RealServer& rs : servers) {
    if (!is_candidate(rs)) continue;
    if (left < rs.weight) return &rs;
    left -= rs.weight;
  }
  return nullptr;
}

/// A cursor that belongs to this service. A new one starts anywhere, so that the workers do not
/// all send their first flow to the first real server.
std::uint32_t& cursor_of(const PickInput& in) {
  if (in.state.service != in.service.id) {
    in.state = {.service = in.service.id,
                .cursor = static_cast<std::uint32_t>(next_random(in.random) >> 32)};
  }
  return in.state.cursor;
}

const RealServer* pick_rr(const PickInput& in, std::span<const RealServer> servers) {
  const auto count = static_cast<std::uint32_t>(servers.size());
  std::uint32_t& cursor = cursor_of(in);
  std::uint32_t at = cursor % count;
  for (std::uint32_t tries = 0; tries < count; ++tries) {
    const RealServer& rs = servers[at];
    at = at + 1 == count ? 0 : at + 1;
    if (is_candidate(rs)) {
      cursor = at;
      return &rs;
    }
  }
  return nullptr;
}

/// Walks the cycle of all weights in steps that are coprime to it: each share comes exactly as
/// often as its weight says, and evenly spread.
const RealServer* pick_wrr(const PickInput& in, std::span<const RealServer> servers) {
  const WrrPlan& plan = in.service.wrr;
  if (plan.cycle == 0) return nullptr;
  std::uint32_t& cursor = cursor_of(in);
  const std::uint32_t at = cursor % plan.cycle;
  const std::uint64_t next = std::uint64_t{at} + plan.stride;
  cursor = static_cast<std::uint32_t>(next >= plan.cycle ? next - plan.cycle : next);
  return at_weight(servers, at, plan);
}

/// The candidate with the least load(rs) / weight; the first of equals.
template <class Load>
const RealServer* least(std::span<const RealServer> servers, bool weighted, Load&& load) {
  const RealServer* best = nullptr;
  std::uint64_t best_load = 0;
  std::uint64_t best_weight = 1;
  for (const RealServer& rs : servers) {
    if (!is_candidate(rs)) continue;
    const std::uint64_t own_load = load(rs);
    const std::uint64_t own_weight = weighted ? rs.weight : 1;
    if (best == nullptr || own_load * best_weight < best_load * own_weight) {
      best = &rs;
      best_load = own_load;
      best_weight = own_weight;
    }
  }
  return best;
}

/// LVS: an established connection costs as much as 256 that are not.
std::uint64_t overhead(const LoadView& load, const RealServer& rs) {
  const std::uint32_t slot = slot_of(rs.id);
  return load.active(slot) * 256 + load.inactive(slot);
}

const RealServer* pick_sed(const PickInput& in, std::span<const RealServer> servers) {
  return least(servers, true,
               [&](const RealServer& rs) { return in.load.active(slot_of(rs.id)) + 1; });
}

const RealServer* pick_nq(const PickInput& in, std::span<const RealServer> servers) {
  for (const RealServer& rs : servers) {
    if (is_candidate(rs) && in.load.active(slot_of(rs.id)) == 0) return &rs;
  }
  return pick_sed(in, servers);
}

/// The highest weight among those that `accepts`; the first of equals.
template <class Accepts>
const RealServer* heaviest(std::span<const RealServer> servers, Accepts&& accepts) {
  const RealServer* best = nullptr;
  for (const RealServer& rs : servers) {
    if (is_candidate(rs) && (best == nullptr || rs.weight > best->weight) && accepts(rs)) {
      best = &rs;
    }
  }
  return best;
}

/// Two draws by weight; the one with the lesser weighted load, the first when equal.
const RealServer* pick_twos(const PickInput& in, std::span<const RealServer> servers) {
  const WrrPlan& plan = in.service.wrr;
  if (plan.cycle == 0) return nullptr;
  const RealServer* one = at_weight(servers, random_below(in.random, plan.cycle), plan);
  const RealServer* two = at_weight(servers, random_below(in.random, plan.cycle), plan);
  if (one == nullptr || two == nullptr) return nullptr;
  const std::uint64_t load_one = overhead(in.load, *one) * two->weight;
  const std::uint64_t load_two = overhead(in.load, *two) * one->weight;
  return load_two < load_one ? two : one;
}

}  // namespace

std::uint64_t LoadView::active(std::uint32_t rs_slot) const noexcept {
  std::uint64_t sum = 0;
  for (const Counters* worker : workers_) {
    if (rs_slot < worker->rs_max) sum += worker->rs[rs_slot].active.get();
  }
  return sum;
}

std::uint64_t LoadView::inactive(std::uint32_t rs_slot) const noexcept {
  std::uint64_t sum = 0;
  for (const Counters* worker : workers_) {
    if (rs_slot < worker->rs_max) sum += worker->rs[rs_slot].inactive.get();
  }
  return sum;
}

const RealServer* pick(const PickInput& in) noexcept {
  const std::span<const RealServer> servers = in.table.real_servers(in.service);
  if (servers.empty()) return nullptr;
  auto load = [&](const RealServer& rs) { return overhead(in.load, rs); };
  switch (in.service.scheduler) {
    case Scheduler::Rr:
      return pick_rr(in, servers);
    case Scheduler::Wrr:
      return pick_wrr(in, servers);
    case Scheduler::Lc:
      return least(servers, false, load);
    case Scheduler::Wlc:
      return least(servers, true, load);
    case Scheduler::Sed:
      return pick_sed(in, servers);
    case Scheduler::Nq:
      return pick_nq(in, servers);
    case Scheduler::Sh:
      return pick_hashed(in.table, in.service, in.client_hash);
    case Scheduler::Dh:
      return pick_hashed(in.table, in.service, in.vip_hash);
    case Scheduler::Mh:
      return pick_hashed(in.table, in.service, in.flow_hash);
    case Scheduler::Fo:
      return heaviest(servers, [](const RealServer&) { return true; });
    case Scheduler::Ovf:
      return heaviest(servers, [&](const RealServer& rs) {
        return in.load.active(slot_of(rs.id)) <= rs.weight;
      });
    case Scheduler::Twos:
      return pick_twos(in, servers);
  }
  return nullptr;
}

const RealServer* pick_hashed(const ServiceTable& table, const Service& service,
                              std::uint64_t hash) noexcept {
  if (!service.table) return nullptr;
  const TableObject& slots = *service.table;
  const std::uint32_t owner =
      slots.hot(lb_hash_slot(hash, service.hash_key, slots.head().slots)) & LB_SLOT_OWNER;
  const RealServer* rs = table.member(service, owner);
  return rs != nullptr && rs->up ? rs : nullptr;
}

}  // namespace lb
