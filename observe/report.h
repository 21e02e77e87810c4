// SPDX-License-Identifier: Apache-2.0
// Report: what a tracer found, at one moment, in the one form that all outputs, records, marks and
// --fail-if read. Data only. A tracer fills it with frames as addresses; Symboliser adds the names;
// from then on it stands alone (a record of it is readable on another machine).
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "observe/honesty.h"

namespace lb::observe {

/// "None" of an index into one of the tables of a Report.
inline constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

/// A dimension that a stack tells already (observe/site.h): outputs show it only where it is asked
/// for.
inline constexpr std::string_view kSite = "site";
/// Behind the label of a process that has ended.
inline constexpr std::string_view kEnded = " (ended)";

/// A file that code was mapped from.
struct MappedObject {
  std::string path;      ///< as the traced process saw it; "[kernel]", or "[module]"
  std::string build_id;  ///< hex; empty when it has none

  bool operator==(const MappedObject&) const = default;
};

/// One function at a frame: several when functions were inlined.
struct Place {
  std::string function;  ///< demangled
  std::string file;      ///< empty when there is no line information
  std::uint32_t line = 0;
  bool inlined = false;  ///< into the place that follows

  bool operator==(const Place&) const = default;
};

enum class FrameKind : std::uint8_t { Kernel, User };

/// One return address (or, at the leaf, the address itself).
struct Frame {
  FrameKind kind = FrameKind::Kernel;
  std::uint64_t address = 0;     ///< as the CPU had it
  std::uint32_t pid = 0;         ///< user frames: whose address it is (thread group)
  std::uint32_t object = kNone;  ///< in Report::objects
  std::uint64_t offset = 0;      ///< address in the object's own terms (ELF virtual address)
  std::vector<Place> places;     ///< innermost first; empty: not resolved

  bool operator==(const Frame&) const = default;
};

struct Stack {
  std::vector<std::uint32_t> frames;  ///< in Report::frames, leaf first; kernel before user
  bool cut = false;                   ///< there are callers that are not known

  bool operator==(const Stack&) const = default;
};

enum class Unit : std::uint8_t {
  Count,
  Bytes,
  Nanoseconds,
  CountPerSecond,
  BytesPerSecond,
  Percent
};

/// How two snapshots of a measure are compared, and several rows made one.
enum class Kind : std::uint8_t {
  Level,  ///< what there is now (outstanding bytes): differences may be negative; rows add up
  Total,  ///< what has happened (calls): differences are since then; rows add up
  Peak,   ///< the largest so far: the later one counts; the sum of rows is an upper bound
};

struct Measure {
  std::string name;  ///< a word of [a-z_], e.g. "bytes", "blocks", "calls"
  Unit unit = Unit::Count;
  Kind kind = Kind::Level;
  std::string help;  ///< half a sentence

  bool operator==(const Measure&) const = default;
};

/// A number, and where it was estimated the 95 % interval around it. Whole numbers are exact to
/// 2^53.
struct Value {
  double value = 0;
  double low = 0;
  double high = 0;

  Value() = default;
  Value(double exact) : value(exact), low(exact), high(exact) {}  // NOLINT: a number is a Value
  Value(double estimate, double lower, double upper) : value(estimate), low(lower), high(upper) {}
  [[nodiscard]] bool estimated() const { return low != high; }
  bool operator==(const Value&) const = default;
};

/// One combination of labels and stack. REQUIRES: labels and values are as many as the Report's
/// dimensions and measures.
struct Row {
  std::vector<std::string> labels;
  std::uint32_t stack = kNone;  ///< in Report::stacks
  std::vector<Value> values;

  bool operator==(const Row&) const = default;
};

/// A figure of the whole, by the name that --fail-if knows it.
struct Figure {
  std::string name;  ///< [a-z_]+, e.g. "leak"
  Unit unit = Unit::Count;
  Value value;
  std::string help;
  /// Whether --fail-if may look at it; a reason why not is in `help`.
  bool reliable = true;

  bool operator==(const Figure&) const = default;
};

/// A table beside the rows, for what has another shape (meminfo arithmetic, suppressions used).
struct Section {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> lines;

  bool operator==(const Section&) const = default;
};

struct Report {
  std::string tracer;        ///< "pages", "leak", ...
  double at_s = 0;           ///< seconds since the tracer was attached
  std::int64_t wall_ms = 0;  ///< since the epoch
  std::vector<std::string> dimensions;
  std::vector<Measure> measures;  ///< the first one is what rows are ordered by
  std::vector<Row> rows;
  std::vector<Figure> figures;
  std::vector<Section> sections;
  std::vector<Stack> stacks;
  std::vector<Frame> frames;
  std::vector<MappedObject> objects;
  Honesty honesty;

  bool operator==(const Report&) const = default;
};

}  // namespace lb::observe
