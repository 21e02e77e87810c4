// SPDX-License-Identifier: Apache-2.0
// Attaching XDP programs by bpf_link, interface indices, CPU binding.
#include "testbed/bench.d/xdp_tools.h"

#include <net/if.h>
#include <pthread.h>
#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

namespace lb::bench {

Result<int> interface_index(const std::string& interface) {
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) return fail_errno(errno, "interface " + interface);
  return static_cast<int>(index);
}

Result<XdpLink> attach_xdp(bpf_program* program, const std::string& interface) {
  LB_TRY_ASSIGN(const int index, interface_index(interface));
  XdpLink link(bpf_program__attach_xdp(program, index));
  if (!link) return fail_errno(errno, "XDP program on " + interface);
  return link;
}

Status pin_this_thread(int cpu) {
  if (cpu < 0) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  const int error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
  if (error != 0) return fail_errno(error, "CPU " + std::to_string(cpu));
  return {};
}

unsigned long long monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<unsigned long long>(now.tv_sec) * 1'000'000'000ULL +
         static_cast<unsigned long long>(now.tv_nsec);
}

namespace {
int print_warnings(libbpf_print_level level, const char* format, va_list arguments) {
  return level == LIBBPF_WARN ? std::vfprintf(stderr, format, arguments) : 0;
}
}  // namespace

void quiet_libbpf() { libbpf_set_print(print_warnings); }

}  // namespace lb::bench
