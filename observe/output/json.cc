// SPDX-License-Identifier: Apache-2.0
// The writing half; json_read.cc reads.
#include "observe/output/json.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <utility>
#include <vector>

#include "observe/output/honesty_fields.h"
#include "observe/output/json_text.h"
#include "observe/output/quantity.h"
#include "observe/output/text_safe.h"

namespace lb::observe {
namespace {

namespace json = boost::json;

json::string text(std::string_view words) { return json::string(valid_utf8(words)); }
json::string word(std::string_view words) { return json::string(words); }
json::string hex(std::uint64_t number) { return json::string(fmt::format("{:#x}", number)); }

json::value index(std::uint32_t at) {
  if (at == kNone) return nullptr;
  return at;
}

json::value number(const Value& value) {
  if (value == Value(value.value)) return json_number(value.value);
  return json::object{{"value", json_number(value.value)},
                      {"low", json_number(value.low)},
                      {"high", json_number(value.high)}};
}

template <class T, class Convert>
json::array list(const std::vector<T>& items, Convert convert) {
  json::array out;
  out.reserve(items.size());
  for (const T& item : items) out.emplace_back(convert(item));
  return out;
}

json::array texts(const std::vector<std::string>& items) { return list(items, text); }

json::object measure_object(const Measure& measure) {
  return {{"name", text(measure.name)},
          {"unit", word(name_of(measure.unit))},
          {"kind", word(name_of(measure.kind))},
          {"help", text(measure.help)}};
}

json::object row_object(const Report& report, const Row& row) {
  json::object labels, values;
  for (std::size_t i = 0; i < row.labels.size(); ++i) {
    labels[text(report.dimensions[i])] = text(row.labels[i]);
  }
  for (std::size_t i = 0; i < row.values.size(); ++i) {
    values[text(report.measures[i].name)] = number(row.values[i]);
  }
  return {
      {"labels", std::move(labels)}, {"values", std::move(values)}, {"stack", index(row.stack)}};
}

json::object figure_object(const Figure& figure) {
  return {{"name", text(figure.name)},
          {"unit", word(name_of(figure.unit))},
          {"value", number(figure.value)},
          {"reliable", figure.reliable},
          {"help", text(figure.help)}};
}

json::object section_object(const Section& section) {
  return {{"title", text(section.title)},
          {"columns", texts(section.columns)},
          {"lines", list(section.lines, texts)}};
}

json::object stack_object(const Stack& stack) {
  return {{"frames", list(stack.frames, [](std::uint32_t frame) { return json::value(frame); })},
          {"cut", stack.cut}};
}

json::object place_object(const Place& place) {
  return {{"function", text(place.function)},
          {"file", text(place.file)},
          {"line", place.line},
          {"inlined", place.inlined}};
}

json::object frame_object(const Frame& frame) {
  return {{"kind", frame.kind == FrameKind::Kernel ? "kernel" : "user"},
          {"address", hex(frame.address)},
          {"pid", frame.pid},
          {"object", index(frame.object)},
          {"offset", hex(frame.offset)},
          {"places", list(frame.places, place_object)}};
}

json::object honesty_object(const Honesty& honesty) {
  json::object out;
  for (const HonestyCounter& counter : kHonestyCounters) {
    out[counter.name] = honesty.*counter.member;
  }
  for (const HonestyGauge& gauge : kHonestyGauges) {
    out[gauge.name] = json_number(honesty.*gauge.member);
  }
  out["notes"] = texts(honesty.notes);
  return out;
}

}  // namespace

std::string to_json(const Report& report, bool pretty) {
  json::object out;
  out["tracer"] = text(report.tracer);
  out["at_s"] = json_number(report.at_s);
  out["wall_ms"] = report.wall_ms;
  out["dimensions"] = texts(report.dimensions);
  out["measures"] = list(report.measures, measure_object);
  out["rows"] = list(report.rows, [&](const Row& row) { return row_object(report, row); });
  out["figures"] = list(report.figures, figure_object);
  out["sections"] = list(report.sections, section_object);
  out["stacks"] = list(report.stacks, stack_object);
  out["frames"] = list(report.frames, frame_object);
  out["objects"] = list(report.objects, [](const MappedObject& object) {
    return json::object{{"path", text(object.path)}, {"build_id", text(object.build_id)}};
  });
  out["honesty"] = honesty_object(report.honesty);
  return json_to_text(json::value(std::move(out)), pretty);
}

}  // namespace lb::observe
