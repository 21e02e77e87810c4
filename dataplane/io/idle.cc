// SPDX-License-Identifier: Apache-2.0
#include "dataplane/io/idle.h"

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <vector>

#include "dataplane/base/fd.h"

namespace lb {
namespace {

void signal_event(int fd) noexcept {
  std::uint64_t one = 1;
  // EAGAIN: the counter is at its end, so the sleeper is awake anyway.
  (void)!write(fd, &one, sizeof one);
}

void clear_event(int fd) noexcept {
  std::uint64_t value = 0;
  (void)!read(fd, &value, sizeof value);
}

bool is_broken(unsigned events) noexcept {
  return (events & (POLLERR | POLLHUP | POLLNVAL)) != 0 && (events & POLLIN) == 0;
}

class PollIdle final : public Idle {
 public:
  PollIdle(std::span<const int> fds, Fd event) : event_(std::move(event)) {
    polls_.push_back({.fd = event_.get(), .events = POLLIN, .revents = 0});
    for (int fd : fds) polls_.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  }
  void wait(std::uint32_t timeout_ms) noexcept override {
    if (poll(polls_.data(), polls_.size(), static_cast<int>(timeout_ms)) <= 0) return;
    if ((polls_.front().revents & POLLIN) != 0) clear_event(event_.get());
    for (std::size_t i = 1; i < polls_.size(); ++i) {
      if (is_broken(static_cast<unsigned>(polls_[i].revents))) polls_[i].fd = -1;
    }
  }
  void wake() noexcept override { signal_event(event_.get()); }
  [[nodiscard]] IdleKind kind() const noexcept override { return IdleKind::Poll; }

 private:
  Fd event_;
  std::vector<pollfd> polls_;
};

/// One-shot polls, armed before a sleep and only when the last one has fired: while the worker is
/// busy nothing is posted to the ring but the first wakeup of each.
class RingIdle final : public Idle {
 public:
  explicit RingIdle(Fd event) : event_(std::move(event)) {}
  ~RingIdle() override {
    if (open_) io_uring_queue_exit(&ring_);
  }
  /// False when io_uring is refused (sysctl kernel.io_uring_disabled, seccomp, an old kernel).
  bool open(std::span<const int> fds) {
    watched_.push_back({event_.get(), false, false});
    for (int fd : fds) watched_.push_back({fd, false, false});
    io_uring_params params{};
    params.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CLAMP;
    auto entries = static_cast<unsigned>(watched_.size());
    int error = io_uring_queue_init_params(entries, &ring_, &params);
    if (error == -EINVAL) {  // before 5.19
      params = {};
      params.flags = IORING_SETUP_CLAMP;
      error = io_uring_queue_init_params(entries, &ring_, &params);
    }
    open_ = error == 0;
    return open_ && (params.features & IORING_FEAT_EXT_ARG) != 0;
  }
  void wait(std::uint32_t timeout_ms) noexcept override {
    for (std::size_t i = 0; i < watched_.size(); ++i) arm(i);
    __kernel_timespec timeout{.tv_sec = timeout_ms / 1000,
                              .tv_nsec = static_cast<long long>(timeout_ms % 1000) * 1'000'000};
    io_uring_cqe* cqe = nullptr;
    io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
    unsigned head = 0;
    unsigned seen = 0;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++seen;
      if (cqe->user_data >= watched_.size()) continue;
      Watched& watched = watched_[cqe->user_data];
      watched.armed = false;
      watched.broken = cqe->res < 0 || is_broken(static_cast<unsigned>(cqe->res));
      if (cqe->user_data == 0 && cqe->res > 0) clear_event(event_.get());
    }
    io_uring_cq_advance(&ring_, seen);
  }
  void wake() noexcept override { signal_event(event_.get()); }
  [[nodiscard]] IdleKind kind() const noexcept override { return IdleKind::IoUring; }

 private:
  struct Watched {
    int fd;
    bool armed;
    bool broken;
  };
  void arm(std::size_t i) noexcept {
    Watched& watched = watched_[i];
    if (watched.armed || watched.broken) return;
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) return;  // the ring has an entry for each, so this does not come to pass
    io_uring_prep_poll_add(sqe, watched.fd, POLLIN);
    io_uring_sqe_set_data64(sqe, i);
    watched.armed = true;
  }
  Fd event_;
  io_uring ring_{};
  bool open_ = false;
  std::vector<Watched> watched_;
};

}  // namespace

std::string_view idle_kind_name(IdleKind kind) {
  return kind == IdleKind::IoUring ? "io_uring" : "poll";
}

Result<std::unique_ptr<Idle>> make_idle(std::span<const int> fds, bool allow_io_uring) {
  Fd event(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!event) return fail_errno(errno, "eventfd");
  if (allow_io_uring) {
    Fd copy(dup(event.get()));
    if (!copy) return fail_errno(errno, "eventfd");
    auto ring = std::make_unique<RingIdle>(std::move(copy));
    if (ring->open(fds)) return ring;
  }
  return std::make_unique<PollIdle>(fds, std::move(event));
}

}  // namespace lb
