// SPDX-License-Identifier: Apache-2.0
// Records: written whole or cut back, read with what is wrong and where.
#include "observe/output/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "observe/output/json.h"
#include "tests/unit/observe/output_samples.h"

namespace lb::observe {
namespace {

using ::testing::HasSubstr;

const RecordHeader kHeader{"leak", "0.4", "host \"a\"", "6.18.0"};

class Record : public ::testing::Test {
 protected:
  Record() {
    std::string folder = ::testing::TempDir() + "record_test.XXXXXX";
    EXPECT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    path_ = folder + "/a.rec";
  }
  ~Record() override {
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }

  [[nodiscard]] std::string contents() const {
    std::ostringstream out;
    out << std::ifstream(path_, std::ios::binary).rdbuf();
    return out.str();
  }
  void put(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }

  std::string folder_, path_;
};

std::string header_line() {
  return "{\"sluice_record\":1,\"tracer\":\"leak\",\"version\":\"v\",\"host\":\"h\","
         "\"kernel\":\"k\"}\n";
}

TEST_F(Record, ReportsComeBackInOrder) {
  RandomReport random(7);
  std::vector<Report> reports;
  for (int i = 0; i < 50; ++i) reports.push_back(random.make());
  auto writer = RecordWriter::open(path_, kHeader);
  ASSERT_TRUE(writer) << writer.error().message;
  for (const Report& report : reports) ASSERT_TRUE(writer->append(report));
  EXPECT_EQ(writer->reports(), 50U);
  EXPECT_EQ(writer->bytes(), contents().size());
  ASSERT_TRUE(writer->close());
  EXPECT_TRUE(writer->close());
  EXPECT_EQ(writer->append(reports[0]).error().code.value(), EBADF);

  auto reader = RecordReader::open(path_);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(reader->header(), kHeader);
  for (const Report& report : reports) {
    auto next = reader->next();
    ASSERT_TRUE(next) << next.error().message;
    ASSERT_TRUE(*next);
    EXPECT_EQ(**next, report);
  }
  EXPECT_EQ(reader->line(), 51U);
  EXPECT_FALSE(*reader->next());
  EXPECT_FALSE(*reader->next());  // the end stays the end
  EXPECT_EQ(reader->note(), "");
}

TEST_F(Record, OnlyItsOwnerMayReadIt) {
  ASSERT_TRUE(RecordWriter::open(path_, kHeader));
  struct stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(Record, AFullDiskLeavesTheWholeReports) {
  auto writer = RecordWriter::open(path_, kHeader);
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->append(sample_report()));
  const std::string before = contents();
  // A file may not grow past this: write() gives a part of the line first, then an error.
  struct sigaction ignore{}, old_action{};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(::sigaction(SIGXFSZ, &ignore, &old_action), 0);
  struct rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const struct rlimit limit{before.size() + 100, old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto status = writer->append(sample_report());
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  ASSERT_EQ(::sigaction(SIGXFSZ, &old_action, nullptr), 0);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("a.rec\": write: File too large; 1 report kept"));
  EXPECT_EQ(contents(), before);
  // It can go on when there is room again.
  ASSERT_TRUE(writer->append(sample_report()));
  EXPECT_EQ(contents().size(), writer->bytes());
  auto reader = RecordReader::open(path_);
  EXPECT_EQ(**reader->next(), sample_report());
  EXPECT_EQ(**reader->next(), sample_report());
  EXPECT_FALSE(*reader->next());
}

TEST_F(Record, ADeviceThatIsFullIsAnErrorAtOpen) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "/dev/full";
  const auto writer = RecordWriter::open("/dev/full", kHeader);
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code.value(), ENOSPC);
  EXPECT_FALSE(RecordWriter::open(folder_ + "/none/a", kHeader));
}

TEST_F(Record, ALastLineThatWasCutOffIsLeftOutWithANote) {
  const std::string line = to_json(sample_report());
  put(header_line() + line + "\n" + line.substr(0, line.size() / 2));
  auto reader = RecordReader::open(path_);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_TRUE(*reader->next());
  EXPECT_EQ(reader->note(), "");
  EXPECT_FALSE(*reader->next());
  EXPECT_THAT(reader->note(), HasSubstr("line 3 was cut off while it was written"));
}

TEST_F(Record, ABadLineIsNamedAndTheNextOneRead) {
  const std::string line = to_json(sample_report()) + "\n";
  put(header_line() + line + "{\"tracer\":1}\n\n" + line);
  auto reader = RecordReader::open(path_);
  EXPECT_TRUE(*reader->next());
  auto bad = reader->next();
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, HasSubstr("a.rec\", line 3: tracer: is not a text"));
  bad = reader->next();
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, HasSubstr("line 4: "));
  EXPECT_TRUE(*reader->next());
}

TEST_F(Record, OtherFilesAreRefused) {
  EXPECT_THAT(RecordReader::open(folder_ + "/none").error().message, HasSubstr("No such file"));
  for (const char* text :
       {"", "\n", "x\n", "{}\n", "[1]\n", "{\"tracer\":\"leak\"}\n", "{\"sluice"}) {
    put(text);
    const auto reader = RecordReader::open(path_);
    ASSERT_FALSE(reader) << text;
    EXPECT_THAT(reader.error().message, HasSubstr("is not a record of lbctl observe"));
  }
  put("{\"sluice_record\":2}\n");
  EXPECT_THAT(RecordReader::open(path_).error().message,
              HasSubstr("has record version 2, this lbctl reads 1"));
  put("{\"sluice_record\":1}\n");
  EXPECT_THAT(RecordReader::open(path_).error().message, HasSubstr("line 1: tracer: is missing"));
  put(std::string(kRecordHeaderMax + 1, ' ') + "\n");
  EXPECT_THAT(RecordReader::open(path_).error().message, HasSubstr("line 1 is over 64.0 KiB"));
}

TEST_F(Record, ALineOverTheLimitIsSkipped) {
  constexpr std::size_t kMax = 600'000;  // more than is read at once
  const std::string line = to_json(sample_report()) + "\n";
  const std::string just = std::string(kMax - line.size() + 1, ' ') + line;
  put(header_line() + std::string(3 * kMax, '0') + "\n" + just + " " + just + line);
  auto reader = RecordReader::open(path_, kMax);
  ASSERT_TRUE(reader);
  EXPECT_THAT(reader->next().error().message, HasSubstr("line 2 is over 586 KiB"));
  EXPECT_TRUE(reader->next());  // line 3 is as long as is allowed
  EXPECT_THAT(reader->next().error().message, HasSubstr("line 4 is over 586 KiB"));
  const auto good = reader->next();
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(**good, sample_report());
  EXPECT_FALSE(*reader->next());
}

}  // namespace
}  // namespace lb::observe
