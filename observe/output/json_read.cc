// SPDX-License-Identifier: Apache-2.0
// The reading half of json.h. Tables are read before what points into them.
#include <fmt/format.h>

#include <array>
#include <boost/json/value.hpp>
#include <limits>
#include <unordered_set>
#include <utility>

#include "dataplane/base/text.h"
#include "observe/output/honesty_fields.h"
#include "observe/output/json.h"
#include "observe/output/json_fields.h"
#include "observe/output/json_text.h"
#include "observe/output/quantity.h"

namespace lb::observe {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kAny32 = std::numeric_limits<std::uint32_t>::max();

constexpr std::array kUnits{Unit::Count,          Unit::Bytes,          Unit::Nanoseconds,
                            Unit::CountPerSecond, Unit::BytesPerSecond, Unit::Percent};
constexpr std::array kKinds{Kind::Level, Kind::Total, Kind::Peak};
constexpr std::array<std::string_view, 2> kFrameKinds{"kernel", "user"};

class ReportReader {
 public:
  Result<Report> read(const json::value& document) {
    const json::object& top = fields_.object_of(document, "the document");
    report_.tracer = fields_.text(top, "tracer");
    report_.at_s = fields_.number(top, "at_s");
    report_.wall_ms = fields_.signed_whole(top, "wall_ms");
    tables(top);
    report_.dimensions = fields_.texts(top, "dimensions");
    fields_.each(top, "measures", [&](const json::value& item) { measure(item); });
    distinct_names();
    fields_.each(top, "rows", [&](const json::value& item) { row(item); });
    fields_.each(top, "figures", [&](const json::value& item) { figure(item); });
    fields_.each(top, "sections", [&](const json::value& item) { section(item); });
    fields_.inside(top, "honesty", [&](const json::object& object) { honesty(object); });
    LB_TRY(fields_.status());
    return std::move(report_);
  }

 private:
  void tables(const json::object& top) {
    fields_.each(top, "objects", [&](const json::value& item) {
      const json::object& object = fields_.object_of(item, "");
      report_.objects.push_back({fields_.text(object, "path"), fields_.text(object, "build_id")});
    });
    fields_.each(top, "frames", [&](const json::value& item) { frame(item); });
    fields_.each(top, "stacks", [&](const json::value& item) { stack(item); });
  }

  void frame(const json::value& item) {
    const json::object& object = fields_.object_of(item, "");
    Frame& out = report_.frames.emplace_back();
    out.kind =
        fields_.one_of(object, "kind", kFrameKinds) == 0 ? FrameKind::Kernel : FrameKind::User;
    out.address = fields_.hex(object, "address");
    out.pid = static_cast<std::uint32_t>(fields_.whole(object, "pid", kAny32));
    out.object = fields_.index(object, "object", report_.objects.size());
    out.offset = fields_.hex(object, "offset");
    fields_.each(object, "places", [&](const json::value& each) {
      const json::object& place = fields_.object_of(each, "");
      out.places.push_back({fields_.text(place, "function"), fields_.text(place, "file"),
                            static_cast<std::uint32_t>(fields_.whole(place, "line", kAny32)),
                            fields_.flag(place, "inlined")});
    });
  }

  void stack(const json::value& item) {
    const json::object& object = fields_.object_of(item, "");
    Stack& out = report_.stacks.emplace_back();
    out.cut = fields_.flag(object, "cut");
    fields_.each(object, "frames", [&](const json::value& each) {
      const std::int64_t* at = each.if_int64();
      if (at == nullptr || *at < 0 || std::cmp_greater_equal(*at, report_.frames.size())) {
        const std::size_t count = report_.frames.size();
        return fields_.wrong("", fmt::format("is not the index of a frame, there are {}", count));
      }
      out.frames.push_back(static_cast<std::uint32_t>(*at));
    });
  }

  void measure(const json::value& item) {
    const json::object& object = fields_.object_of(item, "");
    Measure& out = report_.measures.emplace_back();
    out.name = fields_.text(object, "name");
    out.unit = unit(object);
    std::array<std::string_view, kKinds.size()> names;
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = name_of(kKinds[i]);
    out.kind = kKinds[fields_.one_of(object, "kind", names)];
    out.help = fields_.text(object, "help");
  }

  Unit unit(const json::object& object) {
    std::array<std::string_view, kUnits.size()> names;
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = name_of(kUnits[i]);
    return kUnits[fields_.one_of(object, "unit", names)];
  }

  /// Rows are read by name.
  void distinct_names() {
    std::unordered_set<std::string> seen(report_.dimensions.begin(), report_.dimensions.end());
    if (seen.size() != report_.dimensions.size()) fields_.wrong("dimensions", "one stands twice");
    seen.clear();
    for (const Measure& measure : report_.measures) seen.insert(measure.name);
    if (seen.size() != report_.measures.size()) fields_.wrong("measures", "one stands twice");
  }

  void row(const json::value& item) {
    const json::object& object = fields_.object_of(item, "");
    Row& out = report_.rows.emplace_back();
    fields_.inside(object, "labels", [&](const json::object& labels) {
      for (const std::string& name : report_.dimensions) {
        out.labels.push_back(fields_.text(labels, name));
      }
    });
    fields_.inside(object, "values", [&](const json::object& values) {
      for (const Measure& measure : report_.measures) {
        out.values.push_back(value(values, measure.name));
      }
    });
    out.stack = fields_.index(object, "stack", report_.stacks.size());
  }

  Value value(const json::object& object, std::string_view key) {
    const json::object* estimate = fields_.field(object, key).if_object();
    if (estimate == nullptr) return fields_.number(object, key);
    Value out;
    fields_.inside(object, key, [&](const json::object& parts) {
      out = {fields_.number(parts, "value"), fields_.number(parts, "low"),
             fields_.number(parts, "high")};
    });
    return out;
  }

  void figure(const json::value& item) {
    const json::object& object = fields_.object_of(item, "");
    Figure& out = report_.figures.emplace_back();
    out.name = fields_.text(object, "name");
    out.unit = unit(object);
    out.value = value(object, "value");
    out.help = fields_.text(object, "help");
    out.reliable = fields_.flag(object, "reliable");
  }

  void section(const json::value& item) {
    const json::object& object = fields_.object_of(item, "");
    Section& out = report_.sections.emplace_back();
    out.title = fields_.text(object, "title");
    out.columns = fields_.texts(object, "columns");
    fields_.each(object, "lines", [&](const json::value& line) {
      if (!line.is_array()) return fields_.wrong("", "is not a list");
      auto& cells = out.lines.emplace_back();
      for (const json::value& cell : line.get_array()) {
        const json::string* found = cell.if_string();
        if (found == nullptr) return fields_.wrong("", "a cell is not a text");
        cells.emplace_back(found->data(), found->size());
      }
    });
  }

  void honesty(const json::object& object) {
    for (const HonestyCounter& counter : kHonestyCounters) {
      report_.honesty.*counter.member = fields_.whole(object, counter.name, kAny);
    }
    for (const HonestyGauge& gauge : kHonestyGauges) {
      report_.honesty.*gauge.member = fields_.number(object, gauge.name);
    }
    report_.honesty.notes = fields_.texts(object, "notes");
  }

  JsonFields fields_;
  Report report_;
};

}  // namespace

Result<Report> from_json(std::string_view text) {
  LB_TRY_ASSIGN(const json::value document, json_from_text(text));
  return ReportReader().read(document);
}

}  // namespace lb::observe
