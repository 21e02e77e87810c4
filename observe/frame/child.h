// SPDX-License-Identifier: Apache-2.0
// Child: a command that is started for a tracer: forked at once, executed when the tracer is
// attached, so that its first instruction is seen. Called by the loop's thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"

namespace lb::observe {

class Child {
 public:
  /// Errors: errno of fork(2) and the like.
  [[nodiscard]] static Result<Child> start(const std::vector<std::string>& command);
  Child(Child&&) noexcept = default;
  Child& operator=(Child&& other) noexcept;
  /// A child that was never let go ends; one that runs goes on.
  ~Child();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// Readable when it has ended.
  [[nodiscard]] int fd() const noexcept { return pidfd_.get(); }
  /// Executes the command. Errors: what execvp(3) said, with the name of the command.
  [[nodiscard]] Status let_go();
  /// How it ended, in words ("exit status 3", "signal 9"); nothing while it runs.
  [[nodiscard]] std::optional<std::string> ended();

 private:
  Child() = default;
  std::string name_;
  pid_t pid_ = -1;
  Fd pidfd_;
  Fd go_;     // a byte written here lets it go
  Fd error_;  // what exec says; closed by success
  std::optional<std::string> end_;
};

}  // namespace lb::observe
