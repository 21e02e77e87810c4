// SPDX-License-Identifier: Apache-2.0
// Small programs for the tests of the symboliser: compiled when a test asks for one, run until it
// has told an address of its own, and stopped. In a directory of the test.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>

#include "dataplane/base/fd.h"

namespace lb::observe {

class SymbolPrograms : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/symbols.XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    directory_ = std::filesystem::canonical(path);
    std::ofstream(directory_ / "probe.c") << kSource;
    if (!run("cc --version && objcopy --version")) GTEST_SKIP() << "no C compiler or no objcopy";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  /// The lines of the source that places are compared with.
  static constexpr std::uint32_t kInnerLine = 5;
  static constexpr std::uint32_t kCallLine = 10;
  static constexpr const char* kSource =
      "#include <stdio.h>\n"                                                    // 1
      "static volatile int sink;\n"                                             // 2
      "__attribute__((always_inline)) static inline void *inner(void) {\n"      // 3
      "  void *pc;\n"                                                           // 4
      "  __asm__ volatile(\"lea 0(%%rip), %0\" : \"=r\"(pc)); sink++;\n"        // 5
      "  return pc;\n"                                                          // 6
      "}\n"                                                                     // 7
      "__attribute__((noinline)) void *outer(void) {\n"                         // 8
      "  sink++;\n"                                                             // 9
      "  return inner();\n"                                                     // 10
      "}\n"                                                                     // 11
      "int main(void) {\n"                                                      // 12
      "  printf(\"%p\\n\", outer()); fflush(stdout); return getchar() == 7;\n"  // 13
      "}\n";

  [[nodiscard]] std::string path(const std::string& name) const { return directory_ / name; }
  [[nodiscard]] bool run(const std::string& command) const {
    return std::system(fmt::format("cd '{}' && ({}) >/dev/null 2>&1", directory_.string(), command)
                           .c_str()) == 0;
  }
  [[nodiscard]] bool compile(const std::string& name, const std::string& flags) const {
    return run(fmt::format("cc -O1 -g -Wl,--build-id {} -o '{}' probe.c", flags, name));
  }

  std::filesystem::path directory_;
};

/// A program that has printed an address of its own, and waits.
class WaitingProgram {
 public:
  /// `before` runs in the child; a program that cannot be started has no address.
  explicit WaitingProgram(const std::string& program, const std::function<bool()>& before = {}) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) return;
    const Fd child_in(in[0]);
    Fd child_out(out[1]);
    input_.reset(in[1]);
    const Fd output(out[0]);
    pid_ = ::fork();
    if (pid_ == 0) {
      if (before && !before()) ::_exit(126);
      if (::dup2(child_in.get(), 0) < 0 || ::dup2(child_out.get(), 1) < 0) ::_exit(126);
      ::execl(program.c_str(), program.c_str(), nullptr);
      ::_exit(127);
    }
    child_out.reset();
    std::string text;
    std::array<char, 64> chunk;
    while (!text.ends_with('\n')) {
      const ssize_t got = ::read(output.get(), chunk.data(), chunk.size());
      if (got <= 0) return;
      text.append(chunk.data(), static_cast<std::size_t>(got));
    }
    address_ = std::strtoull(text.c_str(), nullptr, 16);
  }
  WaitingProgram(const WaitingProgram&) = delete;
  WaitingProgram& operator=(const WaitingProgram&) = delete;
  ~WaitingProgram() { stop(); }

  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }
  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }
  /// In inner(), inlined into outer(); 0: it did not start.
  [[nodiscard]] std::uint64_t address() const { return address_; }

 private:
  Fd input_;
  pid_t pid_ = 0;
  std::uint64_t address_ = 0;
};

}  // namespace lb::observe
