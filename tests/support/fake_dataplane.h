// SPDX-License-Identifier: Apache-2.0
// FakeDataplane: a Dataplane for control's tests. It keeps what was published, answers with what
// the test put into its public fields, and can refuse. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/dataplane.h"

namespace lb {

class FakeDataplane : public Dataplane {
 public:
  explicit FakeDataplane(std::vector<std::string> interfaces = {"eth0"}, std::uint32_t workers = 1,
                         std::uint32_t services_max = 1024, std::uint32_t rs_max = 4096) {
    for (std::size_t i = 0; i < interfaces.size(); ++i) {
      PortInfo port;
      port.interface = interfaces[i];
      port.ifindex = static_cast<int>(i) + 1;
      port.mac = MacAddr{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(i + 1)}};
      port.mtu = 1500;
      port.up = true;
      port.driver = "fake";
      port.xdp_mode = "native";
      port.copy_mode = "copy";
      port.engine = "hybrid";
      port.queues = port.queues_now = workers;
      port_infos.push_back(std::move(port));
    }
    for (std::uint32_t i = 0; i < workers; ++i) {
      WorkerInfo worker;
      worker.index = static_cast<WorkerIndex>(i);
      worker.idle = "poll";
      worker.sockets.resize(interfaces.size());
      for (std::size_t p = 0; p < interfaces.size(); ++p)
        worker.sockets[p].interface = interfaces[p];
      worker_infos.push_back(std::move(worker));
      worker_counters.push_back(std::make_unique<Counters>(services_max, rs_max));
    }
  }

  std::vector<Service> adopted() const override { return left; }
  TableMemory& table_memory() override { return memory; }
  void refresh_counters() override {}
  Result<Generation> publish(std::unique_ptr<ServiceTable> next) override {
    if (refuse_next && !refuses_late) return refused();
    generation = static_cast<Generation>(raw(generation) + 1);
    next->generation = generation;
    table = std::move(next);
    if (workers_adopt) adopt();
    if (on_publish) on_publish();
    if (throws > 0) {
      --throws;
      throw std::bad_alloc();
    }
    if (refuse_next) return refused();
    return generation;
  }
  std::size_t reclaim() override { return table ? 1 : 0; }
  Status set_panic(bool on) override {
    panic_on = on;
    return {};
  }
  bool panic() const override { return panic_on; }
  void link_changed(PortIndex port, std::optional<bool> up) override {
    link_events.emplace_back(port, up);
    port_infos[raw(port)].up = up.value_or(false);
  }
  void watch() override { ++watched; }
  std::vector<PortInfo> ports() const override { return port_infos; }
  std::vector<WorkerInfo> workers() const override { return worker_infos; }
  std::vector<BpfObjectInfo> bpf() const override { return bpf_infos; }
  AclCount acl_count(ServiceId, const AclEntry& entry) const override {
    auto at = acl_counts.find(entry.prefix);
    return at != acl_counts.end() ? at->second : AclCount{};
  }
  std::vector<const Counters*> counters() const override {
    std::vector<const Counters*> all;
    all.reserve(worker_counters.size());
    for (const auto& one : worker_counters) all.push_back(one.get());
    return all;
  }
  void visit_flows(const std::function<bool(const FlowInfo&)>& visit) const override {
    ++visited;
    for (const FlowInfo& flow : flow_infos) {
      if (!visit(flow)) return;
    }
  }
  Result<Explanation> explain(const ExplainRequest& request) override {
    explained.push_back(request);
    if (explanation) return explanation(request);
    return fail(ENODEV, "nothing to explain by");
  }
  std::vector<std::uint32_t> take_resolve_requests() override {
    return std::exchange(resolve_requests, {});
  }

  /// Every worker has the last table.
  void adopt() {
    for (WorkerInfo& worker : worker_infos) worker.generation = generation;
  }

  HeapTableMemory memory;
  std::vector<Service> left;            ///< by an lbd before
  std::unique_ptr<ServiceTable> table;  ///< the last one published
  bool workers_adopt = true;            ///< at once
  Generation generation = Generation::None;
  bool panic_on = false;
  std::optional<Error> refuse_next;  ///< what the next publish() answers
  unsigned throws = 0;               ///< so many publications run out of memory
  unsigned refuses = 1;              ///< so many times
  bool refuses_late = false;         ///< the workers have the table when publish() refuses
  std::function<void()> on_publish;
  std::vector<std::pair<PortIndex, std::optional<bool>>> link_events;
  int watched = 0;
  std::vector<PortInfo> port_infos;
  std::vector<WorkerInfo> worker_infos;
  std::vector<BpfObjectInfo> bpf_infos;
  std::vector<std::unique_ptr<Counters>> worker_counters;
  std::vector<FlowInfo> flow_infos;
  mutable int visited = 0;  ///< walks over them
  std::vector<std::uint32_t> resolve_requests;
  std::vector<ExplainRequest> explained;
  std::function<Explanation(const ExplainRequest&)> explanation;  ///< what explain() answers
  std::map<IpPrefix, AclCount> acl_counts;

 private:
  std::unexpected<Error> refused() {
    Error error = *refuse_next;
    if (--refuses == 0) {
      refuse_next.reset();
      refuses = 1;
    }
    return std::unexpected(std::move(error));
  }
};

}  // namespace lb
