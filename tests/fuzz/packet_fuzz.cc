// SPDX-License-Identifier: Apache-2.0
// Hostile frames through two peer pipelines: nothing is read or written outside of a frame (ASan),
// every frame is afterwards in exactly one place, the counters agree with the flow entries.
// Input: records of a control byte, a length (two bytes) and the frame. `--write-seeds=DIR` writes
// the seeds that the corpus directory holds, one for each frame of tests/support/packet_corpus.h.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>

#include "dataplane/base/assert.h"
#include "dataplane/pipeline.h"
#include "tests/support/frame.h"
#include "tests/support/packet_corpus.h"

namespace lb {
namespace {

using test::Bytes;
using test::Frame;

constexpr std::uint32_t kRsMax = 8;

std::unique_ptr<ServiceTable> make_table(bool second) {
  ServiceTableSpec spec;
  spec.vips = {{test::ip("192.0.2.10"), false, true}, {test::ip("2001:db8::10"), false, !second}};
  spec.ports = {{test::mac("02:00:00:00:0f:00"), 1500, true},
                {test::mac("02:00:00:00:0f:01"), second ? 600U : 1500U, true}};
  spec.flow_key = {1, 2};
  spec.decrement_ttl = !second;
  std::uint32_t slot = 0;
  for (const char* address : {"192.0.2.10:80/tcp", "192.0.2.10:any/udp", "[2001:db8::10]:80/tcp",
                              "[2001:db8::10]:any/udp"}) {
    Service service;
    service.address = *ServiceAddr::parse(address);
    service.id = make_service_id(static_cast<std::uint32_t>(spec.services.size()), 1);
    service.scheduler = Scheduler::Wlc;
    service.rs_first = slot;
    service.rs_count = 2;
    for (int i = 0; i < 2; ++i, ++slot) {
      RealServer rs;
      rs.id = make_rs_id(slot, second && i == 0 ? 2 : 1);
      rs.mac = {{2, 0, 0, 0, 1, static_cast<std::uint8_t>(slot)}};
      rs.has_mac = rs.up = true;
      rs.weight = 1;
      rs.egress = static_cast<PortIndex>(i);
      rs.vlan = i == 0 ? 7 : 0;
      rs.address = test::ip((slot < 4 ? "10.0.0." : "fd00::") + std::to_string(slot + 1));
      spec.real_servers.push_back(rs);
    }
    spec.services.push_back(service);
  }
  return std::move(*ServiceTable::build(std::move(spec)));
}

struct Worker {
  Counters counters{8, kRsMax};
  std::unique_ptr<Pipeline> pipeline;
};

// Two workers from scratch for every input.
class Run {
 public:
  Run() {
    PipelineOptions options;
    options.flows_max = options.flows_max_v6 = 24;
    options.fragments_max = options.held_max = 8;
    for (std::size_t i = 0; i < 2; ++i) {
      workers_[i].pipeline = std::move(
          *Pipeline::create(static_cast<WorkerIndex>(i), options, workers_[i].counters, resolve_));
      peers_.pipelines.push_back(workers_[i].pipeline.get());
      peers_.counters.push_back(&workers_[i].counters);
    }
    for (Worker& worker : workers_) worker.pipeline->set_peers(peers_);
  }

  // Control: bit 0 the worker, 1 the table, 2-3 the headroom, 4-5 the time, 6 more of this batch.
  void frame(std::uint8_t control, const Bytes& bytes) {
    constexpr std::uint16_t kHeadrooms[] = {256, 0, 4, 30};
    auto frame = std::make_unique<Frame>(bytes, kHeadrooms[control >> 2 & 3], 0);
    batch_.push_back(frame->packet());
    frames_[frame->packet().frame] = std::move(frame);
    if ((control & 64) == 0 || batch_.size() == kBatchMax) process(control);
  }

  void process(std::uint8_t control) {
    static const std::unique_ptr<ServiceTable> kTables[] = {make_table(false), make_table(true)};
    constexpr TickMs kSteps[] = {0, 1, 1500, 70'000};
    now_ += kSteps[control >> 4 & 3];
    Worker& worker = workers_[control & 1];
    const ServiceTable& table = *kTables[control >> 1 & 1];
    out_->clear();
    worker.pipeline->process(batch_, now_, table, *out_);
    batch_.clear();
    collect();
    out_->clear();
    (void)worker.pipeline->maintain(now_, table, *out_);
    collect();
    check_counters(worker);
  }

  void finish() {
    process(0);
    for (Worker& worker : workers_) {
      out_->clear();
      worker.pipeline->release_held(*out_);
      collect();
    }
    LB_ASSERT(frames_.empty());
  }

 private:
  void collect() {
    for (std::uint32_t i = 0; i < out_->tx_count; ++i) {
      const Packet& packet = out_->tx[i];
      auto found = frames_.find(packet.frame);
      LB_ASSERT(found != frames_.end());
      LB_ASSERT(found->second->holds(packet));
      LB_ASSERT(raw(packet.port) < 2 && packet.bytes >= 34);
      take(found);
    }
    for (std::uint32_t i = 0; i < out_->freed_count; ++i) take(frames_.find(out_->freed[i]));
    LB_ASSERT(frames_.size() == workers_[0].pipeline->held() + workers_[1].pipeline->held());
  }
  void take(std::map<std::uint64_t, std::unique_ptr<Frame>>::iterator found) {
    LB_ASSERT(found != frames_.end());
    LB_ASSERT(found->second->intact());
    frames_.erase(found);
  }
  static void check_counters(Worker& worker) {
    std::uint64_t living = 0;
    for (std::uint32_t slot = 0; slot < kRsMax; ++slot) {
      living += worker.counters.rs[slot].active.get() + worker.counters.rs[slot].inactive.get();
    }
    LB_ASSERT(living == worker.pipeline->flows4().size() + worker.pipeline->flows6().size());
  }

  ResolveRequests resolve_{kRsMax};
  PipelinePeers peers_;
  std::array<Worker, 2> workers_;
  std::vector<Packet> batch_;
  std::map<std::uint64_t, std::unique_ptr<Frame>> frames_;
  std::unique_ptr<BatchOut> out_ = std::make_unique<BatchOut>();
  TickMs now_ = 0xfffff000;  // wraps on the way
};

void write_seeds(const std::string& directory) {
  std::size_t number = 0;
  for (const Bytes& frame : test::corpus()) {
    char name[16];
    std::snprintf(name, sizeof name, "/frame-%02zu", number++);
    std::FILE* file = std::fopen((directory + name).c_str(), "wb");
    if (file == nullptr) std::abort();
    // Twice: the second finds what the first has left behind.
    for (std::uint8_t control : {0, 1}) {
      Bytes record{control};
      test::put16(record, static_cast<std::uint32_t>(frame.size()));
      test::put(record, frame);
      std::fwrite(record.data(), 1, record.size(), file);
    }
    std::fclose(file);
  }
}

}  // namespace
}  // namespace lb

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kOption = "--write-seeds=";
  for (int i = 1; i < *argc; ++i) {
    std::string_view argument = (*argv)[i];
    if (!argument.starts_with(kOption)) continue;
    lb::write_seeds(std::string(argument.substr(kOption.size())));
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lb::Run run;
  while (size >= 3) {
    std::size_t bytes = std::min<std::size_t>(data[1] << 8 | data[2], size - 3);
    run.frame(data[0], {data + 3, data + 3 + bytes});
    data += 3 + bytes;
    size -= 3 + bytes;
  }
  run.finish();
  return 0;
}
