// SPDX-License-Identifier: Apache-2.0
#include "observe/output/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_stack.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>

namespace lb::observe {
namespace {

namespace json = boost::json;
using ErrorCode = json::error_code;

/// Builds the value; as Boost.JSON's own handler, but doubles are read from their digits by
/// std::from_chars, which rounds exactly. The names are what basic_parser calls.
struct ExactHandler {
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  json::value_stack stack;
  std::string digits;  // of a number that comes in parts

  bool on_document_begin(ErrorCode&) {
    stack.reset();
    return true;
  }
  bool on_document_end(ErrorCode&) { return true; }
  bool on_object_begin(ErrorCode&) { return true; }
  bool on_object_end(std::size_t count, ErrorCode&) {
    stack.push_object(count);
    return true;
  }
  bool on_array_begin(ErrorCode&) { return true; }
  bool on_array_end(std::size_t count, ErrorCode&) {
    stack.push_array(count);
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, ErrorCode&) {
    stack.push_chars(part);
    return true;
  }
  bool on_key(json::string_view part, std::size_t, ErrorCode&) {
    stack.push_key(part);
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, ErrorCode&) {
    stack.push_chars(part);
    return true;
  }
  bool on_string(json::string_view part, std::size_t, ErrorCode&) {
    stack.push_string(part);
    return true;
  }
  bool on_number_part(json::string_view part, ErrorCode&) {
    digits.append(part.data(), part.size());
    return true;
  }
  bool on_int64(std::int64_t number, json::string_view, ErrorCode&) {
    digits.clear();
    stack.push_int64(number);
    return true;
  }
  bool on_uint64(std::uint64_t number, json::string_view, ErrorCode&) {
    digits.clear();
    stack.push_uint64(number);
    return true;
  }
  bool on_double(double number, json::string_view part, ErrorCode&) {
    digits.append(part.data(), part.size());
    double exact = number;
    std::from_chars(digits.data(), digits.data() + digits.size(), exact);
    digits.clear();
    stack.push_double(exact);
    return true;
  }
  bool on_bool(bool flag, ErrorCode&) {
    stack.push_bool(flag);
    return true;
  }
  bool on_null(ErrorCode&) {
    stack.push_null();
    return true;
  }
  bool on_comment_part(json::string_view, ErrorCode&) { return true; }
  bool on_comment(json::string_view, ErrorCode&) { return true; }
};

bool is_leaf(const json::value& value) { return !value.is_structured(); }

bool on_one_line(const json::value& value) {
  if (const auto* list = value.if_array()) return std::ranges::all_of(*list, is_leaf);
  if (const auto* object = value.if_object()) {
    return std::ranges::all_of(*object, [](const auto& pair) { return is_leaf(pair.value()); });
  }
  return true;
}

class Writer {
 public:
  explicit Writer(bool pretty) : pretty_(pretty) {}

  void write(const json::value& value, std::size_t depth) {
    const bool breaks = pretty_ && !on_one_line(value);
    if (const auto* list = value.if_array()) {
      group('[', ']', *list, breaks, depth,
            [&](const json::value& item) { write(item, depth + 1); });
    } else if (const auto* object = value.if_object()) {
      group('{', '}', *object, breaks, depth, [&](const json::key_value_pair& pair) {
        out += json::serialize(pair.key());
        out += pretty_ ? ": " : ":";
        write(pair.value(), depth + 1);
      });
    } else if (const auto* number = value.if_double()) {
      fmt::format_to(std::back_inserter(out), "{}", *number);
    } else {
      out += json::serialize(value);
    }
  }

  std::string out;

 private:
  template <class Range, class Item>
  void group(char open, char close, const Range& range, bool breaks, std::size_t depth, Item item) {
    out += open;
    const char* between = "";
    for (const auto& each : range) {
      out += between;
      between = pretty_ && !breaks ? ", " : ",";
      if (breaks) line(depth + 1);
      item(each);
    }
    if (breaks) line(depth);
    out += close;
  }

  void line(std::size_t depth) {
    out += '\n';
    out.append(2 * depth, ' ');
  }

  bool pretty_;
};

}  // namespace

json::value json_number(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  constexpr double kExact = 9007199254740992;  // 2^53
  if (number == std::floor(number) && std::abs(number) < kExact) {
    return static_cast<std::int64_t>(number);
  }
  return number;
}

std::string json_to_text(const json::value& value, bool pretty) {
  Writer writer(pretty);
  writer.write(value, 0);
  return std::move(writer.out);
}

Result<json::value> json_from_text(std::string_view text) {
  if (text.size() > kJsonBytesMax) {
    return fail(EFBIG, fmt::format("{} bytes of JSON: {} MiB are the limit", text.size(),
                                   kJsonBytesMax >> 20));
  }
  json::basic_parser<ExactHandler> parser{json::parse_options{}};
  ErrorCode error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (error) return fail(EINVAL, fmt::format("byte {}: {}", read, error.message()));
  const auto rest = text.find_first_not_of(" \t\r\n", read);
  if (rest != std::string_view::npos) {
    return fail(EINVAL, fmt::format("byte {}: more follows the document", rest));
  }
  return parser.handler().stack.release();
}

}  // namespace lb::observe
