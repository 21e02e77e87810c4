// SPDX-License-Identifier: Apache-2.0
#include "control/exception_scan.h"

#include <cstring>
#include <utility>

namespace lb {
namespace {

template <class Key>
std::uint64_t hash_of(Key key, const FlowInfo& flow, SlotHash hash, const lb_hash_key& secret) {
  switch (hash) {
    case SlotHash::Client:
      return client_hash(key, secret);
    case SlotHash::Vip:
      return vip_hash(key, secret);
    case SlotHash::Flow:
      break;
  }
  key.client_port = Be16::from_host(flow.client_port);
  key.vip_port = Be16::from_host(flow.vip_port);
  key.proto = raw(flow.proto);
  return flow_hash(key, secret);
}

}  // namespace

SlotHash slot_hash_of(Scheduler scheduler) {
  if (scheduler == Scheduler::Sh) return SlotHash::Client;
  return scheduler == Scheduler::Dh ? SlotHash::Vip : SlotHash::Flow;
}

std::uint64_t hash_of(const FlowInfo& flow, SlotHash hash, const lb_hash_key& secret) {
  if (flow.vip.is_v4()) {
    FlowKey4 key;
    key.client = flow.client.as_v4();
    key.vip = flow.vip.as_v4();
    return hash_of(key, flow, hash, secret);
  }
  FlowKey6 key;
  std::memcpy(key.client, flow.client.data(), sizeof key.client);
  std::memcpy(key.vip, flow.vip.data(), sizeof key.vip);
  return hash_of(key, flow, hash, secret);
}

void ExceptionScan::add(ServiceId id, SlotHash hash, std::uint64_t hash_key,
                        std::shared_ptr<const TableObject> table, std::vector<RsId> members) {
  Seen seen{.hash = hash,
            .hash_key = hash_key,
            .table = std::move(table),
            .members = std::move(members),
            .up = {},
            .disagree = {}};
  for (std::uint32_t i = 0; i < seen.members.size(); ++i) {
    if ((seen.table->member(i).flags & LB_RS_UP) != 0) seen.up.insert(seen.members[i]);
  }
  seen.disagree.resize(seen.table->head().slots);
  services_.insert_or_assign(id, std::move(seen));
}

void ExceptionScan::see(const FlowInfo& flow) {
  const auto at = services_.find(flow.data.service);
  if (at == services_.end()) return;
  Seen& seen = at->second;
  const std::uint64_t hash = hash_of(flow, seen.hash, flow_key_);
  const std::uint32_t slot = lb_hash_slot(hash, seen.hash_key, seen.table->head().slots);
  const std::uint32_t owner = seen.table->hot(slot) & LB_SLOT_OWNER;
  const bool agrees = owner < seen.members.size() && seen.members[owner] == flow.data.rs;
  if (!agrees && seen.up.contains(flow.data.rs)) seen.disagree[slot] = true;
}

}  // namespace lb
