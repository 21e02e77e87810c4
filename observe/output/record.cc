// SPDX-License-Identifier: Apache-2.0
#include "observe/output/record.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <cerrno>
#include <utility>

#include "dataplane/base/text.h"
#include "dataplane/base/units.h"
#include "observe/output/json.h"
#include "observe/output/json_fields.h"
#include "observe/output/text_safe.h"

namespace lb::observe {
namespace {

namespace json = boost::json;

constexpr std::string_view kMagic = "sluice_record";
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kChunkBytes = 256 << 10;

Status write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(errno, "write");
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

}  // namespace

Result<RecordWriter> RecordWriter::open(const std::string& path, const RecordHeader& header) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, fmt::format("record {}", quoted(path)));
  RecordWriter writer(path, std::move(file));
  const auto text = [](std::string_view words) { return json::string(valid_utf8(words)); };
  const json::value line = json::object{{kMagic, kVersion},
                                        {"tracer", text(header.tracer)},
                                        {"version", text(header.version)},
                                        {"host", text(header.host)},
                                        {"kernel", text(header.kernel)}};
  LB_TRY(writer.put_line(json_to_text(line, false)));
  return writer;
}

Status RecordWriter::put_line(std::string line) {
  line += '\n';
  if (auto status = write_all(file_.get(), line); !status) {
    // A pipe cannot be cut back: its reader sees a line without an end and leaves it out.
    const bool cut = ::ftruncate(file_.get(), static_cast<off_t>(bytes_)) == 0 &&
                     ::lseek(file_.get(), 0, SEEK_END) >= 0;
    return fail(status.error().code.value(),
                fmt::format("record {}: {}; {} kept{}", quoted(path_), status.error().message,
                            counted(reports_, "report"),
                            cut ? "" : ", and a part of the next one at the end"));
  }
  bytes_ += line.size();
  return {};
}

Status RecordWriter::append(const Report& report) {
  if (!file_) return fail(EBADF, fmt::format("record {} is closed", quoted(path_)));
  std::string line = to_json(report);
  if (line.size() > kRecordLineMax) {
    return fail(
        EFBIG, fmt::format("record {}: a report of {}, the limit is {}; choose fewer rows",
                           quoted(path_), format_bytes(line.size()), format_bytes(kRecordLineMax)));
  }
  LB_TRY(put_line(std::move(line)));
  ++reports_;
  return {};
}

Status RecordWriter::close() {
  if (!file_) return {};
  int error = 0;
  if (::fsync(file_.get()) != 0 && errno != EINVAL) error = errno;  // EINVAL: a pipe
  if (::close(file_.release()) != 0 && error == 0) error = errno;
  if (error != 0) return fail_errno(error, fmt::format("record {}", quoted(path_)));
  return {};
}

Result<RecordReader> RecordReader::open(const std::string& path, std::size_t line_bytes_max) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, fmt::format("record {}", quoted(path)));
  RecordReader reader(path, std::move(file), line_bytes_max);
  LB_TRY(reader.read_header());
  return reader;
}

std::string RecordReader::where() const {
  return fmt::format("record {}, line {}", quoted(path_), line_);
}

Status RecordReader::read_header() {
  auto line = next_line(kRecordHeaderMax);
  const std::string not_one = fmt::format("{} is not a record of lbctl observe", quoted(path_));
  if (!line) return std::unexpected(std::move(line).error());
  if (!*line) return fail(EINVAL, not_one + ": it has no whole line");
  auto document = json_from_text(**line);
  if (!document || !document->is_object() || !document->get_object().contains(kMagic)) {
    return fail(EINVAL, not_one + ": its first line is not a header");
  }
  const json::object& object = document->get_object();
  JsonFields fields;
  const auto version = fields.whole(object, kMagic, ~std::uint64_t{0});
  if (fields.good() && version != kVersion) {
    return fail(EINVAL, fmt::format("{} has record version {}, this lbctl reads {}", quoted(path_),
                                    version, kVersion));
  }
  header_ = {fields.text(object, "tracer"), fields.text(object, "version"),
             fields.text(object, "host"), fields.text(object, "kernel")};
  if (auto status = fields.status(); !status) return fail_in(where(), std::move(status).error());
  return {};
}

Result<bool> RecordReader::fill() {
  buffer_.erase(0, start_);
  start_ = 0;
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + kChunkBytes);
  ssize_t got = 0;
  do {
    got = ::read(file_.get(), buffer_.data() + kept, kChunkBytes);
  } while (got < 0 && errno == EINTR);
  const int error = errno;
  buffer_.resize(kept + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) return fail_errno(error, where());
  return got > 0;
}

/// A line that is too long is skipped to its end, so that the next one can be read.
Result<std::optional<std::string>> RecordReader::next_line(std::size_t bytes_max) {
  std::size_t searched = 0;
  std::uint64_t skipped = 0;
  ++line_;
  for (;;) {
    const std::size_t end = buffer_.find('\n', start_ + searched);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(start_, end - start_);
      start_ = end + 1;
      if (skipped + line.size() <= bytes_max) return line;
      return fail(EINVAL, fmt::format("{} is over {}", where(), format_bytes(bytes_max)));
    }
    searched = buffer_.size() - start_;
    if (skipped + searched > bytes_max) {
      skipped += searched;
      start_ = buffer_.size();
      searched = 0;
    }
    LB_TRY_ASSIGN(const bool more, fill());
    if (more) continue;
    if (skipped + searched > 0) {
      note_ = fmt::format("{} was cut off while it was written; it is left out", where());
    }
    start_ = buffer_.size();
    --line_;
    return std::nullopt;
  }
}

Result<std::optional<Report>> RecordReader::next() {
  LB_TRY_ASSIGN(const std::optional<std::string> line, next_line(line_bytes_max_));
  if (!line) return std::nullopt;
  auto report = from_json(*line);
  if (!report) return fail_in(where(), std::move(report).error());
  return std::optional<Report>(std::move(*report));
}

}  // namespace lb::observe
