// SPDX-License-Identifier: Apache-2.0
// SteppingChild: a forked process that takes a step when it is told, and says when it has; so what
// it holds in between is known and does not change. It ends with its parent.
#pragma once

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <functional>

#include "dataplane/base/fd.h"

namespace lb::test {

class SteppingChild {
 public:
  using Step = std::function<void(int step)>;
  explicit SteppingChild(const Step& step) {
    std::array<int, 2> down{};
    std::array<int, 2> up{};
    if (pipe(down.data()) != 0 || pipe(up.data()) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(down[1]);
      close(up[0]);
      char word = 0;
      for (int number = 0; read(down[0], &word, 1) == 1; ++number) {
        step(number);
        if (write(up[1], &word, 1) != 1) break;
      }
      _exit(0);
    }
    close(down[0]);
    close(up[1]);
    go_.reset(down[1]);
    done_.reset(up[0]);
  }
  SteppingChild(const SteppingChild&) = delete;
  SteppingChild& operator=(const SteppingChild&) = delete;
  ~SteppingChild() { end(); }
  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }
  void step() {
    char word = 0;
    ASSERT_EQ(write(go_.get(), "x", 1), 1);
    ASSERT_EQ(read(done_.get(), &word, 1), 1);
  }
  void end() {
    if (pid_ <= 0) return;
    go_.reset();
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  Fd go_;
  Fd done_;
};

}  // namespace lb::test
