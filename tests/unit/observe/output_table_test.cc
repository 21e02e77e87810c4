// SPDX-License-Identifier: Apache-2.0
// Tables, quantities and text made safe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>

#include "dataplane/base/units.h"
#include "observe/output/quantity.h"
#include "observe/output/table.h"
#include "observe/output/text_safe.h"
#include "tests/unit/observe/output_samples.h"

namespace lb::observe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Table, ShowsAllOfAReport) {
  EXPECT_EQ(to_table(sample_report()),
            R"(leak, 12.5 s after attach, 2023-11-14T22:13:20Z
  leak         ~1.20 MiB (1.00..1.40)  outstanding bytes
  growth_rate  2.00 KiB/s              bytes a second
  hidden       7 B                     [not for --fail-if] frees are not visible

                   bytes  calls      peak  process  size
                1.00 KiB     16  2.00 KiB  redis/1  64
      malloc [libc.so.6] (malloc.c:33)
      sdsnew [inlined] (sds.h:7)
      createObject [redis-server] (object.c:70)
      main [redis-server] (server.c:9)
  ~4.00 KiB (2.93..4.88)     32  8.00 KiB  redis/1  128
      do_page_fault [kernel]
      sdsnew [inlined] (sds.h:7)
      createObject [redis-server] (object.c:70)
      [cut]
                   512 B      1     512 B  redis/2  64
      0x7f0050 (libc.so.6+0x50)
                     0 B      2       0 B  redis/2  -

meminfo
  what      kB
  MemTotal  100
  MemFree   5

note: uprobe.multi is not there: plain uprobes

events 1204, lost 3, missed 0, maps full 0, stacks lost 0, stacks cut 0, frees not visible 0, frees of earlier blocks 0, unobserved 0 ns, cost 84 ns/run, 0.3 % CPU, memory 5.20 MiB
)");
}

TEST(Table, OfAnEmptyReportIsTitleAndHonesty) {
  const std::string text = to_table(Report{});
  EXPECT_THAT(text, HasSubstr(", 0.0 s after attach, 1970-01-01T00:00:00Z\n"));
  EXPECT_THAT(text, HasSubstr("\nevents 0, lost 0"));
}

TEST(Table, ShowsExactDigitsWithoutUnitsOnRequest) {
  const std::string text = to_table(sample_report(), {false, false});
  EXPECT_THAT(text, HasSubstr("~1258291 (1048576..1468006)"));
  EXPECT_THAT(text, HasSubstr("~4096 (3000..5000)"));
}

TEST(Table, ColoursOnlyOnRequest) {
  EXPECT_THAT(to_table(sample_report()), Not(HasSubstr("\x1b")));
  EXPECT_THAT(to_table(sample_report(), {true, true}), HasSubstr("\x1b[1mleak, 12.5 s"));
}

TEST(Table, NothingThatAProcessMayNameReachesTheTerminal) {
  Report report = sample_report();
  const std::string bad = "\x1b]0;x\a\r\n\xc2\x9b\xff\x7f\xe2\x80\xae";
  report.rows[0].labels[0] = bad;
  report.objects[0].path = "/tmp/" + bad;
  report.frames[1].places[1].function = bad;
  report.frames[1].places[1].file = bad;
  report.honesty.notes[0] = bad;
  report.sections[0].lines[0][0] = bad;
  report.figures[0].help = bad;
  const std::string text = to_table(report);
  for (const char* part : {"\x1b", "\a", "\r", "\xc2\x9b", "\xff", "\x7f", "\xe2\x80\xae"}) {
    EXPECT_THAT(text, Not(HasSubstr(part)));
  }
  EXPECT_THAT(text, HasSubstr("\\x1b]0;x\\x07\\x0d\\x0a\\xc2\\x9b\\xff\\x7f\\xe2\\x80\\xae"));
}

TEST(Table, RandomReportsNeverReachTheTerminalRaw) {
  RandomReport random(11);
  for (int i = 0; i < 500; ++i) {
    const std::string text = to_table(random.make());
    for (char c : text) ASSERT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << text;
    ASSERT_EQ(valid_utf8(text), text);
  }
}

TEST(TextSafe, PrintableKeepsOrdinaryText) {
  EXPECT_EQ(printable("std::map<int>"), "std::map<int>");
  EXPECT_EQ(printable("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x94\xa5"),
            "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x94\xa5");
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("\xc3"), "\\xc3");
  EXPECT_EQ(printable("\xc0\x80"), "\\xc0\\x80");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(TextSafe, CutsBetweenCharacters) {
  EXPECT_EQ(cut_to("abcdef", 6), "abcdef");
  EXPECT_EQ(cut_to("abcdefg", 6), "abcd..");
  EXPECT_EQ(cut_to("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 3), "\xc3\xa9..");
  EXPECT_EQ(cut_to("abc", 1), ".");
  EXPECT_EQ(columns_of("\xc3\xa9"
                       "a"),
            2U);
}

TEST(Quantity, BytesAreWrittenAsEverywhereElse) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t bytes = (random() >> 11) >> (random() % 53);
    ASSERT_EQ(format_number(static_cast<double>(bytes), Unit::Bytes), format_bytes(bytes));
  }
}

TEST(Quantity, HasAUnitForEachKind) {
  EXPECT_EQ(format_number(999'999, Unit::Count), "999999");
  EXPECT_EQ(format_number(1'234'567, Unit::Count), "1.23M");
  EXPECT_EQ(format_number(2.5, Unit::Count), "2.50");
  EXPECT_EQ(format_number(-1536, Unit::Bytes), "-1.50 KiB");
  EXPECT_EQ(format_number(84, Unit::Nanoseconds), "84 ns");
  EXPECT_EQ(format_number(1500, Unit::Nanoseconds), "1.50 us");
  EXPECT_EQ(format_number(7.2e12, Unit::Nanoseconds), "7200 s");
  EXPECT_EQ(format_number(12.34, Unit::CountPerSecond), "12.3/s");
  EXPECT_EQ(format_number(45'600, Unit::CountPerSecond), "45.6k/s");
  EXPECT_EQ(format_number(2048, Unit::BytesPerSecond), "2.00 KiB/s");
  EXPECT_EQ(format_number(0.25, Unit::Percent), "0.2 %");
  EXPECT_EQ(format_number(std::nan(""), Unit::Bytes), "nan");
  EXPECT_EQ(format_number(1536, Unit::Bytes, false), "1536");
}

TEST(Quantity, AnIntervalHasTheUnitOfItsEstimate) {
  EXPECT_EQ(format_value({1'258'291, 1'048'576, 1'468'006}, Unit::Bytes), "~1.20 MiB (1.00..1.40)");
  EXPECT_EQ(format_value({0, 0, 2048}, Unit::Bytes), "~0.00 KiB (0.00..2.00)");
  EXPECT_EQ(format_value({1024, 512, 4096}, Unit::BytesPerSecond), "~1.00 KiB/s (0.50..4.00)");
}

}  // namespace
}  // namespace lb::observe
