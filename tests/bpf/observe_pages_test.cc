// SPDX-License-Identifier: Apache-2.0
// `observe pages` against producers whose use of page frames is known exactly: a packet ring, a
// full pipe, a perf ring, an AF_XDP area, io_uring's rings; and back to zero after they are closed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <net/ethernet.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "dataplane/base/fd.h"
#include "observe/pages/page_tracer.h"
#include "observe/symbols/kernel_symbols.h"
#include "tests/support/eventually.h"

namespace lb::observe {
namespace {

/// As many as a CPU gathers (a folio batch has 31).
void touch_pages_on_each_cpu() {
  constexpr std::size_t kBytes = 64 * 4096;
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    void* area = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (area != MAP_FAILED) munmap(area, kBytes);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

class ObservePages : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    PagesOptions options;
    options.target.everything = false;
    options.target.pids = {static_cast<std::uint32_t>(getpid())};
    options.plain_tracepoints = GetParam();
    tracer_.emplace(options);
    auto attached = tracer_->attach();
    ASSERT_TRUE(attached) << attached.error().message;
    auto symbols = KernelSymbols::read();
    ASSERT_TRUE(symbols) << symbols.error().message;
    symbols_.emplace(std::move(*symbols));
  }

  /// Frames outstanding, and events, of this order with a stack that goes through `function`, and
  /// not through `other`.
  struct Held {
    double pages = 0;
    double allocations = 0;
  };
  Held held(const std::string& order, const std::string& function, const std::string& other = "-") {
    auto report = tracer_->read();
    EXPECT_TRUE(report) << report.error().message;
    Held all;
    for (const auto& row : report->rows) {
      if (row.labels[1] != order || row.stack == kNone) continue;
      auto goes_through = [&](const std::string& name) {
        return std::ranges::any_of(report->stacks[row.stack].frames, [&](std::uint32_t frame) {
          return function_at(report->frames[frame].address).starts_with(name);
        });
      };
      if (!goes_through(function) || goes_through(other)) continue;
      all.pages += row.values[1].value;
      all.allocations += row.values[2].value;
    }
    return all;
  }
  /// Pages that RCU frees come back within its grace period.
  double after_grace(const std::string& function) {
    double pages = 0;
    (void)test::eventually([&] {
      pages = held("0", function).pages;
      return pages == 0;
    });
    return pages;
  }
  std::string function_at(std::uint64_t address) {
    auto found = symbols_->find(address);
    return found ? std::string(found->name) : std::string();
  }

  std::optional<PageTracer> tracer_;
  std::optional<KernelSymbols> symbols_;
};

TEST_P(ObservePages, CountsTheBlocksOfAPacketRing) {
  Fd socket(::socket(AF_PACKET, SOCK_RAW, 0));
  ASSERT_TRUE(socket);
  tpacket_req ring{};
  ring.tp_block_size = 65536;
  ring.tp_block_nr = 64;
  ring.tp_frame_size = 2048;
  ring.tp_frame_nr = 65536 / 2048 * 64;
  ASSERT_EQ(setsockopt(socket.get(), SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring), 0);
  auto now = held("4", "packet_set_ring");
  EXPECT_EQ(now.allocations, 64);
  EXPECT_EQ(now.pages, 64 * 16);
  socket.reset();
  EXPECT_EQ(held("4", "packet_set_ring").pages, 0);
}

TEST_P(ObservePages, CountsTheFramesOfAFullPipeAndWhatOfThemIsFreed) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
  Fd reader(ends[0]);
  Fd writer(ends[1]);
  ASSERT_EQ(fcntl(writer.get(), F_SETPIPE_SZ, 1 << 20), 1 << 20);
  std::vector<char> megabyte(1 << 20, 'x');
  ASSERT_EQ(write(writer.get(), megabyte.data(), megabyte.size()), 1 << 20);
  auto full = held("0", "anon_pipe_write");
  if (full.pages == 0) full = held("0", "pipe_write");
  EXPECT_EQ(full.pages, 256);
  EXPECT_EQ(full.allocations, 256);
  ASSERT_EQ(read(reader.get(), megabyte.data(), 100 * 4096), 100 * 4096);
  auto part = held("0", "anon_pipe_write");
  // A pipe keeps two frames that were read for the next write.
  EXPECT_EQ(part.pages, 256 - 100 + 2);
  reader.reset();
  writer.reset();
  EXPECT_EQ(held("0", "anon_pipe_write").pages, 0);
}

TEST_P(ObservePages, CountsTheFramesOfAPerfRing) {
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.size = sizeof attributes;
  attributes.config = PERF_COUNT_SW_DUMMY;
  Fd event(static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0)));
  ASSERT_TRUE(event);
  constexpr std::size_t kBytes = 129 * 4096;
  void* ring = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, event.get(), 0);
  ASSERT_NE(ring, MAP_FAILED);
  EXPECT_EQ(held("0", "rb_alloc").pages, 129);
  munmap(ring, kBytes);
  event.reset();
  EXPECT_EQ(after_grace("rb_alloc"), 0);
}

TEST_P(ObservePages, CountsTheFramesOfAnAfXdpArea) {
  constexpr std::size_t kBytes = 4U << 20;
  Fd socket(::socket(AF_XDP, SOCK_RAW, 0));
  ASSERT_TRUE(socket);
  void* area = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(area, MAP_FAILED);
  ASSERT_EQ(madvise(area, kBytes, MADV_NOHUGEPAGE), 0);
  xdp_umem_reg umem{};
  umem.addr = reinterpret_cast<std::uintptr_t>(area);
  umem.len = kBytes;
  umem.chunk_size = 2048;
  ASSERT_EQ(setsockopt(socket.get(), SOL_XDP, XDP_UMEM_REG, &umem, sizeof umem), 0);
  // A page table for each 2 MiB stands in the same call.
  EXPECT_EQ(held("0", "xdp_umem_create", "pte_alloc_one").pages, kBytes / 4096);
  munmap(area, kBytes);
  socket.reset();
  // Those that wait on a CPU to be put on a list of the kernel come back when others come after
  // them.
  touch_pages_on_each_cpu();
  EXPECT_EQ(after_grace("xdp_umem_create"), 0);
}

TEST_P(ObservePages, CountsTheRingsOfIoUring) {
  io_uring_params parameters{};
  Fd ring(static_cast<int>(syscall(SYS_io_uring_setup, 4096, &parameters)));
  if (!ring) GTEST_SKIP() << "no io_uring here";
  double pages = 0;
  for (const char* order : {"0", "1", "2", "3", "4", "5", "6"}) {
    pages += held(order, "io_create_region").pages;
  }
  // 4096 requests of 64 bytes, 8192 completions of 16 bytes and the heads before them.
  EXPECT_GE(pages, 64 + 32);
  EXPECT_LE(pages, 64 + 64 + 32);
}

TEST_P(ObservePages, WhatItSaysIsOutstandingIsWhatTheEntriesHold) {
  void* area = mmap(nullptr, 8U << 20, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  ASSERT_NE(area, MAP_FAILED);
  munmap(static_cast<char*>(area) + (2U << 20), 1U << 20);  // splits a huge page, if it was one
  auto report = tracer_->read();
  ASSERT_TRUE(report);
  double pages = 0;
  for (const auto& row : report->rows) pages += row.values[1].value;
  EXPECT_GE(pages, 7 * 256);
  EXPECT_EQ(report->honesty.map_full, 0U);
  munmap(area, 8U << 20);
}

INSTANTIATE_TEST_SUITE_P(Ways, ObservePages, testing::Bool(), [](const auto& way) {
  return way.param ? "PlainTracepoints" : "RawTracepoints";
});

}  // namespace
}  // namespace lb::observe
