// SPDX-License-Identifier: Apache-2.0
// bench-load: offers packets to a forwarder and says how many came back, as one line of JSON.
//
// Modes: a flood, a fixed rate, or a search for the peak (the offered load is raised step by step
// until what is delivered stops growing). testbed/bench starts one of these for each measurement;
// it is of use by hand, too.
#include <arpa/inet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "dataplane/base/addr.h"
#include "dataplane/base/fd.h"
#include "testbed/bench.d/load_generator.h"

namespace lb::bench {
namespace {

using std::chrono::milliseconds;

struct Arguments {
  LoadGenerator::Options generator;
  std::string dst_mac;
  std::string dst_ip = "192.0.2.10";
  std::string src_ip = "10.1.0.1";
  std::string proto = "udp";
  std::uint16_t dst_port = 80;
  std::uint32_t flows = 1;
  double rate = 0;
  double start_rate = 0.5;
  bool search = false;
  int warm_ms = 150;
  int measure_ms = 400;
  int step_ms = 150;
};

Result<MacAddr> mac_of(const std::string& interface) {
  const Fd socket_fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  if (!socket_fd || ioctl(socket_fd.get(), SIOCGIFHWADDR, &request) != 0) {
    return fail_errno(errno, "MAC address of " + interface);
  }
  MacAddr mac;
  std::memcpy(mac.bytes.data(), request.ifr_hwaddr.sa_data, mac.bytes.size());
  return mac;
}

Status fill_plan(const Arguments& arguments, bench_plan& plan) {
  LB_TRY_ASSIGN(const MacAddr dst, MacAddr::parse(arguments.dst_mac));
  LB_TRY_ASSIGN(const MacAddr src, mac_of(arguments.generator.out));
  std::memcpy(plan.dst_mac, dst.bytes.data(), dst.bytes.size());
  std::memcpy(plan.src_mac, src.bytes.data(), src.bytes.size());
  in_addr address{};
  if (inet_pton(AF_INET, arguments.dst_ip.c_str(), &address) != 1) {
    return fail(EINVAL, "--dst-ip " + arguments.dst_ip + " is not an IPv4 address");
  }
  plan.dst_ip = address.s_addr;
  if (inet_pton(AF_INET, arguments.src_ip.c_str(), &address) != 1) {
    return fail(EINVAL, "--src-ip " + arguments.src_ip + " is not an IPv4 address");
  }
  plan.src_ip = ntohl(address.s_addr);
  plan.dst_port = arguments.dst_port;
  plan.proto = arguments.proto == "tcp" ? BENCH_TCP : BENCH_UDP;
  plan.flows = arguments.flows;
  return {};
}

Rates measure(const LoadGenerator& generator, int warm_ms, int measure_ms) {
  std::this_thread::sleep_for(milliseconds(warm_ms));
  const Reading from = generator.read();
  std::this_thread::sleep_for(milliseconds(measure_ms));
  return rates_between(from, generator.read());
}

/// Raises the load by 8 % a step; the peak is the most that was delivered in any step.
Rates find_peak(LoadGenerator& generator, const Arguments& arguments) {
  Rates best;
  int worse = 0;
  double rate = arguments.start_rate;
  for (int step = 0; step < 60 && worse < 4; ++step, rate *= 1.08) {
    generator.set_rate(rate);
    const Rates now = measure(generator, 30, arguments.step_ms);
    if (now.delivered_mpps > best.delivered_mpps) {
      best = now;
      worse = 0;
    } else {
      ++worse;
    }
  }
  return best;
}

Status run(const Arguments& arguments) {
  LB_TRY_ASSIGN(const auto generator, LoadGenerator::open(arguments.generator));
  LB_TRY(fill_plan(arguments, generator->plan()));
  generator->set_rate(arguments.search ? arguments.start_rate : arguments.rate);
  LB_TRY(generator->start());
  Rates rates;
  if (arguments.search) {
    rates = find_peak(*generator, arguments);
  } else {
    rates = measure(*generator, arguments.warm_ms, arguments.measure_ms);
  }
  LB_TRY(generator->stop());
  std::this_thread::sleep_for(milliseconds(50));  // what is still under way
  const Reading end = generator->read();
  const bench_gaps gaps = generator->gaps();
  std::printf(
      "{\"offered_mpps\": %.4f, \"delivered_mpps\": %.4f, \"sent\": %llu, \"received\": %llu, "
      "\"longest_gap_ms\": %.3f}\n",
      rates.offered_mpps, rates.delivered_mpps, static_cast<unsigned long long>(end.sent),
      static_cast<unsigned long long>(end.received), static_cast<double>(gaps.longest_ns) / 1e6);
  return {};
}

}  // namespace
}  // namespace lb::bench

int main(int argc, char** argv) {
  lb::bench::Arguments arguments;
  CLI::App app("offers packets to a forwarder and counts what comes back");
  app.add_option("--out", arguments.generator.out, "interface to send by")->required();
  app.add_option("--sink", arguments.generator.sink, "interface to count at")->required();
  app.add_option("--dst-mac", arguments.dst_mac, "the forwarder's MAC address")->required();
  app.add_option("--dst-ip", arguments.dst_ip);
  app.add_option("--src-ip", arguments.src_ip, "address of the first flow");
  app.add_option("--dst-port", arguments.dst_port);
  app.add_option("--proto", arguments.proto, "udp, or tcp for SYNs")
      ->check(CLI::IsMember({"udp", "tcp"}));
  app.add_option("--flows", arguments.flows, "flows; 0: every packet is a new one");
  app.add_option("--rate", arguments.rate, "Mpps to offer; 0: all that is possible");
  app.add_flag("--search", arguments.search, "find the load that delivers most");
  app.add_option("--start-rate", arguments.start_rate, "Mpps where the search begins");
  app.add_option("--warm-ms", arguments.warm_ms);
  app.add_option("--ms", arguments.measure_ms, "how long to measure");
  app.add_option("--step-ms", arguments.step_ms, "how long to measure in a step of the search");
  app.add_option("--cpu", arguments.generator.cpu, "CPU of the generator");
  app.add_option("--batch", arguments.generator.batch)->check(CLI::Range(1, 256));
  app.add_flag("--gaps", arguments.generator.watch_gaps, "watch the time between arrivals");
  CLI11_PARSE(app, argc, argv);
  lb::bench::quiet_libbpf();
  if (auto status = lb::bench::run(arguments); !status) {
    std::fprintf(stderr, "bench-load: %s\n", status.error().message.c_str());
    return 1;
  }
  return 0;
}
