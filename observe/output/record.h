// SPDX-License-Identifier: Apache-2.0
// A record: what a tracer found over time, as a text file that any machine can read again
// (--record, --replay, marks). One header line, then one Report in JSON (json.h) a line:
//   {"sluice_record":1,"tracer":"leak","version":"...","host":"...","kernel":"..."}
// Blocking file I/O; one thread each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/base/fd.h"
#include "dataplane/base/result.h"
#include "observe/output/json_text.h"
#include "observe/report.h"

namespace lb::observe {

struct RecordHeader {
  std::string tracer;   ///< as Report::tracer
  std::string version;  ///< of Sluice
  std::string host;
  std::string kernel;  ///< release, as uname gives it

  bool operator==(const RecordHeader&) const = default;
};

/// The longest line, in bytes; the header is held to kRecordHeaderMax.
inline constexpr std::size_t kRecordLineMax = kJsonBytesMax;
inline constexpr std::size_t kRecordHeaderMax = 64 << 10;

class RecordWriter {
 public:
  /// Makes the file, or empties the one that is there; mode 0600, since it shows addresses.
  /// Errors: errno, with the name.
  [[nodiscard]] static Result<RecordWriter> open(const std::string& path,
                                                 const RecordHeader& header);

  /// Writes a line as a whole. On an error the file is cut back to the last whole line, and the
  /// message says how many reports it keeps. Errors: errno of write(2) (ENOSPC: disk full); EFBIG
  /// for a Report over kRecordLineMax; EBADF after close().
  [[nodiscard]] Status append(const Report& report);

  /// Waits until the disk has it. Idempotent. Errors: errno of fsync(2) or close(2).
  [[nodiscard]] Status close();

  [[nodiscard]] std::uint64_t reports() const { return reports_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  RecordWriter(std::string path, Fd file) : path_(std::move(path)), file_(std::move(file)) {}
  [[nodiscard]] Status put_line(std::string line);

  std::string path_;
  Fd file_;
  std::uint64_t reports_ = 0;  // whole ones in the file
  std::uint64_t bytes_ = 0;    // to the end of the last whole line
};

class RecordReader {
 public:
  /// Reads the header. Errors: errno with the name; EINVAL when it is not a record, or one of a
  /// later version.
  [[nodiscard]] static Result<RecordReader> open(const std::string& path,
                                                 std::size_t line_bytes_max = kRecordLineMax);

  [[nodiscard]] const RecordHeader& header() const { return header_; }

  /// The next Report; nothing at the end. A last line without its end (the writer was killed) is
  /// left out, note() says so. Errors: EINVAL with name and line number; errno of read(2). After an
  /// error next() goes on with the line that follows.
  [[nodiscard]] Result<std::optional<Report>> next();

  /// A sentence for people about what was left out; empty: nothing.
  [[nodiscard]] const std::string& note() const { return note_; }
  /// Of the line that was read last; the header is line 1.
  [[nodiscard]] std::uint64_t line() const { return line_; }

 private:
  RecordReader(std::string path, Fd file, std::size_t line_bytes_max)
      : path_(std::move(path)), file_(std::move(file)), line_bytes_max_(line_bytes_max) {}
  [[nodiscard]] Status read_header();
  [[nodiscard]] Result<std::optional<std::string>> next_line(std::size_t bytes_max);
  [[nodiscard]] Result<bool> fill();
  [[nodiscard]] std::string where() const;

  std::string path_;
  Fd file_;
  std::size_t line_bytes_max_;
  RecordHeader header_;
  std::string note_;
  std::string buffer_;     // read, not yet given
  std::size_t start_ = 0;  // of what is not yet given
  std::uint64_t line_ = 0;
};

}  // namespace lb::observe
