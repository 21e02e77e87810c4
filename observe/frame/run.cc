// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/run.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <ostream>

#include "dataplane/base/clock.h"
#include "dataplane/base/units.h"
#include "observe/frame/cost.h"
#include "observe/frame/governor.h"
#include "observe/frame/target.h"
#include "observe/output/record.h"

namespace lb::observe {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;
constexpr std::uint64_t kWaitMsMax = 1000;

std::int64_t wall_ms() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             system_clock::now().time_since_epoch())
      .count();
}

/// For somebody who waits in front of it.
std::string attached_words(const CommonOptions& options) {
  const bool follows = options.interval_ms != 0 && options.format == "table";
  const auto first_ms = follows ? options.interval_ms : options.duration_ms;
  return fmt::format(
      "attached; {}; Ctrl-C prints the totals\n",
      first_ms != 0 ? "a report in " + format_duration(first_ms) : "the report comes at the end");
}

/// Takes the signals of this thread as a descriptor; gives them back when it goes.
class Signals {
 public:
  Signals() {
    sigset_t set;
    sigemptyset(&set);
    for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1}) sigaddset(&set, signal);
    sigprocmask(SIG_BLOCK, &set, &before_);
    pipe_ = ::signal(SIGPIPE, SIG_IGN);  // a reader that is gone is an error of write(2)
    fd_.reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() {
    sigprocmask(SIG_SETMASK, &before_, nullptr);
    ::signal(SIGPIPE, pipe_);
  }

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// The next one that waits; 0: none.
  [[nodiscard]] int next() const {
    signalfd_siginfo info{};
    return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo)
                                                                : 0;
  }

 private:
  sigset_t before_{};
  sighandler_t pipe_ = SIG_DFL;
  Fd fd_;
};

class Loop {
 public:
  Loop(Tracer& tracer, const CommonOptions& options, ReportStream& stream, std::ostream& err)
      : tracer_(tracer),
        options_(options),
        stream_(stream),
        err_(err),
        cost_(tracer.objects()),
        start_ns_(monotonic_ns()),
        next_ns_(start_ns_ + options.interval_ms * kNsPerMs) {
    if (options.budget_percent > 0) {
      governor_.emplace(*tracer.throttle(), cost_, options.budget_percent, start_ns_);
    }
  }

  void watch(const TargetSet& targets, Child* child) {
    child_ = child;
    if (child != nullptr) return;
    for (auto pid : targets.pids) {
      Fd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
      if (fd) processes_.emplace_back(pid, std::move(fd));
    }
    watching_ = !processes_.empty();
  }

  /// Before the first event: names that are not there would be found out at the end.
  [[nodiscard]] Status check_names() {
    LB_TRY_ASSIGN(auto found, read());
    tracer_.refine(found);
    return stream_.check_names(found);
  }

  /// The last Report is shown in whatever way it ended.
  [[nodiscard]] Status run(const Signals& signals) {
    const Status status = follow(signals);
    cost_.finish(monotonic_ns());
    tracer_.detach();
    const Status drained = drain();
    const Status shown = report(true);
    LB_TRY(status);
    LB_TRY(drained);
    return shown;
  }

 private:
  [[nodiscard]] Status follow(const Signals& signals) {
    while (!stop_) {  // ends by a signal, the clock, or the end of the targets
      wait(signals);
      const auto now = monotonic_ns();
      cost_.tick(now);
      if (governor_) LB_TRY(governor_->tick(now));
      LB_TRY(drain());
      look_at_processes();
      while (int signal = signals.next()) {
        if (signal == SIGUSR1) {
          LB_TRY(mark());
        } else {
          stop_ = true;
        }
      }
      if (options_.mark_ms != 0 && !marked_ && now >= start_ns_ + options_.mark_ms * kNsPerMs) {
        LB_TRY(mark());
      }
      if (options_.duration_ms != 0 && now >= start_ns_ + options_.duration_ms * kNsPerMs) {
        stop_ = true;
      }
      if (options_.interval_ms != 0 && now >= next_ns_) LB_TRY(tick(now));
    }
    return {};
  }

  [[nodiscard]] Status tick(std::uint64_t now) {
    next_ns_ = std::max(next_ns_ + options_.interval_ms * kNsPerMs, now);
    if (++ticks_ == options_.count) {
      stop_ = true;
      return {};
    }
    return stop_ ? Status() : report(false);
  }

  [[nodiscard]] Status mark() {
    marked_ = true;
    LB_TRY_ASSIGN(auto found, read());
    stream_.mark(std::move(found), [this](Report& named) { tracer_.refine(named); });
    return {};
  }

  [[nodiscard]] Result<Report> read() {
    LB_TRY_ASSIGN(auto found, tracer_.read());
    found.wall_ms = wall_ms();
    cost_.add_to(found.honesty);
    if (governor_) governor_->add_to(found.honesty, monotonic_ns());
    return found;
  }

  [[nodiscard]] Status report(bool last) {
    LB_TRY_ASSIGN(auto found, read());
    return stream_.take(std::move(found), last, [this](Report& named) { tracer_.refine(named); });
  }

  [[nodiscard]] Status drain() {
    Status status;
    tracer_.drain([&](std::string_view line) {
      if (status) status = stream_.event(line);
    });
    return status ? stream_.flush_events() : status;
  }

  void wait(const Signals& signals) {
    std::vector<pollfd> fds = {{signals.fd(), POLLIN, 0}};
    if (tracer_.event_fd() >= 0) fds.push_back({tracer_.event_fd(), POLLIN, 0});
    if (child_ != nullptr) fds.push_back({child_->fd(), POLLIN, 0});
    for (const auto& process : processes_) fds.push_back({process.second.get(), POLLIN, 0});
    const auto now = monotonic_ns();
    std::uint64_t wait_ms = std::min(kWaitMsMax, cost_.wait_ms(now));
    if (governor_) wait_ms = std::min(wait_ms, governor_->wait_ms(now));
    auto until = [&](std::uint64_t then_ns) {
      wait_ms = std::min(wait_ms, then_ns <= now ? 0 : (then_ns - now) / kNsPerMs + 1);
    };
    if (options_.mark_ms != 0 && !marked_) until(start_ns_ + options_.mark_ms * kNsPerMs);
    if (options_.interval_ms != 0) until(next_ns_);
    if (options_.duration_ms != 0) until(start_ns_ + options_.duration_ms * kNsPerMs);
    ::poll(fds.data(), fds.size(), static_cast<int>(wait_ms));
  }

  void look_at_processes() {
    if (child_ != nullptr) {
      if (auto end = child_->ended()) {
        err_ << "the command has ended: " << *end << '\n';
        stop_ = true;
      }
    }
    std::erase_if(processes_, [this](const auto& process) {
      pollfd fd{process.second.get(), POLLIN, 0};
      if (::poll(&fd, 1, 0) != 1) return false;
      err_ << "process " << process.first << " has ended\n";
      return true;
    });
    if (watching_ && processes_.empty()) stop_ = true;
  }

  Tracer& tracer_;
  const CommonOptions& options_;
  ReportStream& stream_;
  std::ostream& err_;
  CostMeter cost_;
  std::optional<Governor> governor_;
  Child* child_ = nullptr;
  std::vector<std::pair<std::uint32_t, Fd>> processes_;
  bool watching_ = false;
  bool stop_ = false;
  bool marked_ = false;
  std::uint64_t start_ns_;
  std::uint64_t next_ns_;
  std::uint64_t ticks_ = 0;
};

}  // namespace

Status run_tracer(Tracer& tracer, const CommonOptions& options, const TargetSet& targets,
                  Child* child, ReportStream& stream, std::ostream& err) {
  if (options.budget_percent > 0 && tracer.throttle() == nullptr) {
    return fail(EINVAL, "--budget needs sampling, which its figures do not allow: leave it out");
  }
  const Signals signals;
  LB_TRY(tracer.attach());
  if (isatty(STDERR_FILENO) != 0) err << attached_words(options) << std::flush;
  Loop loop(tracer, options, stream, err);
  LB_TRY(loop.check_names());
  if (child != nullptr) LB_TRY(child->let_go());
  loop.watch(targets, child);
  LB_TRY(loop.run(signals));
  return stream.close();
}

Status run_replay(const CommonOptions& options, const std::string& tracer, ReportStream& stream,
                  std::ostream& err) {
  LB_TRY_ASSIGN(auto reader, RecordReader::open(options.replay));
  if (reader.header().tracer != tracer) {
    return fail(EINVAL, fmt::format("{} is a record of `observe {}`", options.replay,
                                    reader.header().tracer));
  }
  LB_TRY_ASSIGN(auto report, reader.next());
  if (!report) return fail(EINVAL, fmt::format("{} has no report in it", options.replay));
  LB_TRY(stream.check_names(*report));
  LB_TRY(stream.open_files(tracer));
  while (report) {  // ends with the file
    LB_TRY_ASSIGN(auto next, reader.next());
    LB_TRY(stream.take(std::move(*report), !next));
    report = std::move(next);
  }
  if (!reader.note().empty()) err << reader.note() << '\n';
  return stream.close();
}

}  // namespace lb::observe
