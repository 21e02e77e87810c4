// SPDX-License-Identifier: Apache-2.0
// Folded stacks, the tree under a flame graph, growth, and the page as XML.
#include "observe/output/flame_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "observe/output/flame_tree.h"
#include "observe/output/folded.h"
#include "observe/output/growth.h"
#include "observe/output/svg.h"
#include "tests/unit/observe/output_samples.h"

namespace lb::observe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A small reader of XML: empty when it is well-formed, else what is wrong.
std::string xml_fault(const std::string& xml) {
  std::vector<std::string> open;
  std::size_t at = 0;
  while (at < xml.size()) {
    if (xml[at] == '&') {
      const std::string entity = xml.substr(at, xml.find(';', at) - at + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;" &&
          entity != "&#39;") {
        return "entity " + entity;
      }
    }
    if (static_cast<unsigned char>(xml[at]) < 0x20 && xml[at] != '\n') return "control character";
    if (xml[at] != '<') {
      ++at;
      continue;
    }
    if (xml.compare(at, 9, "<![CDATA[") == 0) {
      at = xml.find("]]>", at);
      if (at == std::string::npos) return "CDATA";
      at += 3;
      continue;
    }
    const std::size_t end = xml.find('>', at);
    if (end == std::string::npos) return "tag";
    std::string tag = xml.substr(at + 1, end - at - 1);
    if (std::ranges::count(tag, '"') % 2 != 0 || tag.find('<') != std::string::npos) return tag;
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag.starts_with('/')) {
      if (open.empty() || "/" + open.back() != tag) return "closed: " + tag;
      open.pop_back();
    } else if (!tag.starts_with('?') && !tag.ends_with('/')) {
      open.push_back(name);
    }
    at = end + 1;
  }
  return open.empty() ? "" : "open: " + open.back();
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

TEST(Folded, RootFirstWithProcessAndMarks) {
  EXPECT_EQ(to_folded(sample_report(), 0),
            "redis/1;main;createObject;sdsnew_[i];malloc 1024\n"
            "redis/1;[cut];createObject;sdsnew_[i];do_page_fault_[k] 4096\n"
            "redis/2;0x7f0050 (libc.so.6+0x50) 512\n");
  EXPECT_THAT(to_folded(sample_report(), 1), HasSubstr("redis/2;- 2\n"));
  EXPECT_EQ(to_folded(Report{}, 0), "");
}

TEST(Folded, EqualStacksAreOneLineAndValuesAreRounded) {
  Report report = sample_report();
  report.rows = {report.rows[0], report.rows[0], report.rows[2], report.rows[3]};
  report.rows[0].values[0] = 1.3;
  report.rows[1].values[0] = 1.3;
  report.rows[2].values[0] = 0.4;
  report.rows[3].values[0] = -7;
  EXPECT_EQ(to_folded(report, 0), "redis/1;main;createObject;sdsnew_[i];malloc 3\n");
}

TEST(Folded, NamesCannotBreakTheFormat) {
  Report report = sample_report();
  report.rows.resize(1);
  report.rows[0].labels[0] = "a;b\nc";
  report.frames[0].places[0].function = "";
  EXPECT_EQ(to_folded(report, 0), "a:b\\x0ac;main;createObject;sdsnew_[i];? 1024\n");
}

TEST(FlameTree, ChildrenLieWithinTheirParents) {
  RandomReport random(21);
  for (int round = 0; round < 300; ++round) {
    Report report = random.make();
    if (report.measures.empty()) continue;
    double sum = 0;
    for (Row& row : report.rows) {
      row.values[0] = static_cast<double>(random.below(100));
      sum += row.values[0].value;
    }
    const FlameTree tree = flame_tree(report, 0, 5);
    EXPECT_EQ(tree.nodes[0].value, sum);
    std::vector<double> of_children(tree.nodes.size());
    for (std::size_t i = 1; i < tree.nodes.size(); ++i) {
      const FlameNode &node = tree.nodes[i], &parent = tree.nodes[node.parent];
      ASSERT_LT(node.parent, i);
      EXPECT_EQ(node.depth, parent.depth + 1);
      EXPECT_LE(node.depth, 5U);
      EXPECT_GE(node.start, parent.start);
      EXPECT_LE(node.start + node.value, parent.start + parent.value);
      of_children[node.parent] += node.value;
      // Nothing overlaps a sibling.
      for (std::size_t k = 1; k < i; ++k) {
        const FlameNode& other = tree.nodes[k];
        if (other.parent != node.parent) continue;
        EXPECT_TRUE(other.start + other.value <= node.start ||
                    node.start + node.value <= other.start);
      }
    }
    for (std::size_t i = 0; i < tree.nodes.size(); ++i) {
      EXPECT_LE(of_children[i], tree.nodes[i].value);
    }
  }
}

TEST(FlameTree, StopsAtItsDepthAndSaysSo) {
  Report report = sample_report();
  report.stacks[0].frames.assign(100'000, 2);
  const FlameTree tree = flame_tree(report, 0, 50);
  EXPECT_TRUE(tree.cut);
  EXPECT_LT(tree.nodes.size(), 70U);
  EXPECT_FALSE(flame_tree(sample_report(), 0, 50).cut);
}

TEST(Svg, ShowsFramesTooltipsAndTheHonestyLine) {
  const std::string svg = to_svg(sample_report(), {});
  EXPECT_EQ(xml_fault(svg), "");
  EXPECT_THAT(svg, HasSubstr("lbctl observe leak</text>"));
  EXPECT_THAT(svg, HasSubstr("<title>sdsnew\n[redis-server] (sds.h:7)\n1.00 KiB, 18.2 % of all"));
  EXPECT_THAT(svg, HasSubstr("bytes by stack: 5.50 KiB in all; 1 row with nothing above zero"));
  EXPECT_THAT(svg, HasSubstr("events 1204, lost 3"));
  EXPECT_THAT(svg, HasSubstr("note: uprobe.multi is not there"));
  EXPECT_EQ(count_of(svg, "<polyline"), 0U);
}

TEST(Svg, IsWellFormedWhateverTheNames) {
  RandomReport random(31);
  for (int i = 0; i < 300; ++i) {
    const Report report = random.make();
    SvgOptions options;
    options.title = "</text><script>alert(1)</script>\x1b";
    for (const Figure& figure : report.figures) {
      options.series.push_back({figure.name, figure.unit, {}});
      for (std::size_t k = random.below(5); k > 0; --k) {
        options.series.back().points.emplace_back(random.number(), random.number());
      }
    }
    const std::string svg = to_svg(report, options);
    ASSERT_EQ(xml_fault(svg), "") << svg;
    EXPECT_EQ(count_of(svg, "<script>"), 1U);
  }
}

TEST(Svg, OfNothingIsStillAPage) {
  EXPECT_EQ(xml_fault(to_svg(Report{}, {})), "");
  Report report = sample_report();
  report.rows.clear();
  EXPECT_THAT(to_svg(report, {}), HasSubstr("bytes by stack: nothing above zero"));
}

TEST(Svg, ManyStacksStayASmallFile) {
  Report report = sample_report();
  report.rows.clear();
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    Frame frame = report.frames[2];
    frame.places[0].function = "f" + std::to_string(i);
    report.frames.push_back(frame);
    report.stacks.push_back({{static_cast<std::uint32_t>(report.frames.size() - 1), 2}, false});
    report.rows.push_back({{"p", "s"},
                           static_cast<std::uint32_t>(report.stacks.size() - 1),
                           {i < 3 ? 1e6 : 1.0, 1, 1}});
  }
  const std::string svg = to_svg(report, {});
  EXPECT_LT(svg.size(), 100'000U);
  EXPECT_THAT(svg, HasSubstr("<title>f2\n"));
  EXPECT_THAT(svg, Not(HasSubstr("<title>f3\n")));
}

TEST(Growth, DrawsAChartForEachUnit) {
  const std::vector<Series> series{{"total", Unit::Bytes, {{0, 0}, {10, 1 << 20}}},
                                   {"main <a>", Unit::Bytes, {{0, 0}, {10, 1 << 19}}},
                                   {"rate", Unit::CountPerSecond, {{0, 5}}},
                                   {"empty", Unit::Percent, {}}};
  SvgCanvas canvas;
  EXPECT_GT(draw_growth(canvas, series, 0), 400);
  const std::string svg = canvas.document(500, "", "");
  EXPECT_EQ(xml_fault(svg), "");
  EXPECT_EQ(count_of(svg, "<polyline"), 3U);
  for (const char* part : {">256 KiB<", ">1.00 MiB<", ">10s<", "main &lt;a&gt;", ">5/s<", ">0s<"}) {
    EXPECT_THAT(svg, HasSubstr(part));
  }
}

TEST(Growth, OddValuesAreLeftOutAndEndAnyLoop) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (double odd : {kInf, -kInf, 1e308, -1e308, 1e-308, std::nan(""), 0.0}) {
    SvgCanvas canvas;
    draw_growth(canvas, {{"a", Unit::Bytes, {{odd, 1}, {1, odd}, {odd, odd}}}}, 0);
    draw_growth(canvas, {{"a", Unit::Count, {{0, odd}, {odd, 1}}}}, 0);
    EXPECT_EQ(xml_fault(canvas.document(1, "", "")), "");
  }
}

TEST(GrowthHistory, KeepsTheTotalAndTheLargestRows) {
  GrowthHistory history;
  Report report = sample_report();
  for (int i = 0; i < 3; ++i) {
    report.at_s = i;
    report.rows[0].values[0] = 1000.0 * i;
    ASSERT_TRUE(history.add(report));
  }
  const auto series = history.series(2);
  ASSERT_EQ(series.size(), 3U);
  EXPECT_EQ(series[0].name, "total bytes");
  EXPECT_EQ(series[0].points.back(), (std::pair<double, double>{2, 2000 + 4096 + 512}));
  EXPECT_EQ(series[1].name, "do_page_fault < sdsnew < createObject");
  EXPECT_EQ(series[2].name, "malloc < sdsnew < createObject < main");
  EXPECT_EQ(series[2].points[1], (std::pair<double, double>{1, 1000}));
  EXPECT_FALSE(GrowthHistory("nope").add(report));
}

TEST(GrowthHistory, IsBoundedInTimeAndRows) {
  GrowthHistory history("bytes");
  Report report = sample_report();
  report.rows.clear();
  report.stacks.clear();
  for (std::size_t i = 0; i < 3000; ++i) {
    report.rows.assign(1, {{std::to_string(i), ""}, kNone, {static_cast<double>(i), 0, 0}});
    report.at_s = static_cast<double>(i);
    ASSERT_TRUE(history.add(report));
  }
  const auto series = history.series(5000);
  EXPECT_LE(series.size(), GrowthHistory::kRowsMax + 1);
  EXPECT_LT(series[0].points.size(), GrowthHistory::kPointsMax);
  EXPECT_GE(series[0].points.size(), GrowthHistory::kPointsMax / 2);
  EXPECT_EQ(series[0].points[0].first, 0);
  EXPECT_GT(series[0].points.back().first, 2900);
  for (const auto& [at, value] : series[0].points) EXPECT_EQ(at, value);
}

}  // namespace
}  // namespace lb::observe
