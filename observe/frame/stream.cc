// SPDX-License-Identifier: Apache-2.0
#include "observe/frame/stream.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ostream>
#include <utility>

#include "dataplane/base/files.h"
#include "dataplane/base/text.h"
#include "observe/output/aggregate.h"
#include "observe/output/difference.h"

namespace lb::observe {
namespace {

constexpr std::size_t kGrowthLines = 5;
constexpr double kMsPerS = 1000;

/// The kernel's functions between an event and a program that takes its stack.
constexpr std::array<std::string_view, 7> kTracing = {
    "bpf_prog_",   "bpf_trace_run",  "__bpf_trace_", "__traceiter_",
    "perf_trace_", "trace_call_bpf", "bpf_get_stack"};

RecordHeader header_of(const std::string& tracer) {
  utsname names{};
  uname(&names);
  return {tracer, LB_VERSION, names.nodename, names.release};
}

bool is_tracing(const Frame& frame) {
  if (frame.kind != FrameKind::Kernel || frame.places.empty()) return false;
  return std::ranges::any_of(kTracing, [&frame](std::string_view prefix) {
    return frame.places.front().function.starts_with(prefix);
  });
}

}  // namespace

// The last of the tracing functions may be deeper than another one that has no name.
void trim_leaves(Report& report) {
  constexpr std::size_t kDeepest = 8;
  for (auto& stack : report.stacks) {
    std::size_t leaf = 0;
    for (std::size_t i = 0; i < std::min(kDeepest, stack.frames.size()); ++i) {
      if (is_tracing(report.frames[stack.frames[i]])) leaf = i + 1;
    }
    stack.frames.erase(stack.frames.begin(),
                       stack.frames.begin() + static_cast<std::ptrdiff_t>(leaf));
  }
}

Status ReportStream::open_files(const std::string& tracer) {
  if (!options_->output.empty()) {
    file_.reset(::open(options_->output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file_) return fail_errno(errno, fmt::format("--output {}", quoted(options_->output)));
  } else if (is_binary(format_) && isatty(STDOUT_FILENO) != 0) {
    return fail(EINVAL, fmt::format("-o {} is not for a terminal: give --output FILE or a pipe",
                                    options_->format));
  }
  if (!options_->record.empty()) {
    LB_TRY_ASSIGN(record_, RecordWriter::open(options_->record, header_of(tracer)));
  }
  return {};
}

Result<ReportStream> ReportStream::open(const CommonOptions& options, std::string title,
                                        std::ostream& out, std::ostream& err, bool colour) {
  ReportStream stream(options, out, err);
  auto format = parse_format(options.format);
  if (!format) return fail_in("-o", format.error());
  stream.format_ = *format;
  if (!options.fail_if.empty()) {
    auto condition = FailIf::parse(options.fail_if);
    if (!condition) return std::unexpected(condition.error());
    stream.condition_ = std::move(*condition);
  }
  stream.render_.by = options.by;
  stream.render_.measure = options.sort;
  if (options.top) stream.render_.top = options.top;
  stream.render_.title = std::move(title);
  stream.render_.human = options.human;
  stream.render_.colour = colour && options.output.empty();
  return stream;
}

/// What the record and the growth keep of a Report.
Status ReportStream::keep(const Report& report) {
  if (auto kept = record_ ? record_->append(report) : Status(); !kept) {
    record_.reset();  // the last Report is shown without it
    return kept;
  }
  return format_ == Format::Svg ? growth_.add(report) : Status();
}

/// What a Report needs before anybody looks at it.
void ReportStream::name(Report& report, const std::function<void(Report&)>& refine) {
  if (auto named = symbols_.resolve(report); !named) {
    report.honesty.notes.push_back(named.error().message);
  }
  trim_leaves(report);
  if (refine) refine(report);
}

void ReportStream::mark(Report report, const std::function<void(Report&)>& refine) {
  name(report, refine);
  *err_ << fmt::format("marked at {:.1f} s\n", report.at_s);
  mark_ = std::move(report);
}

Status ReportStream::take(Report report, bool last, const std::function<void(Report&)>& refine) {
  name(report, refine);
  LB_TRY(keep(report));
  // A record is shown as if its reports came now.
  const bool due = !options_->replay.empty() && options_->mark_ms != 0 && !mark_ && !last &&
                   report.at_s * kMsPerS >= static_cast<double>(options_->mark_ms);
  if (due) mark(report);
  if (options_->since_mark && !mark_ && last) {
    return fail(ENODATA, "--since-mark: it ended before a mark was taken");
  }
  if (options_->since_mark && mark_) {
    LB_TRY_ASSIGN(report, difference(*mark_, report));
  }
  const Status judged = last || first_ ? judge(report) : Status();
  // A figure that cannot decide: only the last one matters, and it is shown first.
  const bool undecided =
      !judged && judged.error().code == std::error_code(ENODATA, std::system_category());
  if (!judged && !undecided) return judged;
  const bool follows = format_ == Format::Table || format_ == Format::Jsonl;
  if (last || (follows && options_->interval_ms != 0)) LB_TRY(show(report));
  return last ? judged : Status();
}

Status ReportStream::judge(const Report& report) {
  if (!condition_) return {};
  auto verdict = condition_->evaluate(report);
  if (!verdict) return std::unexpected(verdict.error());
  failure_.reset();  // the last Report decides; the first one finds out what is no name
  if (verdict->met) failure_ = std::move(verdict->because);
  return {};
}

Status ReportStream::show(const Report& report) {
  if (format_ == Format::Svg) render_.series = growth_.series(kGrowthLines);
  LB_TRY_ASSIGN(auto text, render(format_, report, render_));
  if (!first_ && format_ == Format::Table) LB_TRY(write("\n"));
  first_ = false;
  return write(text);
}

Status ReportStream::written(Status status) const {
  if (status) return status;
  return fail_in(fmt::format("--output {}: the report is not whole", quoted(options_->output)),
                 status.error());
}

Status ReportStream::write(std::string_view text) {
  LB_TRY(flush_events());
  if (file_) return written(write_whole(file_.get(), text));
  *out_ << text << std::flush;
  if (!*out_) return fail(EIO, "the report could not be written to stdout");
  return {};
}

Status ReportStream::event(std::string_view line) {
  constexpr std::size_t kEventBytes = 1 << 16;
  events_.append(line).push_back('\n');
  return events_.size() < kEventBytes ? Status() : flush_events();
}

Status ReportStream::flush_events() {
  const std::string lines = std::exchange(events_, {});
  if (lines.empty()) return {};
  if (file_) return written(write_all(file_.get(), lines));
  *out_ << lines << std::flush;
  if (!*out_) return fail(EIO, "the events could not be written to stdout");
  return {};
}

Status ReportStream::check_names(const Report& report) const {
  LB_TRY(aggregate(report, {.by = render_.by, .sort = render_.measure, .top = 0}));
  if (!condition_) return {};
  auto verdict = condition_->evaluate(report);
  const bool name =
      !verdict && verdict.error().code == std::error_code(EINVAL, std::system_category());
  return name ? Status(std::unexpected(verdict.error())) : Status();
}

Status ReportStream::close() {
  LB_TRY(flush_events());
  return record_ ? record_->close() : Status();
}

}  // namespace lb::observe
