// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "dataplane/base/text.h"

namespace lb::observe {
namespace {

/// In the child, between fork and exec: nothing but system calls.
[[noreturn]] void wait_and_execute(int go, int error, char* const* arguments) {
  char byte = 0;
  ssize_t got = 0;
  do {
    got = ::read(go, &byte, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    execvp(arguments[0], arguments);
    const int code = errno;
    if (::write(error, &code, sizeof code) < 0) _exit(126);
  }
  _exit(127);
}

}  // namespace

Result<Child> Child::start(const std::vector<std::string>& command) {
  std::array<int, 2> go{};
  std::array<int, 2> error{};
  if (pipe2(go.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  const Fd go_read(go[0]);
  Child child;
  child.go_.reset(go[1]);
  if (pipe2(error.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  child.error_.reset(error[0]);
  const Fd error_write(error[1]);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  child.name_ = command.front();
  child.pid_ = fork();
  if (child.pid_ < 0) return fail_errno(errno, "fork");
  if (child.pid_ == 0) {
    ::close(child.go_.get());  // or the end of the parent would not be seen
    wait_and_execute(go_read.get(), error_write.get(), arguments.data());
  }
  child.pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, child.pid_, 0)));
  if (!child.pidfd_) return fail_errno(errno, "pidfd_open");
  return child;
}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(pid_, other.pid_);
  std::swap(pidfd_, other.pidfd_);
  std::swap(go_, other.go_);
  std::swap(error_, other.error_);
  std::swap(end_, other.end_);
  return *this;
}

Child::~Child() {
  if (!go_ || pid_ < 0) return;
  go_.reset();
  waitpid(pid_, nullptr, 0);
}

Status Child::let_go() {
  const char byte = 1;
  if (::write(go_.get(), &byte, 1) != 1) return fail_errno(errno, quoted(name_));
  go_.reset();
  int code = 0;
  ssize_t got = 0;
  do {
    got = ::read(error_.get(), &code, sizeof code);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof code) return fail_errno(code, fmt::format("cannot start {}", quoted(name_)));
  return {};
}

std::optional<std::string> Child::ended() {
  int status = 0;
  if (end_ || pid_ < 0 || waitpid(pid_, &status, WNOHANG) != pid_) return end_;
  end_ = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                             : fmt::format("exit status {}", WEXITSTATUS(status));
  return end_;
}

}  // namespace lb::observe
