// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/observe_bench_target.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>

namespace lb::observe {
namespace {

constexpr const char* kTargetName = "LB_OBSERVE_BENCH_TARGET";
constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kPages = 256;

struct Command {
  Load load = Load::Nothing;
  unsigned milliseconds = 0;
  unsigned depth = 0;
};

// The compiler knows malloc and leaves out pairs whose block is not used.
void* (*volatile call_malloc)(std::size_t) = std::malloc;
void (*volatile call_free)(void*) = std::free;

double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

/// ns of an operation: `some` does a few and gives how many; it is called until the time is over.
template <class Some>
double time_of(unsigned milliseconds, Some some) {
  const double limit = milliseconds * 1e6;
  some();  // warms the caches and the maps of a tracer
  const double start = cpu_ns();
  double operations = 0;
  double used = 0;
  do {
    operations += some();
    used = cpu_ns() - start;
  } while (used < limit);
  return used / operations;
}

double some_pairs() {
  constexpr int kPairs = 200;
  for (int i = 0; i < kPairs; ++i) call_free(call_malloc(100));
  return kPairs;
}

/// From this many frames of ours below the one that calls.
__attribute__((noinline)) double pairs_at(unsigned depth, unsigned milliseconds) {
  const double ns =
      depth <= 1 ? time_of(milliseconds, some_pairs) : pairs_at(depth - 1, milliseconds);
  asm volatile("" ::: "memory");  // no tail call: it would take the frame away
  return ns;
}

double touch_pages() {
  constexpr std::size_t kBytes = kPages * kPageBytes;
  void* area = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) return 1;
  (void)madvise(area, kBytes, MADV_NOHUGEPAGE);
  for (std::size_t i = 0; i < kPages; ++i) static_cast<volatile char*>(area)[i * kPageBytes] = 1;
  munmap(area, kBytes);
  return kPages;
}

double pages_through_pipe(const std::array<int, 2>& ends) {
  static std::array<char, kPages * kPageBytes> data{};
  for (std::size_t sent = 0; sent < data.size();) {
    const ssize_t n = write(ends[1], data.data(), data.size() - sent);
    if (n <= 0) return 1;
    sent += static_cast<std::size_t>(n);
  }
  for (std::size_t got = 0; got < data.size();) {
    const ssize_t n = read(ends[0], data.data(), data.size() - got);
    if (n <= 0) return 1;
    got += static_cast<std::size_t>(n);
  }
  return kPages;
}

double time_pipe(unsigned milliseconds) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return 0;
  (void)fcntl(ends[1], F_SETPIPE_SZ, kPages * kPageBytes);
  const double ns = time_of(milliseconds, [&ends] { return pages_through_pipe(ends); });
  close(ends[0]);
  close(ends[1]);
  return ns;
}

/// To one CPU: CPUs of a guest differ from moment to moment.
void stay_here() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) return;
  int last = CPU_SETSIZE - 1;
  while (last > 0 && !CPU_ISSET(last, &cpus)) --last;
  CPU_ZERO(&cpus);
  CPU_SET(last, &cpus);
  (void)sched_setaffinity(0, sizeof cpus, &cpus);
}

double run_load(const Command& command) {
  switch (command.load) {
    case Load::Pairs:
      return pairs_at(command.depth, command.milliseconds);
    case Load::Touch:
      return time_of(command.milliseconds, touch_pages);
    case Load::Pipe:
      return time_pipe(command.milliseconds);
    case Load::Nothing:
      break;
  }
  return 0;
}

}  // namespace

void serve_if_target() {
  if (getenv(kTargetName) == nullptr) return;
  stay_here();
  Command command;
  while (read(STDIN_FILENO, &command, sizeof command) == static_cast<ssize_t>(sizeof command)) {
    const double ns = run_load(command);
    if (write(STDOUT_FILENO, &ns, sizeof ns) != static_cast<ssize_t>(sizeof ns)) break;
  }
  _exit(0);
}

Result<BenchTarget> BenchTarget::start(const std::string& preload, const Environment& environment) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  Fd child_in(in[0]);
  Fd commands(in[1]);
  if (pipe2(out.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  Fd answers(out[0]);
  Fd child_out(out[1]);
  const pid_t pid = fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) {
    dup2(child_in.get(), STDIN_FILENO);
    dup2(child_out.get(), STDOUT_FILENO);
    setenv(kTargetName, "1", 1);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    if (!preload.empty()) setenv("LD_PRELOAD", preload.c_str(), 1);
    execl("/proc/self/exe", "observe_bench_target", nullptr);
    _exit(127);
  }
  child_in.reset();
  child_out.reset();
  BenchTarget target(pid, std::move(commands), std::move(answers));
  if (auto started = target.run(Load::Nothing, 0); !started) {
    return fail(ENOEXEC, "the target did not start with LD_PRELOAD=" + preload);
  }
  return target;
}

BenchTarget::~BenchTarget() {
  if (pid_ < 0) return;
  commands_.reset();  // it reads the end and leaves
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<double> BenchTarget::run(Load load, unsigned milliseconds, unsigned depth) const {
  const Command command{load, milliseconds, depth};
  if (write(commands_.get(), &command, sizeof command) != static_cast<ssize_t>(sizeof command)) {
    return fail_errno(errno, "command to the target");
  }
  double ns = 0;
  ssize_t got = 0;
  do {
    got = read(answers_.get(), &ns, sizeof ns);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof ns)) return fail(EIO, "the target has died");
  return ns;
}

}  // namespace lb::observe
