// SPDX-License-Identifier: Apache-2.0
#include "observe/output/fail_if.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "dataplane/base/text.h"
#include "observe/output/honesty_fields.h"
#include "observe/output/quantity.h"

namespace lb::observe {
namespace {

constexpr std::size_t kTextMax = 4096;

struct KnownUnit {
  std::string_view name;
  Unit unit;
  double factor;
};
constexpr double kKi = 1024;
constexpr std::array<KnownUnit, 26> kUnits{{
    {"B", Unit::Bytes, 1},
    {"kB", Unit::Bytes, 1e3},
    {"KB", Unit::Bytes, 1e3},
    {"KiB", Unit::Bytes, kKi},
    {"MB", Unit::Bytes, 1e6},
    {"MiB", Unit::Bytes, kKi* kKi},
    {"GB", Unit::Bytes, 1e9},
    {"GiB", Unit::Bytes, kKi* kKi* kKi},
    {"TB", Unit::Bytes, 1e12},
    {"TiB", Unit::Bytes, kKi* kKi* kKi* kKi},
    {"B/s", Unit::BytesPerSecond, 1},
    {"kB/s", Unit::BytesPerSecond, 1e3},
    {"KB/s", Unit::BytesPerSecond, 1e3},
    {"KiB/s", Unit::BytesPerSecond, kKi},
    {"MB/s", Unit::BytesPerSecond, 1e6},
    {"MiB/s", Unit::BytesPerSecond, kKi* kKi},
    {"GB/s", Unit::BytesPerSecond, 1e9},
    {"GiB/s", Unit::BytesPerSecond, kKi* kKi* kKi},
    {"TB/s", Unit::BytesPerSecond, 1e12},
    {"TiB/s", Unit::BytesPerSecond, kKi* kKi* kKi* kKi},
    {"ns", Unit::Nanoseconds, 1},
    {"us", Unit::Nanoseconds, 1e3},
    {"ms", Unit::Nanoseconds, 1e6},
    {"s", Unit::Nanoseconds, 1e9},
    {"/s", Unit::CountPerSecond, 1},
    {"%", Unit::Percent, 1},
}};

bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }
bool is_unit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '%';
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// What a name stands for in a Report.
struct Known {
  Value value;
  Unit unit = Unit::Count;
  double plain = 1;  // what a number without a unit is multiplied by
};

std::optional<Known> find_honesty(const Honesty& honesty, std::string_view name) {
  for (const HonestyCounter& counter : kHonestyCounters) {
    if (counter.name != name) continue;
    return Known{static_cast<double>(honesty.*counter.member), Unit::Count, 1};
  }
  for (const HonestyGauge& gauge : kHonestyGauges) {
    if (gauge.name != name) continue;
    return Known{honesty.*gauge.member * gauge.scale, gauge.unit, gauge.scale};
  }
  return std::nullopt;
}

std::vector<std::string> known_names(const Report& report) {
  std::vector<std::string> names;
  for (const Figure& figure : report.figures) names.push_back(figure.name);
  for (const HonestyCounter& counter : kHonestyCounters) names.emplace_back(counter.name);
  for (const HonestyGauge& gauge : kHonestyGauges) names.emplace_back(gauge.name);
  return names;
}

std::string suggestion(std::string_view word, const auto& known) {
  const std::string near = nearest(word, known);
  return near.empty() ? "" : fmt::format(", did you mean {}?", near);
}

}  // namespace

/// One pass from left to right; `at_` is the next character.
class FailIf::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<FailIf> parse() {
    if (text_.size() > kTextMax) {
      return fail(EINVAL, fmt::format("--fail-if: over {} characters", kTextMax));
    }
    FailIf out;
    out.any_of_.emplace_back();
    for (;;) {
      LB_TRY_ASSIGN(auto comparison, next_comparison());
      out.any_of_.back().push_back(std::move(comparison));
      skip_spaces();
      if (at_ == text_.size()) return out;
      const std::size_t start = at_;
      const std::string_view word = take(is_name);
      if (word == "or") {
        out.any_of_.emplace_back();
      } else if (word != "and") {
        return wrong(start, fmt::format("expected \"and\", \"or\" or the end, not {}",
                                        quoted(text_.substr(start))));
      }
    }
  }

 private:
  std::unexpected<Error> wrong(std::size_t at, std::string_view why) const {
    return fail(EINVAL, fmt::format("--fail-if {}, column {}: {}", quoted(text_), at + 1, why));
  }
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  std::string_view take(bool (*belongs)(char)) {
    const std::size_t start = at_;
    while (at_ < text_.size() && belongs(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }

  Result<Comparison> next_comparison() {
    Comparison out;
    skip_spaces();
    out.column = at_ + 1;
    out.name = take(is_name);
    if (out.name.empty()) return wrong(at_, "expected the name of a figure, such as leak");
    skip_spaces();
    const std::size_t start = at_;
    LB_TRY_ASSIGN(out.compare, next_compare());
    const std::string_view sign = text_.substr(start, at_ - start);
    skip_spaces();
    const std::size_t number = at_;
    LB_TRY_ASSIGN(out.number, next_number());
    const std::size_t number_end = at_;
    LB_TRY(next_unit(out));
    const std::size_t end = out.unit ? at_ : number_end;
    out.words = fmt::format("{} {}", sign, text_.substr(number, end - number));
    return out;
  }

  Result<Compare> next_compare() {
    // Longer signs stand before those they begin with.
    constexpr std::array<std::pair<std::string_view, Compare>, 6> kSigns{
        {{">=", Compare::GreaterEqual},
         {"<=", Compare::LessEqual},
         {"==", Compare::Equal},
         {"!=", Compare::NotEqual},
         {">", Compare::Greater},
         {"<", Compare::Less}}};
    for (const auto& [sign, compare] : kSigns) {
      if (!text_.substr(at_).starts_with(sign)) continue;
      at_ += sign.size();
      return compare;
    }
    return wrong(at_, "expected one of > >= < <= == !=");
  }

  Result<double> next_number() {
    double number = 0;
    const char* begin = text_.data() + at_;
    const char* end = text_.data() + text_.size();
    const bool digits = at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '-');
    // "1e5" would be one, and the unit of "1e" none.
    const auto [stop, error] = std::from_chars(begin, end, number, std::chars_format::fixed);
    if (!digits || error != std::errc{} || !std::isfinite(number)) {
      return wrong(at_, "expected a number, such as 1MB");
    }
    at_ += static_cast<std::size_t>(stop - begin);
    return number;
  }

  Status next_unit(Comparison& out) {
    skip_spaces();
    const std::size_t start = at_;
    const std::string_view word = take(is_unit);
    if (word.empty()) return {};
    if (word == "and" || word == "or") {
      at_ = start;
      return {};
    }
    const auto* found = std::ranges::find(kUnits, word, &KnownUnit::name);
    if (found == kUnits.end()) {
      std::array<std::string_view, kUnits.size()> known;
      std::ranges::transform(kUnits, known.begin(), &KnownUnit::name);
      return wrong(start, fmt::format("{} is not a unit{}", quoted(word), suggestion(word, known)));
    }
    out.unit = found->unit;
    out.number *= found->factor;
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

Result<FailIf> FailIf::parse(std::string_view text) { return Parser(text).parse(); }

Result<FailIf::Verdict> FailIf::look(const Comparison& comparison, const Report& report) {
  const auto wrong = [&](std::string_view why) {
    return fail(EINVAL, fmt::format("--fail-if, column {}: {}", comparison.column, why));
  };
  std::optional<Known> known;
  const auto figure = std::ranges::find(report.figures, comparison.name, &Figure::name);
  if (figure != report.figures.end()) {
    if (!figure->reliable) {
      return fail(ENODATA, fmt::format("--fail-if, column {}: {} cannot decide here: {}",
                                       comparison.column, figure->name, figure->help));
    }
    known = Known{figure->value, figure->unit, 1};
  } else {
    known = find_honesty(report.honesty, comparison.name);
  }
  if (!known) {
    const auto names = known_names(report);
    return wrong(fmt::format("{} has no {}{}{} it has {}", report.tracer, quoted(comparison.name),
                             suggestion(comparison.name, names),
                             nearest(comparison.name, names).empty() ? ";" : "",
                             fmt::join(names, ", ")));
  }
  if (comparison.unit && *comparison.unit != known->unit) {
    return wrong(fmt::format("{} is in {}, not in {}", comparison.name, name_of(known->unit),
                             name_of(*comparison.unit)));
  }
  const double limit = comparison.unit ? comparison.number : comparison.number * known->plain;
  const auto [value, low, high] = known->value;
  bool met = false;
  const char* bound = "";
  switch (comparison.compare) {
    case Compare::Greater:
      met = low > limit, bound = " at its lower bound";
      break;
    case Compare::GreaterEqual:
      met = low >= limit, bound = " at its lower bound";
      break;
    case Compare::Less:
      met = high < limit, bound = " at its upper bound";
      break;
    case Compare::LessEqual:
      met = high <= limit, bound = " at its upper bound";
      break;
    case Compare::Equal:
      met = low == limit && high == limit;
      break;
    case Compare::NotEqual:
      met = low > limit || high < limit;
      break;
  }
  if (!met) return Verdict{};
  return Verdict{true,
                 fmt::format("{} {} {}{}", comparison.name, format_value(known->value, known->unit),
                             comparison.words, known->value.estimated() ? bound : "")};
}

Result<FailIf::Verdict> FailIf::evaluate(const Report& report) const {
  Verdict out;
  for (const auto& all_of : any_of_) {
    bool met = true;
    std::string because;
    for (const Comparison& comparison : all_of) {
      LB_TRY_ASSIGN(Verdict one, look(comparison, report));
      met &= one.met;
      because += (because.empty() ? "" : " and ") + one.because;
    }
    if (!met) continue;
    out.because += (out.met ? "; " : "") + because;
    out.met = true;
  }
  return out;
}

}  // namespace lb::observe
