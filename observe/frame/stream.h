// SPDX-License-Identifier: Apache-2.0
// ReportStream: the way of every Report from a tracer, or from a record, to what the user asked
// for: names, record, mark, picture over time, output, --fail-if. One thread, the loop's.
#pragma once

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"
#include "observe/frame/options.h"
#include "observe/output/fail_if.h"
#include "observe/output/format.h"
#include "observe/output/growth.h"
#include "observe/output/record.h"
#include "observe/symbols/symboliser.h"

namespace lb::observe {

class ReportStream {
 public:
  /// Reads the condition and the format. `title`: of pictures and tables. Errors: EINVAL, with the
  /// option.
  [[nodiscard]] static Result<ReportStream> open(const CommonOptions& options, std::string title,
                                                 std::ostream& out, std::ostream& err, bool colour);
  /// Before anything is attached, and when all options are known to be right: what was in these
  /// files is gone then. Errors: each with its option.
  [[nodiscard]] Status open_files(const std::string& tracer);

  /// `last`: the final one, which all forms of output show. Errors: of writing, of --by and --sort.
  /// A record that cannot be written is given up: what comes after that error is not kept.
  /// `refine`: what the tracer has to do when the frames have names; may be empty.
  [[nodiscard]] Status take(Report report, bool last,
                            const std::function<void(Report&)>& refine = {});
  /// Makes this Report the mark; it is not shown.
  void mark(Report report, const std::function<void(Report&)>& refine = {});
  /// Writes out what is buffered. Errors: of writing.
  [[nodiscard]] Status close();
  /// What --fail-if said of the last Report, in words; nothing when it holds or there is none.
  [[nodiscard]] const std::optional<std::string>& failure() const { return failure_; }
  [[nodiscard]] Symboliser& symbols() { return symbols_; }
  /// A line of --trace, to the output with the next flush_events().
  [[nodiscard]] Status event(std::string_view line);
  /// Events are not waited for until the disk has them: there may be a million a second.
  [[nodiscard]] Status flush_events();
  /// Whether the names of --by, --sort and --fail-if are there in such a Report. Errors: EINVAL.
  [[nodiscard]] Status check_names(const Report& report) const;

 private:
  ReportStream(const CommonOptions& options, std::ostream& out, std::ostream& err)
      : options_(&options), out_(&out), err_(&err), growth_(options.sort) {}
  void name(Report& report, const std::function<void(Report&)>& refine);
  [[nodiscard]] Status write(std::string_view text);
  [[nodiscard]] Status written(Status status) const;
  [[nodiscard]] Status show(const Report& report);
  [[nodiscard]] Status judge(const Report& report);
  [[nodiscard]] Status keep(const Report& report);
  const CommonOptions* options_;
  std::ostream* out_;
  std::ostream* err_;
  RenderOptions render_;
  Format format_ = Format::Table;
  std::optional<FailIf> condition_;
  Fd file_;
  std::string events_;  // lines that are not written yet
  std::optional<RecordWriter> record_;
  Symboliser symbols_;
  std::optional<Report> mark_;
  std::optional<std::string> failure_;
  bool first_ = true;
  GrowthHistory growth_;
};

/// Takes the kernel's own tracing functions off the leaf of every stack. REQUIRES: resolved.
void trim_leaves(Report& report);

}  // namespace lb::observe
