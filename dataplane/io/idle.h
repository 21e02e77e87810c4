// SPDX-License-Identifier: Apache-2.0
// Idle: how a worker without packets sleeps: in io_uring over its sockets, an eventfd and a
// timeout, or in poll(2) where io_uring is not allowed. wait() is for the worker's thread alone
// (polling an AF_XDP socket in copy mode transmits, so nobody else may); wake() is for any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "dataplane/base/result.h"

namespace lb {

enum class IdleKind : std::uint8_t { IoUring, Poll };
[[nodiscard]] std::string_view idle_kind_name(IdleKind kind);

class Idle {
 public:
  virtual ~Idle() = default;
  Idle(const Idle&) = delete;
  Idle& operator=(const Idle&) = delete;
  /// Sleeps until a descriptor is readable, wake() was called (also before the sleep), or the time
  /// is over.
  virtual void wait(std::uint32_t timeout_ms) noexcept = 0;
  virtual void wake() noexcept = 0;
  [[nodiscard]] virtual IdleKind kind() const noexcept = 0;

 protected:
  Idle() = default;
};

/// Over `fds`, which outlive it. io_uring when it is to be had and `allow_io_uring`, else poll. A
/// descriptor that reports an error is watched no longer, so that a dead device cannot make the
/// worker spin. Errors: EMFILE and the like.
[[nodiscard]] Result<std::unique_ptr<Idle>> make_idle(std::span<const int> fds,
                                                      bool allow_io_uring = true);

}  // namespace lb
