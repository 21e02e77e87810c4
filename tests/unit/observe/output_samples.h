// SPDX-License-Identifier: Apache-2.0
// Reports for the tests of observe/output: a small one by hand, and random ones.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "observe/report.h"

namespace lb::observe {

/// Two processes of redis, three stacks (the second cut, with an inlined function and a kernel
/// frame; the last frame not resolved), one row without a stack.
inline Report sample_report() {
  Report r;
  r.tracer = "leak";
  r.at_s = 12.5;
  r.wall_ms = 1'700'000'000'000;
  r.dimensions = {"process", "size"};
  r.measures = {{"bytes", Unit::Bytes, Kind::Level, "outstanding"},
                {"calls", Unit::Count, Kind::Total, "allocations"},
                {"peak", Unit::Bytes, Kind::Peak, "the most there was"}};
  r.objects = {{"/usr/bin/redis-server", "ab12"}, {"[kernel]", ""}, {"/lib/libc.so.6", "cd34"}};
  r.frames = {
      {FrameKind::User, 0x7f0010, 1, 2, 0x10, {{"malloc", "malloc.c", 33, false}}},
      {FrameKind::User,
       0x550020,
       1,
       0,
       0x20,
       {{"sdsnew", "sds.h", 7, true}, {"createObject", "object.c", 70, false}}},
      {FrameKind::User, 0x550030, 1, 0, 0x30, {{"main", "server.c", 9, false}}},
      {FrameKind::Kernel, 0xffffffff81000040, 0, 1, 0x40, {{"do_page_fault", "", 0, false}}},
      {FrameKind::User, 0x7f0050, 2, 2, 0x50, {}},
  };
  r.stacks = {{{0, 1, 2}, false}, {{3, 1}, true}, {{4}, false}};
  r.rows = {{{"redis/1", "64"}, 0, {1024, 16, 2048}},
            {{"redis/1", "128"}, 1, {{4096, 3000, 5000}, 32, 8192}},
            {{"redis/2", "64"}, 2, {512, 1, 512}},
            {{"redis/2", "-"}, kNone, {0, 2, 0}}};
  r.figures = {{"leak", Unit::Bytes, {1'258'291, 1'048'576, 1'468'006}, "outstanding bytes", true},
               {"growth_rate", Unit::BytesPerSecond, 2048, "bytes a second", true},
               {"hidden", Unit::Bytes, 7, "frees are not visible", false}};
  r.sections = {{"meminfo", {"what", "kB"}, {{"MemTotal", "100"}, {"MemFree", "5"}}}};
  r.honesty.events = 1204;
  r.honesty.lost = 3;
  r.honesty.cost_ns = 84;
  r.honesty.cpu_percent = 0.3;
  r.honesty.memory_bytes = 5.2 * 1024 * 1024;
  r.honesty.notes = {"uprobe.multi is not there: plain uprobes"};
  return r;
}

class RandomReport {
 public:
  explicit RandomReport(std::uint64_t seed) : random_(seed) {}

  Report make() {
    Report r;
    r.tracer = text();
    r.at_s = number();
    r.wall_ms = static_cast<std::int64_t>(random_());
    for (std::size_t i = 0, n = below(4); i < n; ++i) r.dimensions.push_back(name(i));
    for (std::size_t i = 0, n = below(4); i < n; ++i) {
      r.measures.push_back({name(i), unit(), static_cast<Kind>(below(3)), text()});
    }
    tables(r);
    for (std::size_t i = 0, n = below(20); i < n; ++i) {
      Row& row = r.rows.emplace_back();
      for (std::size_t k = 0; k < r.dimensions.size(); ++k) row.labels.push_back(text());
      for (std::size_t k = 0; k < r.measures.size(); ++k) row.values.push_back(value());
      row.stack = index(r.stacks.size());
    }
    for (std::size_t i = 0, n = below(4); i < n; ++i) {
      r.figures.push_back({text(), unit(), value(), text(), below(2) == 0});
    }
    for (std::size_t i = 0, n = below(3); i < n; ++i) {
      r.sections.push_back({text(), {text(), text()}, {{text()}, {}, {text(), text()}}});
    }
    r.honesty.events = random_();
    r.honesty.frees_unknown = random_();
    r.honesty.unobserved_s = number();
    r.honesty.cpu_percent = number();
    for (std::size_t i = 0, n = below(3); i < n; ++i) r.honesty.notes.push_back(text());
    return r;
  }

  std::size_t below(std::size_t n) { return random_() % n; }

  double number() {
    switch (below(6)) {
      case 0:
        return static_cast<double>(static_cast<std::int64_t>(random_()));
      case 1:
        return static_cast<double>(below(1000));
      case 2:
        return std::numeric_limits<double>::infinity();
      case 3:
        return std::ldexp(static_cast<double>(random_()), -200 + static_cast<int>(below(300)));
      default:
        return std::uniform_real_distribution<>(-1, 1)(random_);
    }
  }

 private:
  void tables(Report& r) {
    for (std::size_t i = 0, n = below(4); i < n; ++i) r.objects.push_back({text(), text()});
    for (std::size_t i = 0, n = below(10); i < n; ++i) {
      Frame& frame = r.frames.emplace_back();
      frame.kind = static_cast<FrameKind>(below(2));
      frame.address = random_();
      frame.pid = static_cast<std::uint32_t>(random_());
      frame.object = index(r.objects.size());
      frame.offset = random_();
      for (std::size_t k = 0, m = below(3); k < m; ++k) {
        frame.places.push_back(
            {text(), text(), static_cast<std::uint32_t>(random_()), below(2) == 0});
      }
    }
    for (std::size_t i = 0, n = below(6); i < n; ++i) {
      Stack& stack = r.stacks.emplace_back();
      stack.cut = below(2) == 0;
      for (std::size_t k = 0, m = r.frames.empty() ? 0 : below(6); k < m; ++k) {
        stack.frames.push_back(static_cast<std::uint32_t>(below(r.frames.size())));
      }
    }
  }

  std::uint32_t index(std::size_t size) {
    return size == 0 || below(4) == 0 ? kNone : static_cast<std::uint32_t>(below(size));
  }
  Unit unit() { return static_cast<Unit>(below(6)); }
  Value value() {
    if (below(2) == 0) return number();
    return {number(), number(), number()};
  }
  std::string name(std::size_t i) { return "n" + std::to_string(i) + text(); }
  /// Valid UTF-8, with all that has to be escaped somewhere.
  std::string text() {
    static const std::vector<std::string> kParts{"a",
                                                 "Z",
                                                 " ",
                                                 ";",
                                                 "\"",
                                                 "\\",
                                                 "<",
                                                 ">",
                                                 "&",
                                                 "'",
                                                 "\n",
                                                 "\x1b[2J",
                                                 "\x01",
                                                 "\x7f",
                                                 "]]>",
                                                 "\xc3\xa9",
                                                 "\xe2\x82\xac",
                                                 "\xf0\x9f\x94\xa5",
                                                 "\xc2\x85",
                                                 "\xe2\x80\xae",
                                                 "\xef\xbf\xbf",
                                                 "std::vector<int>::push_back(int&&)",
                                                 std::string(1, '\0')};
    std::string out;
    for (std::size_t i = 0, n = below(5); i < n; ++i) out += kParts[below(kParts.size())];
    return out;
  }

  std::mt19937_64 random_;
};

}  // namespace lb::observe
