// SPDX-License-Identifier: Apache-2.0
// Engine: the real Dataplane. Ports with their XDP program, one worker thread per RX queue with its
// UMEM, sockets, pipeline and counters. All calls come from control's thread; what the workers
// share with it is atomic. Made whole or not at all; the destructor takes everything down in the
// reverse order.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/frame_pool.h"
#include "dataplane/io/fast_path.h"
#include "dataplane/io/port.h"
#include "dataplane/io/sizing.h"
#include "dataplane/io/worker_thread.h"
#include "dataplane/io/xdp_explainer.h"
#include "dataplane/io/xsk_socket.h"
#include "dataplane/table/snapshots.h"
#include "dataplane/worker.h"

namespace lb {

class Engine final : public Dataplane {
 public:
  /// Attaches to all ports of the config and starts the workers. No VIP is in the XDP program yet:
  /// every packet passes to the kernel's stack until the first publish(). Where an lbd before has
  /// left its maps and links, they go on as they are until then. Errors, in words and with
  /// what to do: no such interface, no RX queues, no permission, no AF_XDP, another XDP program or
  /// lbd there, unequal queues, bad sizes.
  [[nodiscard]] static Result<std::unique_ptr<Engine>> start(const DataplaneConfig& config);
  ~Engine() override;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] Result<Generation> publish(std::unique_ptr<ServiceTable> table) override;
  std::size_t reclaim() override {
    fast_path_->tidy();
    return tables_.reclaim();
  }
  [[nodiscard]] std::vector<Service> adopted() const override { return fast_path_->found(); }
  [[nodiscard]] TableMemory& table_memory() override { return *fast_path_; }
  void refresh_counters() override { fast_path_->read_counters(kernel_counters_); }
  [[nodiscard]] Status set_panic(bool on) override;
  [[nodiscard]] bool panic() const override { return panic_; }
  [[nodiscard]] AclCount acl_count(ServiceId service, const AclEntry& entry) const override {
    return fast_path_->acl().count(service, entry);
  }
  void link_changed(PortIndex port, std::optional<bool> up) override;
  void watch() override;
  [[nodiscard]] std::vector<PortInfo> ports() const override;
  [[nodiscard]] std::vector<WorkerInfo> workers() const override;
  [[nodiscard]] std::vector<BpfObjectInfo> bpf() const override;
  [[nodiscard]] std::vector<const Counters*> counters() const override;
  void visit_flows(const std::function<bool(const FlowInfo&)>& visit) const override;
  [[nodiscard]] Result<Explanation> explain(const ExplainRequest& request) override;
  [[nodiscard]] std::vector<std::uint32_t> take_resolve_requests() override {
    return resolve_.take();
  }

 private:
  /// One worker and what only it works on, in the order of dependence: destroyed from the bottom
  /// up.
  struct Unit {
    Unit(Umem frames, const RingSizes& sizes, const DataplaneConfig& config)
        : umem(std::move(frames)),
          pool(sizes.frames, sizes.frame_bytes),
          counters(config.services_max, config.rs_max) {}
    Umem umem;
    FramePool pool;
    Counters counters;
    std::unique_ptr<XskEnds> ends;
    std::unique_ptr<Pipeline> path;
    std::unique_ptr<Worker<XskEnds>> worker;
    std::unique_ptr<WorkerThread> thread;
    std::array<int, kPortsMax> tx_errors{};  ///< by port: the last one that was logged
  };

  Engine(const DataplaneConfig& config, std::unique_ptr<PinDir> pins, std::size_t workers)
      : config_(config),
        pins_(std::move(pins)),
        kernel_counters_(config.services_max, config.rs_max),
        tables_(workers),
        resolve_(config.rs_max) {}

  // Start, in this order:
  [[nodiscard]] static Result<std::unique_ptr<PinDir>> open_pins(const DataplaneConfig& config);
  [[nodiscard]] static Result<std::vector<std::unique_ptr<Port>>> open_ports(
      const DataplaneConfig& config, const PinDir& pins);
  [[nodiscard]] Status make_fast_path();
  [[nodiscard]] Status make_units(const RingSizes& sizes);
  [[nodiscard]] Status make_units_in(bool zero_copy, std::string copy_reason,
                                     const RingSizes& sizes);
  [[nodiscard]] Status make_unit(WorkerIndex index, const RingSizes& sizes);
  [[nodiscard]] Status open_sockets(WorkerIndex index, const RingSizes& sizes, Unit& unit);
  [[nodiscard]] Status make_thread(WorkerIndex index, Unit& unit);
  [[nodiscard]] Status start_units();
  [[nodiscard]] Status enter_sockets();
  [[nodiscard]] Status set_forwarding();
  bool follow_xdp_features();
  [[nodiscard]] bool sends_by_xdp(std::size_t from, std::size_t to) const;
  [[nodiscard]] std::string engine_reason(std::size_t port) const;
  [[nodiscard]] Status attach_ports();
  [[nodiscard]] Status leave_zero_copy_if_generic(const RingSizes& sizes);
  [[nodiscard]] Status go_live();
  void leave_to_xdp() noexcept;
  [[nodiscard]] std::vector<int> ifindexes() const;
  void drop_units() noexcept;

  /// CPU of a worker; -1: any.
  [[nodiscard]] int cpu_of(std::uint32_t worker) const noexcept {
    return worker < config_.cpus.size() ? config_.cpus[worker] : -1;
  }
  void follow_tx_errors(std::size_t index);
  void wake_all() noexcept;

  DataplaneConfig config_;
  std::unique_ptr<PinDir> pins_;
  bool live_ = false;  ///< our programs run
  std::unique_ptr<FastPath> fast_path_;
  Counters kernel_counters_;  ///< of services and real servers, as refresh_counters() found them
  std::vector<std::unique_ptr<Port>> ports_;
  std::array<std::optional<XdpExplainer>, kPortsMax> explainers_;  ///< by port
  bool zero_copy_ = false;
  std::string copy_reason_;  ///< why not zero-copy
  bool panic_ = false;
  PortLinks links_{};                          ///< all Up
  std::array<bool, kPortsMax> refuses_xdp_{};  ///< by port: it sends nothing that XDP redirects
  Snapshots<ServiceTable> tables_;
  ResolveRequests resolve_;
  PipelinePeers peers_;
  std::vector<std::unique_ptr<Unit>> units_;
};

}  // namespace lb
