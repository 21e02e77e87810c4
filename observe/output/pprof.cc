// SPDX-License-Identifier: Apache-2.0
// Field numbers are those of profile.proto.
#include "observe/output/pprof.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "dataplane/base/assert.h"
#include "observe/honesty.h"
#include "observe/output/text_safe.h"

namespace lb::observe {
namespace {

using protozero::pbf_writer;

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;  // window bits, and the gzip header
  LB_ASSERT(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 8,
                         Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  // zlib does not write to next_in.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // NOLINT
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  LB_ASSERT(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string_view unit_name(Unit unit) {
  switch (unit) {
    case Unit::Bytes:
      return "bytes";
    case Unit::Nanoseconds:
      return "nanoseconds";
    case Unit::CountPerSecond:
      return "count/s";
    case Unit::BytesPerSecond:
      return "bytes/s";
    case Unit::Percent:
      return "percent";
    case Unit::Count:
      break;
  }
  return "count";
}

std::int64_t rounded(double value) {
  constexpr double kMax = 9e18;
  return std::isnan(value) ? 0
                           : static_cast<std::int64_t>(std::round(std::clamp(value, -kMax, kMax)));
}

class Profile {
 public:
  explicit Profile(const Report& report) : report_(report) { text(""); }

  std::string bytes(std::size_t measure) {
    for (const Measure& each : report_.measures) {
      pbf_writer type(out_, 1);
      type.add_int64(1, text(each.name));
      type.add_int64(2, text(unit_name(each.unit)));
    }
    for (const Row& row : report_.rows) sample(row);
    mappings();
    locations();
    for (const std::string& note : report_.honesty.notes) comments_.push_back(text(note));
    comments_.push_back(text(honesty_line(report_.honesty)));
    out_.add_int64(9, rounded(static_cast<double>(report_.wall_ms) * 1e6 - report_.at_s * 1e9));
    out_.add_int64(10, rounded(report_.at_s * 1e9));
    out_.add_packed_int64(13, comments_.begin(), comments_.end());
    if (measure < report_.measures.size()) out_.add_int64(14, text(report_.measures[measure].name));
    for (const std::string& each : strings_) out_.add_string(6, each);
    return std::move(bytes_);
  }

 private:
  /// The index of a text in the string table.
  std::int64_t text(std::string_view words) {
    const auto [known, is_new] =
        string_ids_.try_emplace(valid_utf8(words), static_cast<std::int64_t>(strings_.size()));
    if (is_new) strings_.push_back(known->first);
    return known->second;
  }

  void sample(const Row& row) {
    std::vector<std::uint64_t> locations;
    if (row.stack != kNone) {
      const Stack& stack = report_.stacks[row.stack];
      // Location n is frame n - 1, the one behind all frames is "[cut]".
      for (std::uint32_t frame : stack.frames) locations.push_back(frame + 1);
      if (stack.cut) locations.push_back(report_.frames.size() + 1);
    }
    std::vector<std::int64_t> values;
    for (const Value& value : row.values) values.push_back(rounded(value.value));
    std::string bytes;
    pbf_writer writer(bytes);
    writer.add_packed_uint64(1, locations.begin(), locations.end());
    writer.add_packed_int64(2, values.begin(), values.end());
    for (std::size_t i = 0; i < row.labels.size(); ++i) {
      pbf_writer label(writer, 3);
      label.add_int64(1, text(report_.dimensions[i]));
      label.add_int64(2, text(row.labels[i]));
    }
    out_.add_message(2, bytes);
  }

  void mappings() {
    std::vector<std::uint64_t> limits(report_.objects.size(), 1);
    for (const Frame& frame : report_.frames) {
      if (frame.object == kNone) continue;
      std::uint64_t& limit = limits[frame.object];
      limit = std::max(limit, std::max(frame.offset, frame.offset + 1));
    }
    for (std::size_t i = 0; i < report_.objects.size(); ++i) {
      pbf_writer mapping(out_, 3);
      mapping.add_uint64(1, i + 1);
      mapping.add_uint64(3, limits[i]);
      mapping.add_int64(5, text(report_.objects[i].path));
      mapping.add_int64(6, text(report_.objects[i].build_id));
      mapping.add_bool(7, true);
      mapping.add_bool(8, true);
      mapping.add_bool(9, true);
      mapping.add_bool(10, true);
    }
  }

  void locations() {
    bool cut = false;
    for (const Stack& stack : report_.stacks) cut |= stack.cut;
    for (std::size_t i = 0; i < report_.frames.size(); ++i) {
      const Frame& frame = report_.frames[i];
      std::string bytes;
      pbf_writer location(bytes);
      location.add_uint64(1, i + 1);
      if (frame.object != kNone) location.add_uint64(2, frame.object + 1);
      location.add_uint64(3, frame.object != kNone ? frame.offset : frame.address);
      for (const Place& place : frame.places) line(location, place);
      out_.add_message(4, bytes);
    }
    if (cut) {
      std::string bytes;
      pbf_writer location(bytes);
      location.add_uint64(1, report_.frames.size() + 1);
      line(location, {"[cut]", "", 0, false});
      out_.add_message(4, bytes);
    }
  }

  void line(pbf_writer& location, const Place& place) {
    const std::uint64_t function = function_id(place);
    pbf_writer line(location, 4);
    line.add_uint64(1, function);
    line.add_int64(2, place.line);
  }

  std::uint64_t function_id(const Place& place) {
    const std::int64_t name = text(place.function);
    const std::int64_t file = text(place.file);
    const auto [known, is_new] = functions_.try_emplace({name, file}, functions_.size() + 1);
    if (is_new) {
      pbf_writer function(out_, 5);
      function.add_uint64(1, known->second);
      function.add_int64(2, name);
      function.add_int64(3, name);
      function.add_int64(4, file);
    }
    return known->second;
  }

  const Report& report_;
  std::string bytes_;
  pbf_writer out_{bytes_};
  std::vector<std::string> strings_;
  std::unordered_map<std::string, std::int64_t> string_ids_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::uint64_t> functions_;
  std::vector<std::int64_t> comments_;
};

}  // namespace

std::string to_pprof(const Report& report, std::size_t measure) {
  return gzip(Profile(report).bytes(measure));
}

}  // namespace lb::observe
