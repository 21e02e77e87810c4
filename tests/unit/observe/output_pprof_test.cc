// SPDX-License-Identifier: Apache-2.0
// Profiles read back with the field numbers of profile.proto; the door of all formats.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <map>
#include <protozero/pbf_reader.hpp>
#include <string>
#include <vector>

#include "observe/output/format.h"
#include "observe/output/json.h"
#include "observe/output/pprof.h"
#include "tests/unit/observe/output_samples.h"

namespace lb::observe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string gunzip(const std::string& packed) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string in = packed, out(1 << 18, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

/// Numbers by field; messages by field as bytes.
struct Message {
  std::map<unsigned, std::vector<std::int64_t>> numbers;
  std::map<unsigned, std::vector<std::string>> bytes;

  explicit Message(const std::string& text) {
    protozero::pbf_reader reader(text);
    while (reader.next()) {
      if (reader.wire_type() == protozero::pbf_wire_type::varint) {
        numbers[reader.tag()].push_back(reader.get_int64());
      } else {
        bytes[reader.tag()].push_back(reader.get_bytes());
      }
    }
  }
  [[nodiscard]] std::int64_t number(unsigned field) const {
    const auto found = numbers.find(field);
    return found == numbers.end() ? 0 : found->second.at(0);
  }
};

std::vector<std::int64_t> packed(const std::string& bytes) {
  std::vector<std::int64_t> out;
  const char* at = bytes.data();
  while (at < bytes.data() + bytes.size()) {
    out.push_back(
        static_cast<std::int64_t>(protozero::decode_varint(&at, bytes.data() + bytes.size())));
  }
  return out;
}

/// The profile as sentences.
struct Decoded {
  explicit Decoded(const std::string& packed_profile) : top(gunzip(packed_profile)) {}

  std::string text(std::int64_t at) { return top.bytes[6].at(static_cast<std::size_t>(at)); }
  std::string location(std::int64_t id) {
    for (const std::string& bytes : top.bytes[4]) {
      Message location(bytes);
      if (location.number(1) != id) continue;
      std::string out;
      for (const std::string& line_bytes : location.bytes[4]) {
        const Message line(line_bytes);
        out += function(line.number(1)) + ":" + std::to_string(line.number(2)) + " ";
      }
      const std::int64_t mapping = location.number(2);
      if (mapping != 0) {
        const Message object(top.bytes[3].at(static_cast<std::size_t>(mapping - 1)));
        EXPECT_EQ(object.number(1), mapping);
        // The address lies below the limit.
        EXPECT_GE(static_cast<std::uint64_t>(object.number(3)),
                  static_cast<std::uint64_t>(location.number(3)));
        out += text(object.number(5)) + "/" + text(object.number(6));
      }
      return out + "@" + std::to_string(location.number(3));
    }
    return "no location";
  }
  std::string function(std::int64_t id) {
    for (const std::string& bytes : top.bytes[5]) {
      const Message function(bytes);
      if (function.number(1) == id) {
        return text(function.number(2)) + "(" + text(function.number(4)) + ")";
      }
    }
    return "no function";
  }

  Message top;
};

TEST(Pprof, SamplesPointToFunctionsAndObjects) {
  Decoded profile(to_pprof(sample_report(), 0));
  EXPECT_EQ(profile.text(0), "");
  std::vector<std::string> types;
  for (const std::string& bytes : profile.top.bytes[1]) {
    const Message type(bytes);
    types.push_back(profile.text(type.number(1)) + " " + profile.text(type.number(2)));
  }
  EXPECT_THAT(types, ElementsAre("bytes bytes", "calls count", "peak bytes"));
  ASSERT_EQ(profile.top.bytes[2].size(), 4U);

  Message sample(profile.top.bytes[2][1]);
  EXPECT_THAT(packed(sample.bytes[2].at(0)), ElementsAre(4096, 32, 8192));
  std::vector<std::string> frames;
  for (std::int64_t id : packed(sample.bytes[1].at(0))) frames.push_back(profile.location(id));
  EXPECT_THAT(frames,
              ElementsAre("do_page_fault():0 [kernel]/@64",
                          "sdsnew(sds.h):7 createObject(object.c):70 /usr/bin/redis-server/ab12@32",
                          "[cut]():0 @0"));
  std::vector<std::string> labels;
  for (const std::string& bytes : sample.bytes[3]) {
    const Message label(bytes);
    labels.push_back(profile.text(label.number(1)) + "=" + profile.text(label.number(2)));
  }
  EXPECT_THAT(labels, ElementsAre("process=redis/1", "size=128"));

  Message unresolved(profile.top.bytes[2][2]);
  EXPECT_EQ(profile.location(packed(unresolved.bytes[1].at(0)).at(0)), "/lib/libc.so.6/cd34@80");
}

TEST(Pprof, HasTimesCommentsAndADefaultType) {
  Decoded profile(to_pprof(sample_report(), 1));
  EXPECT_EQ(profile.top.number(9), 1'699'999'987'500'000'000);
  EXPECT_EQ(profile.top.number(10), 12'500'000'000);
  EXPECT_EQ(profile.text(profile.top.number(14)), "calls");
  const auto comments = packed(profile.top.bytes[13].at(0));
  ASSERT_EQ(comments.size(), 2U);
  EXPECT_EQ(profile.text(comments[0]), "uprobe.multi is not there: plain uprobes");
  EXPECT_THAT(profile.text(comments[1]), HasSubstr("events 1204, lost 3"));
}

TEST(Pprof, RandomReportsGiveWholeProfiles) {
  RandomReport random(41);
  for (int i = 0; i < 100; ++i) {
    const Report report = random.make();
    Decoded profile(to_pprof(report, 0));
    EXPECT_EQ(profile.top.bytes[2].size(), report.rows.size());
    for (const std::string& bytes : profile.top.bytes[2]) {
      Message sample(bytes);
      for (const std::string& ids : sample.bytes[1]) {
        for (std::int64_t id : packed(ids)) EXPECT_NE(profile.location(id), "no location");
      }
    }
  }
}

TEST(Format, NamesComeBackAndOthersGetASuggestion) {
  for (const char* name : {"table", "json", "jsonl", "folded", "svg", "pprof"}) {
    const auto format = parse_format(name);
    ASSERT_TRUE(format);
    EXPECT_EQ(name_of(*format), name);
    EXPECT_EQ(is_binary(*format), std::string(name) == "pprof");
  }
  EXPECT_EQ(parse_format("jsn").error().message,
            "\"jsn\" is not an output format; did you mean json? there are table, json, jsonl, "
            "folded, svg, pprof");
}

TEST(Format, RendersEachWithTheChosenRows) {
  const Report report = sample_report();
  RenderOptions options;
  options.by = {"process"};
  options.measure = "calls";
  EXPECT_EQ(*render(Format::Folded, report, options), "redis/1 48\nredis/2 3\n");
  const std::string line = *render(Format::Jsonl, report, options);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto back = from_json(*render(Format::Json, report, options));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, *from_json(line));
  EXPECT_EQ(back->measures[0].name, "calls");
  EXPECT_EQ(back->rows.size(), 2U);
  EXPECT_THAT(*render(Format::Table, report, options), HasSubstr("48"));
  EXPECT_THAT(*render(Format::Svg, report, options), HasSubstr("calls by stack: 51 in all"));
  EXPECT_EQ(render(Format::Pprof, report, options)->substr(0, 2), "\x1f\x8b");
  options.measure = "call";
  EXPECT_THAT(render(Format::Svg, report, options).error().message,
              HasSubstr("did you mean calls"));
}

TEST(Format, OnlyTablesAreShortWhenNothingIsAsked) {
  Report report = sample_report();
  report.rows.assign(30, report.rows[0]);
  for (std::size_t i = 0; i < 30; ++i) report.rows[i].labels[1] = std::to_string(i);
  EXPECT_THAT(*render(Format::Table, report), HasSubstr("(10 others)"));
  EXPECT_EQ(from_json(*render(Format::Json, report))->rows.size(), 30U);
  RenderOptions options;
  options.top = 3;
  EXPECT_EQ(from_json(*render(Format::Json, report, options))->rows.size(), 4U);
}

}  // namespace
}  // namespace lb::observe
