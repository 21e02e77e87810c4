// SPDX-License-Identifier: Apache-2.0
// `observe leak --kernel` on the running kernel, against producers whose use of kernel memory is
// known: eventfds, epoll entries, BPF maps.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "dataplane/base/fd.h"
#include "observe/kleak/kernel_leak.h"
#include "tests/support/eventually.h"

namespace lb::observe {
namespace {

constexpr std::size_t kHeld = 500;

class KernelLeak : public testing::Test {
 protected:
  void start(KernelLeakOptions options = {}) {
    options.targets.everything = false;
    options.targets.pids = {static_cast<std::uint32_t>(getpid())};
    tracer_ = std::make_unique<KernelLeakTracer>(std::move(options));
    const auto attached = tracer_->attach();
    ASSERT_TRUE(attached) << attached.error().message;
  }

  Report read() {
    auto report = tracer_->read();
    EXPECT_TRUE(report) << (report ? "" : report.error().message);
    return report ? std::move(*report) : Report{};
  }

  /// The sum of a measure over the rows of a cache.
  static Value sum(const Report& report, const std::string& cache, std::size_t measure) {
    Value all;
    for (const Row& row : report.rows) {
      if (row.labels.at(1) != cache) continue;
      all.value += row.values.at(measure).value;
      all.low += row.values.at(measure).low;
      all.high += row.values.at(measure).high;
    }
    return all;
  }
  double outstanding(const std::string& cache) { return sum(read(), cache, 1).value; }

  static const Figure& figure(const Report& report, const std::string& name) {
    return *std::ranges::find(report.figures, name, &Figure::name);
  }

  std::unique_ptr<KernelLeakTracer> tracer_;
};

std::vector<Fd> eventfds(std::size_t count) {
  std::vector<Fd> fds;
  for (std::size_t i = 0; i < count; ++i) fds.emplace_back(eventfd(0, EFD_CLOEXEC));
  return fds;
}

Fd make_map(bpf_map_type type, std::uint32_t value_bytes, std::uint32_t entries) {
  bpf_attr attributes{};
  attributes.map_type = type;
  attributes.key_size = 4;
  attributes.value_size = value_bytes;
  attributes.max_entries = entries;
  return Fd(static_cast<int>(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes)));
}

TEST_F(KernelLeak, CountsHeldObjectsExactlyAndGoesBackToZero) {
  start();
  // The tracer's own last links were made under its eyes.
  const double before = outstanding("filp");
  auto fds = eventfds(kHeld);
  const Report report = read();
  EXPECT_EQ(sum(report, "filp", 1), Value(before + static_cast<double>(kHeld)));
  EXPECT_EQ(report.honesty.map_full, 0U);
  EXPECT_EQ(report.honesty.stacks_lost, 0U);
  const auto row = std::ranges::find_if(report.rows, [](const Row& one) {
    return one.labels.at(1) == "filp" && one.values[1].value > 1;
  });
  ASSERT_NE(row, report.rows.end());
  EXPECT_NE(row->stack, kNone);
  EXPECT_EQ(row->labels.back(), "visible");
  fds.clear();
  EXPECT_TRUE(test::eventually([&] { return outstanding("filp") == before; }));
  tracer_->detach();
  EXPECT_GE(sum(read(), "filp", 2).value, kHeld);
}

TEST_F(KernelLeak, CountsALargeKmallocOnceThoughTheKernelTellsOfItTwice) {
  start();
  constexpr std::size_t kPipes = 20;
  const double before = sum(read(), "kmalloc-large", 2).value;
  std::vector<Fd> pipes;
  for (std::size_t i = 0; i < kPipes; ++i) {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    pipes.emplace_back(ends[0]);
    pipes.emplace_back(ends[1]);
    // 256 descriptions of buffers, 10 kB.
    ASSERT_GT(fcntl(ends[0], F_SETPIPE_SZ, 1 << 20), 0);
  }
  const Report report = read();
  EXPECT_EQ(sum(report, "kmalloc-large", 1), Value(kPipes));
  EXPECT_EQ(sum(report, "kmalloc-large", 2).value - before, kPipes);
  for (const Row& row : report.rows) {
    EXPECT_TRUE(row.labels.at(1) != "kmalloc-large" || row.labels.back() == "visible");
  }
  pipes.clear();
  EXPECT_EQ(outstanding("kmalloc-large"), 0);
}

TEST_F(KernelLeak, FiguresOfTheLeakGrowAndShrinkWithWhatIsHeld) {
  KernelLeakOptions options;
  options.caches = {"filp"};
  start(options);
  const double before = figure(read(), "blocks").value.value;
  const auto fds = eventfds(kHeld);
  const Report report = read();
  EXPECT_EQ(figure(report, "blocks").value, Value(before + static_cast<double>(kHeld)));
  EXPECT_EQ(figure(report, "leak").value, figure(report, "leak_slab").value);
  EXPECT_GT(figure(report, "growth_rate").value.value, 0);
}

TEST_F(KernelLeak, MarksACacheWhoseFreesHaveNoTracepoint) {
  start();
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  const Fd event(eventfd(0, EFD_CLOEXEC));
  epoll_event wanted{};
  constexpr int kRounds = 20'000;
  for (int i = 0; i < kRounds; ++i) {
    ASSERT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, event.get(), &wanted), 0);
    ASSERT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_DEL, event.get(), nullptr), 0);
  }
  const Report report = read();
  const auto row = std::ranges::find_if(
      report.rows, [](const Row& one) { return one.labels.at(1) == "eventpoll_epi"; });
  ASSERT_NE(row, report.rows.end());
  if (std::ranges::count(report.honesty.notes, "frees by kvfree_call_rcu are seen by fentry") +
          std::ranges::count(report.honesty.notes,
                             "frees by kvfree_call_rcu are seen by a kprobe") >
      0) {
    EXPECT_EQ(row->values[1].value, 0);
    return;
  }
  EXPECT_EQ(row->labels.back(), "not visible");
  EXPECT_EQ(row->values[1].low, 0);
  EXPECT_GT(report.honesty.frees_hidden, 0U);
  EXPECT_GE(figure(report, "hidden").value.high, row->values[0].high);
  EXPECT_LT(figure(report, "leak").value.value, kRounds * 128.0 / 2);
}

TEST_F(KernelLeak, SeesPerCpuAndVmallocMemoryOfABpfMap) {
  KernelLeakOptions options;
  options.slab = false;
  start(options);
  constexpr std::uint32_t kValue = 4096;
  constexpr std::uint32_t kEntries = 1024;
  Fd percpu = make_map(BPF_MAP_TYPE_PERCPU_ARRAY, kValue, 3);
  Fd array = make_map(BPF_MAP_TYPE_ARRAY, kValue, kEntries);
  ASSERT_TRUE(percpu && array);
  const Report report = read();
  EXPECT_GE(sum(report, "percpu", 0).value, 3.0 * kValue * static_cast<double>(BpfMap::cpus()));
  EXPECT_GE(sum(report, "vmalloc", 0).value, static_cast<double>(kValue) * kEntries);
  EXPECT_EQ(sum(report, "filp", 0), Value(0));
  const double percpu_blocks = sum(report, "percpu", 1).value;
  const double areas = sum(report, "vmalloc", 1).value;
  percpu.reset();
  array.reset();
  EXPECT_TRUE(test::eventually([&] { return outstanding("percpu") <= percpu_blocks - 3; }));
  EXPECT_TRUE(test::eventually([&] { return outstanding("vmalloc") <= areas - 1; }));
}

TEST_F(KernelLeak, ASampleStandsForAll) {
  KernelLeakOptions options;
  options.caches = {"filp"};
  options.sample_bytes = 4096;
  options.sample_seed = 1;
  start(options);
  constexpr std::size_t kMany = 900;
  const auto fds = eventfds(kMany);
  const Report report = read();
  const Value blocks = figure(report, "blocks").value;
  EXPECT_TRUE(blocks.estimated());
  // Which CPU the calls ran on is not ours to choose: twice the 95 % interval.
  EXPECT_LE(blocks.low / 2, kMany);
  EXPECT_GE(blocks.high * 2, kMany);
  EXPECT_GT(blocks.value, 0);
}

TEST_F(KernelLeak, FullMapsAreCountedAndHarmNobody) {
  KernelLeakOptions options;
  options.blocks_max = 10;
  options.stacks_max = 10;
  start(options);
  const auto fds = eventfds(kHeld);
  const Report report = read();
  EXPECT_GT(report.honesty.map_full + report.honesty.stacks_lost, 0U);
  EXPECT_LE(figure(report, "blocks").value.value, 10);
  EXPECT_THAT(report.honesty.notes, testing::Contains(testing::HasSubstr("no room")));
}

TEST_F(KernelLeak, TracesEachEvent) {
  KernelLeakOptions options;
  options.caches = {"filp"};
  options.trace = true;
  start(options);
  EXPECT_GE(tracer_->event_fd(), 0);
  eventfds(10).clear();
  std::size_t allocs = 0;
  std::size_t frees = 0;
  auto take = [&](std::string_view line) {
    EXPECT_TRUE(line.starts_with("{\"event\":") && line.ends_with("]}")) << line;
    EXPECT_NE(line.find("\"cache\":\"filp\""), std::string_view::npos) << line;
    allocs += line.find("\"event\":\"alloc\"") != std::string_view::npos;
    frees += line.find("\"event\":\"free\"") != std::string_view::npos;
  };
  EXPECT_TRUE(test::eventually([&] {
    tracer_->drain(take);
    return allocs >= 10 && frees >= 10;
  }));
}

TEST_F(KernelLeak, TakesUnder16MegabytesBeforeTheFirstEventAndSaysSo) {
  KernelLeakTracer tracer{KernelLeakOptions{}};
  const auto plan = tracer.plan();
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_TRUE(tracer.attach());
  double held = 0;
  for (const auto& part : tracer.objects().front()->held()) {
    held += static_cast<double>(part.memory_bytes);
  }
  EXPECT_LT(held, 16.0 * (1 << 20));
  EXPECT_NEAR(plan->memory_bytes / held, 1.0, 0.25);
}

TEST_F(KernelLeak, RefusesOptionsThatContradictEachOther) {
  KernelLeakOptions options;
  options.min_size = 2;
  options.max_size = 1;
  EXPECT_FALSE(KernelLeakTracer(options).plan());
  options = {};
  options.slab = options.percpu = options.vmalloc = false;
  EXPECT_FALSE(KernelLeakTracer(options).attach());
  EXPECT_FALSE(KernelLeakTracer(KernelLeakOptions{}).read());
}

}  // namespace
}  // namespace lb::observe
