// SPDX-License-Identifier: Apache-2.0
// A record (--replay) from anybody. What is read must come back the same from the writer, and every
// output must take it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/base/fd.h"
#include "observe/output/difference.h"
#include "observe/output/format.h"
#include "observe/output/json.h"
#include "observe/output/record.h"

namespace {

using namespace lb;
using namespace lb::observe;

constexpr std::size_t kLineBytesMax = 16 << 10;

/// A file without a directory: it goes with its descriptor.
struct File {
  Fd fd{memfd_create("fuzz", MFD_CLOEXEC)};
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd.get()); }
};

void show(const Report& report) {
  for (const Format format :
       {Format::Table, Format::Json, Format::Jsonl, Format::Folded, Format::Svg, Format::Pprof}) {
    const auto text = render(format, report);
    LB_ASSERT(text || !text.error().message.empty());
    if (text && format == Format::Table) LB_ASSERT(!text->contains('\x1b'));
  }
  const auto nothing = difference(report, report);
  LB_ASSERT(nothing || !nothing.error().message.empty());
}

/// As text, since what is not a number equals nothing.
void check_report(const Report& report) {
  const std::string text = to_json(report);
  const auto again = from_json(text);
  LB_ASSERT(again.has_value());
  LB_ASSERT(to_json(*again) == text);
  LB_ASSERT(from_json(to_json(report, true)).has_value());
}

void check_record(const RecordHeader& header, const std::vector<Report>& reports) {
  const File file;
  auto writer = RecordWriter::open(file.path(), header);
  LB_ASSERT(writer.has_value());
  for (const Report& report : reports) LB_ASSERT(writer->append(report).has_value());
  LB_ASSERT(writer->close().has_value());
  auto reader = RecordReader::open(file.path());
  LB_ASSERT(reader.has_value());
  LB_ASSERT(reader->header() == header);
  for (const Report& report : reports) {
    const auto next = reader->next();
    LB_ASSERT(next.has_value() && next->has_value());
    LB_ASSERT(to_json(**next) == to_json(report));
  }
  const auto end = reader->next();
  LB_ASSERT(end.has_value() && !end->has_value());
  LB_ASSERT(reader->note().empty());
}

void read_record(std::string_view text) {
  const File file;
  LB_ASSERT(::write(file.fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  auto reader = RecordReader::open(file.path(), kLineBytesMax);
  if (!reader) {
    LB_ASSERT(!reader.error().message.empty());
    return;
  }
  std::vector<Report> reports;
  for (std::uint64_t line = 1;; ++line) {  // ends with the file: each turn takes a line
    LB_ASSERT(line <= text.size() + 1);
    auto next = reader->next();
    if (!next) {
      LB_ASSERT(next.error().message.contains("line "));
      continue;
    }
    if (!*next) break;
    reports.push_back(std::move(**next));
  }
  check_record(reader->header(), reports);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with("{\"sluice_record\"")) {
    read_record(text);
  } else if (const auto report = from_json(text)) {
    check_report(*report);
    show(*report);
  } else {
    LB_ASSERT(!report.error().message.empty());
  }
  return 0;
}
