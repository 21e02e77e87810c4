// SPDX-License-Identifier: Apache-2.0
#include "observe/output/json_fields.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "dataplane/base/text.h"
#include "observe/report.h"

namespace lb::observe {
namespace {

namespace json = boost::json;

const json::value kNull;
const json::object kNoObject;
const json::array kNoList;

}  // namespace

Status JsonFields::status() const {
  if (good()) return {};
  return fail(EINVAL, message_);
}

void JsonFields::wrong(std::string_view key, std::string_view why) {
  if (!good()) return;
  std::string where;
  for (const Step& step : path_) {
    where += where.empty() ? "" : ".";
    where += step.key;
    if (step.index != kNoIndex) where += fmt::format("[{}]", step.index);
  }
  if (!key.empty()) where += fmt::format("{}{}", where.empty() ? "" : ".", key);
  // Keys that the document chose stand in quotes only where they could do harm.
  const std::string safe = quoted(where);
  const bool harmless = safe.size() == where.size() + 2;
  message_ = fmt::format("{}: {}", harmless ? where : safe, why);
}

const json::value& JsonFields::field(const Object& object, std::string_view key) {
  const json::value* found = object.if_contains(key);
  if (found == nullptr) {
    wrong(key, "is missing");
    return kNull;
  }
  return *found;
}

const json::object& JsonFields::object_of(const Value& value, std::string_view key) {
  const json::object* object = value.if_object();
  if (object == nullptr) wrong(key, "is not an object");
  return object == nullptr ? kNoObject : *object;
}

const json::array& JsonFields::list(const Object& object, std::string_view key) {
  const json::array* found = field(object, key).if_array();
  if (found == nullptr) wrong(key, "is not a list");
  return found == nullptr ? kNoList : *found;
}

std::string JsonFields::text(const Object& object, std::string_view key) {
  const json::string* found = field(object, key).if_string();
  if (found == nullptr) wrong(key, "is not a text");
  return found == nullptr ? std::string() : std::string(found->data(), found->size());
}

bool JsonFields::flag(const Object& object, std::string_view key) {
  const bool* found = field(object, key).if_bool();
  if (found == nullptr) wrong(key, "is not true or false");
  return found != nullptr && *found;
}

std::uint64_t JsonFields::whole(const Object& object, std::string_view key, std::uint64_t max) {
  const json::value& value = field(object, key);
  json::error_code error;
  const auto number = value.is_number() ? value.to_number<std::uint64_t>(error) : 0;
  if (!value.is_number() || error) {
    wrong(key, "is not a whole number from 0 on");
    return 0;
  }
  if (number > max) wrong(key, fmt::format("{} is over {}", number, max));
  return number > max ? 0 : number;
}

std::int64_t JsonFields::signed_whole(const Object& object, std::string_view key) {
  const json::value& value = field(object, key);
  json::error_code error;
  const auto number = value.is_number() ? value.to_number<std::int64_t>(error) : 0;
  if (!value.is_number() || error) wrong(key, "is not a whole number");
  return error ? 0 : number;
}

double JsonFields::number(const Object& object, std::string_view key) {
  const json::value& value = field(object, key);
  if (value.is_number()) return value.to_number<double>();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  wrong(key, "is not a number");
  return 0;
}

std::uint64_t JsonFields::hex(const Object& object, std::string_view key) {
  const std::string digits = text(object, key);
  std::uint64_t number = 0;
  const char* end = digits.data() + digits.size();
  if (digits.starts_with("0x")) {
    const auto [stop, error] = std::from_chars(digits.data() + 2, end, number, 16);
    if (error == std::errc{} && stop == end) return number;
  }
  wrong(key, "is not a number like 0x1f");
  return 0;
}

std::uint32_t JsonFields::index(const Object& object, std::string_view key, std::size_t size) {
  if (field(object, key).is_null()) return kNone;
  const std::uint64_t at = whole(object, key, kNone - 1);
  if (good() && at >= size) {
    wrong(key, fmt::format("{} is out of range, there are {}", at, size));
  }
  return good() ? static_cast<std::uint32_t>(at) : kNone;
}

std::vector<std::string> JsonFields::texts(const Object& object, std::string_view key) {
  std::vector<std::string> out;
  each(object, key, [&](const json::value& item) {
    const json::string* found = item.if_string();
    if (found == nullptr) return wrong("", "is not a text");
    out.emplace_back(found->data(), found->size());
  });
  return out;
}

}  // namespace lb::observe
