// SPDX-License-Identifier: Apache-2.0
// The XDP program of lbd with one LRU look-up a packet (bpf/bench_lru.bpf.c), what a balancer with
// a connection table is: one hashed service, sent back out of the interface by XDP_TX. Prints
// "ready", and forwards until SIGTERM.
#include <fmt/format.h>
#include <net/if.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <utility>

#include "dataplane/io/fast_path.h"
#include "dataplane/io/xdp_program.h"
#include "dataplane/table/slot_plan.h"
// After lb_abi.h, whose types it names.
#include "bpf/bench_lru.skel.h"

namespace lb::bench {
namespace {

constexpr std::uint32_t kServers = 4, kSlots = 65'537;

struct Arguments {
  std::string in, service, mac;
};

Result<std::shared_ptr<TableObject>> make_table(FastPath& shared, const MacAddr& mac) {
  LB_TRY_ASSIGN(auto table, shared.make(kSlots, kServers));
  std::vector<std::uint16_t> owners(kSlots);
  for (std::uint32_t i = 0; i < kSlots; ++i) owners[i] = static_cast<std::uint16_t>(i % kServers);
  SlotPlan(std::move(owners)).write(*table);
  table->head().members = kServers;
  for (std::uint32_t i = 0; i < kServers; ++i) {
    lb_rs_entry& entry = table->members()[i];
    entry.place = i + 1;
    std::ranges::copy(mac.bytes, entry.macs);
    std::ranges::copy(mac.bytes, entry.macs + 6);
    entry.mtu = 1500;
    entry.flags = LB_RS_UP | LB_RS_HAS_MAC | LB_RS_EGRESS_UP;
  }
  return table;
}

Result<std::unique_ptr<ServiceTable>> one_service(FastPath& shared, const ServiceAddr& address,
                                                  const MacAddr& mac) {
  ServiceTableSpec spec;
  spec.ports = {{mac, 1500, true}};
  spec.flow_key = {0x1234567890abcdef, 0xfedcba0987654321};
  spec.vips = {{address.vip, false, true}};
  Service service;
  service.id = make_service_id(0, 1);
  service.address = address;
  service.scheduler = Scheduler::Mh;
  service.hash_key = 42;
  service.rs_count = kServers;
  for (std::uint32_t i = 0; i < kServers; ++i) {
    RealServer rs;
    rs.id = make_rs_id(i, 1);
    rs.mac = mac;
    rs.has_mac = rs.up = true;
    rs.weight = 1;
    LB_TRY_ASSIGN(rs.address, IpAddr::parse("10.0.1." + std::to_string(i + 1)));
    spec.real_servers.push_back(rs);
    service.members.push_back(rs.id);
  }
  LB_TRY_ASSIGN(service.table, make_table(shared, mac));
  spec.services = {service};
  return ServiceTable::build(std::move(spec));
}

Status run(const Arguments& arguments) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  LB_TRY_ASSIGN(const ServiceAddr address, ServiceAddr::parse(arguments.service));
  LB_TRY_ASSIGN(const MacAddr mac, MacAddr::parse(arguments.mac));
  LB_TRY_ASSIGN(auto shared, FastPath::create({}));
  std::size_t bytes = 0;
  const auto* elf = static_cast<const std::byte*>(bench_lru__elf_bytes(&bytes));
  LB_TRY_ASSIGN(auto program, XdpProgram::load(*shared, {.elf = {elf, bytes}}));
  LB_TRY(program.set_forwarding({.engine = LB_ENGINE_HYBRID, .sends = ~0U}));
  LB_TRY_ASSIGN(const auto table, one_service(*shared, address, mac));
  LB_TRY(shared->install(*table));
  const auto index = static_cast<int>(if_nametoindex(arguments.in.c_str()));
  if (index == 0) return fail_errno(errno, "interface " + arguments.in);
  LB_TRY(program.attach(index, arguments.in, XdpMode::Native, false));
  fmt::print("ready\n");
  std::fflush(stdout);
  int signal = 0;
  sigwait(&set, &signal);
  fmt::print("sent {}\n", program.counters().sent);
  return {};
}

}  // namespace
}  // namespace lb::bench

int main(int argc, char** argv) {
  lb::bench::Arguments arguments;
  CLI::App app("one LRU look-up a packet, to measure against");
  app.add_option("--in", arguments.in, "interface that packets come by and leave by")->required();
  app.add_option("--service", arguments.service, "as lbctl writes it")->required();
  app.add_option("--mac", arguments.mac, "MAC address of the real servers")->required();
  CLI11_PARSE(app, argc, argv);
  if (auto done = lb::bench::run(arguments); !done) {
    fmt::print(stderr, "bench-lru: {}\n", done.error().message);
    return 1;
  }
  return 0;
}
