// SPDX-License-Identifier: Apache-2.0
// World: services, workers and frames around the packet path, without I/O. Tests describe a packet
// and get told where it went; that every frame is in exactly one place and no byte outside of its
// room was written is checked with each batch.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/pipeline.h"
#include "tests/support/frame.h"
#include "tests/support/slot_table.h"

namespace lb::test {

inline constexpr const char* kVip = "192.0.2.10";
inline constexpr const char* kVip6 = "2001:db8::10";
inline constexpr const char* kClient = "198.51.100.7";
inline constexpr const char* kClient6 = "2001:db8:1::7";
inline constexpr const char* kRouter = "203.0.113.1";

/// A table under construction: VIPs 192.0.2.10 and 2001:db8::10 and two ports.
class SpecBuilder {
 public:
  SpecBuilder() {
    spec_.vips = {{ip(kVip), false, true}, {ip(kVip6), false, true}};
    spec_.ports = {{mac("02:00:00:00:0f:00"), 1500, true}, {mac("02:00:00:00:0f:01"), 1500, true}};
    spec_.flow_key = {0x1234567890abcdef, 0xfedcba0987654321};
  }
  /// Adds a service; its real servers are those added until the next one. Ids count from slot 0.
  Service& service(std::string_view address, Scheduler scheduler = Scheduler::Rr) {
    Service service;
    service.address = *ServiceAddr::parse(address);
    service.scheduler = scheduler;
    service.id = make_service_id(static_cast<std::uint32_t>(spec_.services.size()), 1);
    service.rs_first = static_cast<std::uint32_t>(spec_.real_servers.size());
    spec_.services.push_back(std::move(service));
    return spec_.services.back();
  }
  /// Adds an RS to the last service: up, weight 1, out by port 1, MAC 02:00:00:00:01:NN by its
  /// slot.
  RealServer& rs() {
    auto slot = static_cast<std::uint32_t>(spec_.real_servers.size());
    RealServer rs;
    rs.id = make_rs_id(slot, 1);
    rs.mac = {{2, 0, 0, 0, 1, static_cast<std::uint8_t>(slot)}};
    rs.has_mac = rs.up = true;
    rs.weight = 1;
    rs.egress = static_cast<PortIndex>(1);
    const bool v4 = spec_.services.back().address.vip.is_v4();
    rs.address = ip((v4 ? "10.0.0." : "fd00::") + std::to_string(slot + 1));
    spec_.real_servers.push_back(rs);
    if (spec_.services.back().sorry == Service::kNoSorry) ++spec_.services.back().rs_count;
    return spec_.real_servers.back();
  }
  /// The next rs() is the sorry RS of the last service.
  SpecBuilder& sorry() {
    spec_.services.back().sorry = static_cast<std::uint32_t>(spec_.real_servers.size());
    return *this;
  }
  ServiceTableSpec& spec() { return spec_; }
  /// What is done to the table of service `index` whenever it is built, after its owners have been
  /// chosen by Maglev. Only services with a table: the hashed ones, and those of with_table().
  SpecBuilder& slots(std::size_t index, std::function<void(SlotTable&)> change) {
    slots_[index] = std::move(change);
    return *this;
  }
  /// All slots of service `index`: the owner and, if not kClosed, the old server of open ones, by
  /// their places in the service.
  static constexpr std::uint32_t kClosed = 0xffffffff;
  SpecBuilder& all_slots(std::size_t index, std::uint32_t owner, std::uint32_t old = kClosed) {
    return slots(index, [owner, old](SlotTable& table) {
      for (std::uint32_t slot = 0; slot < table.slots(); ++slot) {
        table.set_owner(slot, owner);
        if (old != kClosed) table.open(slot, old);
      }
    });
  }
  /// As all_slots(), closed, with exceptions.
  SpecBuilder& all_except(std::size_t index, std::uint32_t owner) {
    return slots(index, [owner](SlotTable& table) {
      for (std::uint32_t slot = 0; slot < table.slots(); ++slot) {
        table.set_owner(slot, owner).except(slot);
      }
    });
  }
  /// A hashed service without a table.
  SpecBuilder& without_table(std::size_t index) { return slots(index, nullptr); }
  /// A service whose scheduler is not a hash has a table, too.
  SpecBuilder& with_table(std::size_t index) {
    if (!slots_.contains(index)) slots_[index] = [](SlotTable&) {};
    return *this;
  }
  [[nodiscard]] std::unique_ptr<ServiceTable> build() const;

 private:
  ServiceTableSpec spec_;
  std::map<std::size_t, std::function<void(SlotTable&)>> slots_;
};

/// Workers that are each other's peers, one table, one clock.
class World {
 public:
  /// `memory`: by worker, and for as many workers as it says; then their own.
  explicit World(std::size_t workers = 1, PipelineOptions options = small(),
                 const std::vector<FlowMemory>& memory = {});
  [[nodiscard]] static PipelineOptions small() {
    PipelineOptions options;
    options.flows_max = options.flows_max_v6 = 1024;
    options.fragments_max = 64;
    return options;
  }

  void use(const SpecBuilder& spec) { table_ = spec.build(); }
  /// Hands frames to a worker as one batch and gives back what was sent.
  std::vector<Bytes> send(const std::vector<Bytes>& frames, std::size_t worker = 0,
                          std::uint16_t headroom = 256);
  /// One frame: "rs N" (the slot, by its MAC), "reply" (back to where it came from), "held" or the
  /// name of the drop reason. `sent()` has the bytes.
  std::string send(const Bytes& frame, std::size_t worker = 0, std::uint16_t headroom = 256);
  std::string send(const PacketBuilder& packet, std::size_t worker = 0) {
    return send(packet.build(), worker);
  }
  /// Calls maintain(); gives back what was sent.
  std::vector<Bytes> maintain(std::size_t worker = 0);
  void release_held(std::size_t worker);

  [[nodiscard]] const std::vector<Bytes>& sent() const { return sent_; }
  [[nodiscard]] static std::string target(const Bytes& frame) {
    if (frame.at(4) == 1) return "rs " + std::to_string(frame.at(5));
    return "reply";
  }
  [[nodiscard]] Counters& counters(std::size_t worker = 0) { return *counters_.at(worker); }
  [[nodiscard]] std::uint64_t drops(DropReason reason, std::size_t worker = 0) {
    return counters(worker).worker.drops[static_cast<std::size_t>(reason)].get();
  }
  [[nodiscard]] Pipeline& pipeline(std::size_t worker = 0) { return *pipelines_.at(worker); }
  [[nodiscard]] std::uint64_t active(std::uint32_t slot, std::size_t worker = 0) {
    return counters(worker).rs[slot].active.get();
  }
  [[nodiscard]] std::uint64_t inactive(std::uint32_t slot, std::size_t worker = 0) {
    return counters(worker).rs[slot].inactive.get();
  }
  [[nodiscard]] std::uint64_t half_open(std::size_t worker = 0) {
    return counters(worker).worker.flows_half_open.get();
  }
  /// Entries of both families.
  [[nodiscard]] std::size_t flows(std::size_t worker = 0) {
    return pipeline(worker).flows4().size() + pipeline(worker).flows6().size();
  }
  /// Time in which every flow is looked at by the ageing at least once.
  void age(TickMs ms = 20'000, std::size_t worker = 0) {
    for (TickMs passed = 0; passed < ms; passed += 1'000) {
      now += 1'000;
      maintain(worker);
    }
  }
  [[nodiscard]] std::vector<std::uint32_t> resolve_requests() { return resolve_.take(); }
  [[nodiscard]] const ServiceTable& table() const { return *table_; }
  /// Whether the counters agree with the entries, for every worker.
  void check_counters();

  TickMs now = 1'000'000;

 private:
  static constexpr std::uint32_t kServicesMax = 16;
  static constexpr std::uint32_t kRsMax = 64;
  void collect(const BatchOut& out);

  std::vector<std::unique_ptr<Counters>> counters_;
  std::vector<std::unique_ptr<Pipeline>> pipelines_;
  ResolveRequests resolve_{kRsMax};
  PipelinePeers peers_;
  std::unique_ptr<ServiceTable> table_;
  std::map<std::uint64_t, std::unique_ptr<Frame>> frames_;  // those in the path's hands
  std::unique_ptr<BatchOut> out_ = std::make_unique<BatchOut>();
  std::vector<Bytes> sent_;
};

// Implementation.

inline std::unique_ptr<ServiceTable> SpecBuilder::build() const {
  ServiceTableSpec spec = spec_;
  for (std::size_t i = 0; i < spec.services.size(); ++i) {
    Service& service = spec.services[i];
    auto change = slots_.find(i);
    const bool wanted =
        change != slots_.end() ? change->second != nullptr : is_hashed(service.scheduler);
    if (!wanted) continue;
    SlotTable slots(spec, service);
    slots.maglev();
    if (change != slots_.end()) change->second(slots);
    service.table = slots.take();
    name_members(spec, service);
  }
  auto table = ServiceTable::build(std::move(spec));
  EXPECT_TRUE(table) << (table ? "" : table.error().message);
  return std::move(*table);
}

inline World::World(std::size_t workers, PipelineOptions options,
                    const std::vector<FlowMemory>& memory) {
  for (std::size_t i = 0; i < workers; ++i) {
    counters_.push_back(std::make_unique<Counters>(kServicesMax, kRsMax));
    auto pipeline = Pipeline::create(static_cast<WorkerIndex>(i), options, *counters_.back(),
                                     resolve_, i < memory.size() ? memory[i] : FlowMemory{}, now);
    EXPECT_TRUE(pipeline) << (pipeline ? "" : pipeline.error().message);
    pipelines_.push_back(std::move(*pipeline));
    peers_.pipelines.push_back(pipelines_.back().get());
    peers_.counters.push_back(counters_.back().get());
  }
  for (auto& pipeline : pipelines_) pipeline->set_peers(peers_);
}

inline void World::collect(const BatchOut& out) {
  sent_.clear();
  for (std::uint32_t i = 0; i < out.tx_count + out.freed_count; ++i) {
    bool is_sent = i < out.tx_count;
    std::uint64_t frame = is_sent ? out.tx[i].frame : out.freed[i - out.tx_count];
    auto found = frames_.find(frame);
    ASSERT_NE(found, frames_.end()) << "a frame came back twice or was never given";
    EXPECT_TRUE(found->second->intact()) << "a write outside of the frame";
    if (is_sent) {
      EXPECT_TRUE(found->second->holds(out.tx[i]));
      sent_.push_back(bytes_of(out.tx[i]));
    }
    frames_.erase(found);
  }
  std::size_t held = 0;
  for (auto& pipeline : pipelines_) held += pipeline->held();
  EXPECT_EQ(frames_.size(), held) << "frames are conserved";
}

inline std::vector<Bytes> World::send(const std::vector<Bytes>& frames, std::size_t worker,
                                      std::uint16_t headroom) {
  std::vector<Packet> packets;
  for (const Bytes& bytes : frames) {
    auto frame = std::make_unique<Frame>(bytes, headroom);
    packets.push_back(frame->packet());
    frames_[frame->packet().frame] = std::move(frame);
  }
  out_->clear();
  pipelines_.at(worker)->process(packets, now, *table_, *out_);
  collect(*out_);
  return sent_;
}

inline std::string World::send(const Bytes& frame, std::size_t worker, std::uint16_t headroom) {
  std::array<std::uint64_t, kDropReasons> before{};
  for (std::size_t i = 0; i < kDropReasons; ++i) before[i] = counters(worker).worker.drops[i].get();
  std::uint32_t held = pipeline(worker).held();
  send(std::vector<Bytes>{frame}, worker, headroom);
  if (!sent_.empty()) return target(sent_.front());
  if (pipeline(worker).held() > held) return "held";
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    if (counters(worker).worker.drops[i].get() != before[i])
      return std::string(drop_reason_name(static_cast<DropReason>(i)));
  }
  return "uncounted";
}

inline std::vector<Bytes> World::maintain(std::size_t worker) {
  out_->clear();
  (void)pipelines_.at(worker)->maintain(now, *table_, *out_);
  collect(*out_);
  return sent_;
}

inline void World::release_held(std::size_t worker) {
  out_->clear();
  pipelines_.at(worker)->release_held(*out_);
  collect(*out_);
}

inline void World::check_counters() {
  for (std::size_t worker = 0; worker < pipelines_.size(); ++worker) {
    std::array<std::uint64_t, kRsMax> living{};
    std::array<std::uint64_t, kRsMax> others{};
    std::array<bool, kServicesMax> hashed{};
    for (const Service& service : table_->services()) {
      hashed.at(slot_of(service.id)) = is_hashed(service.scheduler);
    }
    std::uint64_t half_open_flows = 0;
    auto count = [&](const auto&, const FlowData& flow) {
      ++(is_active(flow.state) ? living : others).at(slot_of(flow.rs));
      if (flow.state == FlowState::SynRecv && hashed.at(slot_of(flow.service))) ++half_open_flows;
    };
    const Pipeline& path = *pipelines_[worker];
    path.flows4().read_range(0, path.flows4().buckets(), count);
    path.flows6().read_range(0, path.flows6().buckets(), count);
    for (std::uint32_t slot = 0; slot < kRsMax; ++slot) {
      ASSERT_EQ(active(slot, worker), living[slot]) << "RS slot " << slot;
      ASSERT_EQ(inactive(slot, worker), others[slot]) << "RS slot " << slot;
    }
    ASSERT_EQ(half_open(worker), half_open_flows);
    const WorkerCounters& c = counters(worker).worker;
    ASSERT_EQ(c.flows_new.get() + c.flows_from_peer.get() + c.flows_adopted.get(),
              path.flows4().size() + path.flows6().size() + c.flows_expired.get() +
                  c.flows_evicted_idle.get() + c.flows_evicted_alive.get());
  }
}

}  // namespace lb::test
