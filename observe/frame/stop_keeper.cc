// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/stop_keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "dataplane/base/bpf_map.h"

namespace lb::observe {
namespace {

constexpr int kPipe = 3;
constexpr int kMap = 4;

constexpr int kTurns = 100;
constexpr int kTurnMs = 10;

/// Of the keeper: nothing of ours but the pipe and the map, so that nobody waits for it.
[[noreturn]] void keep(int pipe, int map) {
  setsid();  // Ctrl-C is not for it
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) (void)::signal(signal, SIG_IGN);
  prctl(PR_SET_NAME, "lbctl-keeper");
  const int kept_pipe = fcntl(pipe, F_DUPFD, kMap + 1);
  const int kept_map = fcntl(map, F_DUPFD, kMap + 1);
  dup2(kept_pipe, kPipe);
  dup2(kept_map, kMap);
  syscall(SYS_close_range, kMap + 1, ~0U, 0);
  for (int fd = 0; fd < kPipe; ++fd) close(fd);
  char word = 0;
  ssize_t got = 0;
  do {
    got = read(kPipe, &word, 1);
  } while (got < 0 && errno == EINTR);
  _exit(got != 0 || let_all_go_on(kMap, kTurns) ? 0 : 1);
}

}  // namespace

Status let_all_go_on(int map_fd, int turns) {
  LB_TRY_ASSIGN(const auto map, (BpfMap::of<std::uint32_t, std::uint8_t>(map_fd)));
  Status scanned;
  for (int turn = 0; turn < turns; ++turn) {
    if (turn > 0) poll(nullptr, 0, kTurnMs);
    scanned = map.scan_as<std::uint32_t, std::uint8_t>(
        [](std::uint32_t pid, std::uint8_t) { kill(static_cast<pid_t>(pid), SIGCONT); });
  }
  return scanned;
}

Result<StopKeeper> StopKeeper::start(int map_fd) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  Fd reader(ends[0]);
  Fd writer(ends[1]);
  const pid_t pid = fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) keep(reader.get(), map_fd);
  return StopKeeper(pid, std::move(writer));
}

StopKeeper::StopKeeper(StopKeeper&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), alive_(std::move(other.alive_)) {}

StopKeeper& StopKeeper::operator=(StopKeeper&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(alive_, other.alive_);
  return *this;
}

StopKeeper::~StopKeeper() {
  if (pid_ < 0) return;
  (void)!write(alive_.get(), "x", 1);
  alive_.reset();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace lb::observe
