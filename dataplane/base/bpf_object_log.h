// SPDX-License-Identifier: Apache-2.0
// BpfLog: catches what libbpf says while it lives, and turns it into one readable reason. Used by
// BpfObject only. One at a time per thread; libbpf's print hook is global, the text goes to the
// thread's own log.
#pragma once

#include <string>
#include <string_view>

namespace lb {

class BpfLog {
 public:
  BpfLog();
  ~BpfLog();
  BpfLog(const BpfLog&) = delete;
  BpfLog& operator=(const BpfLog&) = delete;

  /// Adds a verifier log (may be empty).
  void add_verifier(std::string_view text) { verifier_ = text; }
  /// The last line that says why; empty when nothing did.
  [[nodiscard]] std::string reason() const;
  /// The program that libbpf named in "prog 'NAME': failed to load", or "".
  [[nodiscard]] std::string failed_program() const;
  void append(std::string_view text) { text_ += text; }

 private:
  std::string text_;
  std::string verifier_;
};

}  // namespace lb
