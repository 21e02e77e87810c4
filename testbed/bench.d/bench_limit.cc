// SPDX-License-Identifier: Apache-2.0
// bench-limit: the forwarders that Sluice is measured against, each as little as it can be.
//
// Modes: afxdp (the bare AF_XDP loop), xdp-tx, xdp-redirect (both in the kernel) and pass (only a
// program that passes, which a veth's far end needs). Runs until SIGTERM or SIGINT; afxdp then
// prints its counters.
#include <bpf/bench_fwd.skel.h>
#include <bpf/bpf.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "testbed/bench.d/afxdp_loop.h"
#include "testbed/bench.d/xdp_tools.h"

namespace lb::bench {
namespace {

std::atomic<bool> stop_requested{false};

struct Arguments {
  std::string mode;
  LoopOptions loop;
  int cpu = -1;
};

struct SkeletonDeleter {
  void operator()(bench_fwd* skeleton) const { bench_fwd__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<bench_fwd, SkeletonDeleter>;

void wait_for_signal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  int signal = 0;
  sigwait(&set, &signal);
}

void say_ready() {
  std::puts("ready");
  std::fflush(stdout);
}

void print_counters(const LoopCounters& c) {
  std::printf(
      "{\"packets\": %llu, \"batches\": %llu, \"kicks\": %llu, \"again\": %llu, \"polls\": %llu, "
      "\"rx_ring_full\": %llu, \"fill_empty\": %llu}\n",
      static_cast<unsigned long long>(c.packets), static_cast<unsigned long long>(c.batches),
      static_cast<unsigned long long>(c.kicks), static_cast<unsigned long long>(c.again),
      static_cast<unsigned long long>(c.polls), static_cast<unsigned long long>(c.rx_ring_full),
      static_cast<unsigned long long>(c.fill_empty));
}

Status run_afxdp(const Arguments& arguments, bench_fwd& skeleton) {
  // The kernel lets a queue go a little after the process that had it is gone.
  auto opened = AfxdpLoop::open(arguments.loop);
  for (int i = 0; i < 100 && !opened && opened.error().code.value() == EBUSY; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    opened = AfxdpLoop::open(arguments.loop);
  }
  LB_TRY_ASSIGN(const auto loop, std::move(opened));
  const __u32 queue = 0;
  const int fd = loop->rx_fd();
  if (bpf_map_update_elem(bpf_map__fd(skeleton.maps.sockets), &queue, &fd, BPF_ANY) != 0) {
    return fail_errno(errno, "XSKMAP");
  }
  LB_TRY_ASSIGN(const XdpLink in, attach_xdp(skeleton.progs.bench_xsk, arguments.loop.in));
  XdpLink out;
  if (arguments.loop.out != arguments.loop.in) {
    LB_TRY_ASSIGN(out, attach_xdp(skeleton.progs.bench_pass, arguments.loop.out));
  }
  for (const int signal : {SIGTERM, SIGINT}) {
    struct sigaction action{};
    action.sa_handler = [](int) { stop_requested = true; };
    sigaction(signal, &action, nullptr);
  }
  LB_TRY(pin_this_thread(arguments.cpu));
  say_ready();
  loop->run(stop_requested);
  print_counters(loop->counters());
  return {};
}

Status run_in_kernel(const Arguments& arguments, bench_fwd& skeleton) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  bpf_program* program = skeleton.progs.bench_pass;
  if (arguments.mode == "xdp-tx") program = skeleton.progs.bench_tx;
  if (arguments.mode == "xdp-redirect") {
    program = skeleton.progs.bench_redirect;
    const __u32 slot = 0;
    LB_TRY_ASSIGN(const int index, interface_index(arguments.loop.out));
    if (bpf_map_update_elem(bpf_map__fd(skeleton.maps.out_port), &slot, &index, BPF_ANY) != 0) {
      return fail_errno(errno, "DEVMAP");
    }
  }
  LB_TRY_ASSIGN(const XdpLink in, attach_xdp(program, arguments.loop.in));
  XdpLink out;
  if (arguments.loop.out != arguments.loop.in) {
    LB_TRY_ASSIGN(out, attach_xdp(skeleton.progs.bench_pass, arguments.loop.out));
  }
  say_ready();
  wait_for_signal();
  return {};
}

Status run(const Arguments& arguments) {
  const Skeleton skeleton(bench_fwd__open_and_load());
  if (!skeleton) return fail_errno(errno, "forwarding programs");
  if (arguments.mode == "afxdp") return run_afxdp(arguments, *skeleton);
  return run_in_kernel(arguments, *skeleton);
}

void add_loop_options(CLI::App& app, LoopOptions& loop) {
  const std::map<std::string, Wait> waits{
      {"spin", Wait::Spin}, {"poll", Wait::Poll}, {"hybrid", Wait::Hybrid}};
  app.add_option("--frames", loop.frames, "frames in the UMEM");
  app.add_option("--frame-bytes", loop.frame_bytes, "2048 or 4096");
  app.add_option("--ring", loop.ring, "entries of RX and TX");
  app.add_option("--umem-ring", loop.umem_ring, "entries of FILL and COMPLETION");
  app.add_option("--batch", loop.batch);
  app.add_option("--budget", loop.budget, "XDP_MAX_TX_SKB_BUDGET; 0: the kernel's 32");
  app.add_option("--send-buffer", loop.send_buffer, "SO_SNDBUFFORCE; 0: the kernel's");
  app.add_option("--kick-at", loop.kick_at, "frames in TX before the kernel is told");
  app.add_option("--own-tx-socket", loop.own_tx_socket, "a second socket for transmit");
  app.add_option("--epoll", loop.epoll_registered, "keep the sockets in an epoll set");
  app.add_option("--need-wakeup", loop.need_wakeup);
  app.add_option("--spin-rounds", loop.spin_rounds, "empty rounds before hybrid sleeps");
  app.add_option("--wait", loop.wait, "spin, poll or hybrid")
      ->transform(CLI::CheckedTransformer(waits));
}

}  // namespace
}  // namespace lb::bench

int main(int argc, char** argv) {
  lb::bench::Arguments arguments;
  CLI::App app("bare forwarders to measure against");
  app.add_option("mode", arguments.mode)
      ->required()
      ->check(CLI::IsMember({"afxdp", "xdp-tx", "xdp-redirect", "pass"}));
  app.add_option("--in", arguments.loop.in, "interface that packets come by")->required();
  app.add_option("--out", arguments.loop.out, "interface they leave by; the same if not given");
  app.add_option("--cpu", arguments.cpu, "CPU of the AF_XDP loop");
  lb::bench::add_loop_options(app, arguments.loop);
  CLI11_PARSE(app, argc, argv);
  if (arguments.loop.out.empty()) arguments.loop.out = arguments.loop.in;
  lb::bench::quiet_libbpf();
  if (auto status = lb::bench::run(arguments); !status) {
    std::fprintf(stderr, "bench-limit: %s\n", status.error().message.c_str());
    return 1;
  }
  return 0;
}
