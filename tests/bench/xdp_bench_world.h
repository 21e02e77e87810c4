// SPDX-License-Identifier: Apache-2.0
// XdpBenchWorld: what xdp_bench measures on: services of every kind with 100 RS on 65,537 slots
// each, the programs, and the feeders (bpf/bench_run.bpf.c) that write packets for them. One
// thread. Ends the process with a message when the kernel refuses something.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/io/fast_path.h"
#include "dataplane/io/xdp_program.h"
#include "dataplane/table/maglev.h"
#include "dataplane/table/slot_plan.h"
#include "tests/support/name_members.h"

namespace lb {

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "xdp_bench: %s\n", result.error().message.c_str());
  std::exit(1);
}
inline void must(Status status) {
  if (status) return;
  std::fprintf(stderr, "xdp_bench: %s\n", status.error().message.c_str());
  std::exit(1);
}

/// The objects of the skeletons: xdp_bench.cc has them.
const void* bench_lru_elf(std::size_t* bytes);
const void* bench_run_elf(std::size_t* bytes);

inline std::span<const std::byte> bytes_of(const void* (*elf)(std::size_t*)) {
  std::size_t bytes = 0;
  const void* data = elf(&bytes);
  return {static_cast<const std::byte*>(data), bytes};
}

/// A sort of packet, and the service it is for.
struct BenchPacket {
  const char* name;
  const char* service;
  std::uint16_t port;
  std::uint8_t proto;
  std::uint16_t vlan = 0;  ///< of the packet and of the RS
  bool asks = false;       ///< every slot asks the flow memory, which knows nothing
};
inline constexpr std::uint16_t kBenchVlan = 7;
inline constexpr std::array kPacketKinds{
    BenchPacket{"tcp", "192.0.2.10:80/tcp", 80, 6},
    BenchPacket{"udp", "192.0.2.10:53/udp", 53, 17},
    BenchPacket{"tcp6", "[2001:db8::10]:80/tcp", 80, 6},
    BenchPacket{"vlan", "192.0.2.11:80/tcp", 80, 6, kBenchVlan},
    BenchPacket{"range", "192.0.2.12:8000-8100/tcp", 8050, 6},
    BenchPacket{"range16", "192.0.2.13:9500-9599/tcp", 9550, 6},  // the last of 16 ranges
    BenchPacket{"any", "192.0.2.14:any/tcp", 8050, 6},
    BenchPacket{"asks", "192.0.2.15:80/tcp", 80, 6, 0, true},
};

/// What a FastPath knows of, by one of the hashes.
class Services {
 public:
  explicit Services(lb_hash_kind hash)
      : path_(must(FastPath::create(
            {.services_max = 1024, .rs_max = 4096, .buckets4 = 65536, .hash = hash}))) {
    install(hash);
  }
  [[nodiscard]] const FastPath& path() const { return *path_; }

 private:
  void install(lb_hash_kind hash) {
    ServiceTableSpec spec;
    spec.ports = {{{{2, 2, 2, 2, 2, 2}}, 1500, true}};
    spec.flow_key = {0x1234567890abcdef, 0xfedcba0987654321, hash};
    for (const BenchPacket& kind : kPacketKinds) add_service(spec, kind.service, kind);
    for (unsigned i = 0; i + 1 < LB_PORT_RANGES_MAX; ++i) {
      const unsigned first = 8000 + 100 * i;
      add_service(spec,
                  "192.0.2.13:" + std::to_string(first) + "-" + std::to_string(first + 99) + "/tcp",
                  kPacketKinds[0]);
    }
    table_ = must(ServiceTable::build(std::move(spec)));
    must(path_->install(*table_));
  }
  void add_service(ServiceTableSpec& spec, const std::string& address, const BenchPacket& kind) {
    Service service;
    service.id = make_service_id(static_cast<std::uint32_t>(spec.services.size()), 1);
    service.address = *ServiceAddr::parse(address);
    service.scheduler = Scheduler::Mh;
    service.hash_key = 42 + spec.services.size();
    service.rs_first = static_cast<std::uint32_t>(spec.real_servers.size());
    service.rs_count = kRs;
    const IpAddr vip = service.address.vip;
    if (std::ranges::find(spec.vips, vip, &VipPolicy::address) == spec.vips.end()) {
      spec.vips.push_back({vip, false, true});
    }
    std::vector<MaglevBackend> backends;
    for (std::uint32_t i = 0; i < kRs; ++i) {
      RealServer rs;
      rs.id = make_rs_id(service.rs_first + i, 1);
      rs.mac = {{2, 0, 0, 0, 1, static_cast<std::uint8_t>(i)}};
      rs.has_mac = rs.up = true;
      rs.vlan = kind.vlan;
      rs.address =
          *IpAddr::parse((vip.is_v4() ? "10.0.1." : "2001:db8:1::") + std::to_string(i + 1));
      spec.real_servers.push_back(rs);
      backends.push_back({lb_mix64(i + 1), lb_mix64(i + 1000), 1});
    }
    service.table =
        table_of(spec, service, must(build_maglev(backends, kMaglevSlotsDefault)), kind.asks);
    test::name_members(spec, service);
    spec.services.push_back(service);
  }
  std::shared_ptr<TableObject> table_of(const ServiceTableSpec& spec, const Service& service,
                                        std::vector<std::uint16_t> owners, bool asks) {
    auto table = must(path_->make(kMaglevSlotsDefault, kRs));
    SlotPlan plan(std::move(owners));
    if (asks) plan.except_all();
    plan.write(*table);
    table->head().members = kRs;
    for (std::uint32_t i = 0; i < kRs; ++i) {
      const RealServer& rs = spec.real_servers[service.rs_first + i];
      lb_rs_entry& entry = table->members()[i];
      entry.place = i + 1;
      std::ranges::copy(rs.mac.bytes, entry.macs);
      std::ranges::copy(spec.ports[0].mac.bytes, entry.macs + 6);
      entry.vlan = rs.vlan;
      entry.mtu = 1500;
      entry.flags = LB_RS_UP | LB_RS_HAS_MAC | LB_RS_EGRESS_UP;
    }
    return table;
  }

  static constexpr std::uint32_t kRs = 100;
  std::unique_ptr<FastPath> path_;
  std::unique_ptr<ServiceTable> table_;
};

class XdpBenchWorld {
 public:
  /// `elf`: a file with another build of lb_xdp.bpf.c, as program "other"; empty: none.
  explicit XdpBenchWorld(const std::string& elf)
      : mixed_(LB_HASH_MULTIPLY_MIX), siphash_(LB_HASH_SIPHASH) {
    for (const BenchPacket& kind : kPacketKinds) feeders_.emplace(kind.name, must(feeder(kind)));
    add("sluice", mixed_, {});
    add("siphash", siphash_, {});
    add("long", mixed_, {.short_way = false});
    add("lru", mixed_, {.elf = bytes_of(bench_lru_elf)});
    if (elf.empty()) return;
    std::ifstream file(elf, std::ios::binary);
    other_.assign(std::istreambuf_iterator<char>(file), {});
    add("other", mixed_, {.elf = std::as_bytes(std::span(other_))});
  }

  /// ns a packet, of `packets` of one kind and `flows` flows picked at random, by one of the
  /// programs "none", "swap", "sluice", "long" (without the short way), "siphash", "lru", "other".
  double measure(const std::string& program, const std::string& kind, std::uint32_t flows,
                 int packets) {
    const BpfObject& runner = feeders_.at(kind);
    int measured = program_fd(program, runner);
    __u32 zero = 0;
    if (bpf_map_update_elem(must(runner.map_fd("measured")), &zero, &measured, BPF_ANY) != 0) {
      must(Status(fail_errno(errno, "tail call to " + program)));
    }
    set_flows(runner, flows);
    std::array<char, 128> frame{}, out{};
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = frame.data();
    options.data_size_in = 82;
    options.data_out = out.data();
    options.data_size_out = out.size();
    options.repeat = packets;
    if (bpf_prog_test_run_opts(must(runner.program_fd("bench_run")), &options) != 0) {
      must(Status(fail_errno(errno, "test run of " + program)));
    }
    if (options.retval != 3) {
      must(Status(fail(EINVAL, program + " did not send packets of kind " + kind + ": verdict " +
                                   std::to_string(options.retval))));
    }
    return options.duration;
  }

 private:
  void add(const std::string& name, const Services& services, const XdpProgram::Build& build) {
    XdpProgram program = must(XdpProgram::load(services.path(), build));
    must(program.set_mac({{2, 2, 2, 2, 2, 2}}));
    must(program.set_forwarding({.engine = LB_ENGINE_HYBRID, .sends = ~0U}));
    programs_.emplace(name, std::move(program));
  }
  int program_fd(const std::string& name, const BpfObject& runner) {
    auto at = programs_.find(name);
    return at == programs_.end() ? must(runner.program_fd("bench_" + name))
                                 : must(at->second.object().program_fd("lb_xdp"));
  }
  static Result<BpfObject> feeder(const BenchPacket& kind) {
    BpfSpec spec{.name = "bench_run",
                 .elf = bytes_of(bench_run_elf),
                 .constants = {},
                 .shared_maps = {},
                 .alternatives = {}};
    const IpAddr vip = ServiceAddr::parse(kind.service)->vip;
    std::array<std::uint32_t, 4> words{};
    std::memcpy(words.data(), vip.data(), vip.size());
    spec.constant("bench_vip_be", words)
        .constant("bench_port", kind.port)
        .constant("bench_proto", kind.proto)
        .constant("bench_v6", static_cast<std::uint8_t>(vip.is_v4() ? 0 : 1))
        .constant("bench_vlan", kind.vlan);
    return BpfObject::load(spec);
  }
  static void set_flows(const BpfObject& runner, std::uint32_t flows) {
    // bench_flows is the first variable of .data, the map's only value.
    const int data = must(runner.map_fd(".data"));
    __u32 zero = 0;
    std::array<char, 64> value{};
    (void)bpf_map_lookup_elem(data, &zero, value.data());
    std::memcpy(value.data(), &flows, sizeof flows);
    (void)bpf_map_update_elem(data, &zero, value.data(), BPF_ANY);
  }

  Services mixed_, siphash_;
  std::string other_;
  std::map<std::string, BpfObject> feeders_;
  std::map<std::string, XdpProgram> programs_;
};

}  // namespace lb
