// SPDX-License-Identifier: Apache-2.0
#include "control/client/json_doc.h"

#include <fmt/format.h>

#include <boost/json.hpp>

namespace lb::client {
namespace json = boost::json;
namespace {

const json::value* as_value(const void* value) { return static_cast<const json::value*>(value); }

const json::value* find(const void* value, std::string_view key) {
  if (value == nullptr || !as_value(value)->is_object()) return nullptr;
  return as_value(value)->get_object().if_contains({key.data(), key.size()});
}

std::string scalar_text(const json::value* value) {
  if (value == nullptr || value->is_null()) return "";
  if (const auto* text = value->if_string()) return {text->data(), text->size()};
  if (const auto* real = value->if_double()) return fmt::format("{:g}", *real);
  return json::serialize(*value);
}

std::uint64_t as_number(const json::value* value) {
  if (value == nullptr) return 0;
  if (const auto* u = value->if_uint64()) return *u;
  if (const auto* i = value->if_int64()) return *i < 0 ? 0 : static_cast<std::uint64_t>(*i);
  if (const auto* d = value->if_double()) {
    return *d > 0 && *d < 1.8e19 ? static_cast<std::uint64_t>(*d) : 0;
  }
  return 0;
}

json::string_view key_of(std::string_view key) { return {key.data(), key.size()}; }

}  // namespace

bool JsonView::has(std::string_view key) const {
  const auto* value = find(value_, key);
  return value != nullptr && !value->is_null();
}
JsonView JsonView::at(std::string_view key) const { return JsonView(find(value_, key)); }
std::string JsonView::text(std::string_view key, std::string_view missing) const {
  return has(key) ? scalar_text(find(value_, key)) : std::string(missing);
}
std::string JsonView::text() const { return scalar_text(as_value(value_)); }
std::uint64_t JsonView::number(std::string_view key) const { return as_number(find(value_, key)); }
std::uint64_t JsonView::number() const { return as_number(as_value(value_)); }
double JsonView::real(std::string_view key) const {
  const auto* value = find(value_, key);
  if (value == nullptr || !value->is_number()) return 0;
  return value->to_number<double>();
}
bool JsonView::flag(std::string_view key) const {
  const auto* value = find(value_, key);
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::vector<JsonView> JsonView::items(std::string_view key) const {
  std::vector<JsonView> out;
  const auto* value = find(value_, key);
  if (value == nullptr || !value->is_array()) return out;
  for (const auto& item : value->get_array()) out.emplace_back(static_cast<const void*>(&item));
  return out;
}

std::vector<std::pair<std::string, JsonView>> JsonView::members() const {
  std::vector<std::pair<std::string, JsonView>> out;
  if (value_ == nullptr || !as_value(value_)->is_object()) return out;
  for (const auto& member : as_value(value_)->get_object()) {
    out.emplace_back(std::string(member.key().data(), member.key().size()),
                     JsonView(static_cast<const void*>(&member.value())));
  }
  return out;
}

struct JsonDoc::Value {
  json::value value;
};

Result<JsonDoc> JsonDoc::parse(std::string text) {
  boost::system::error_code error;
  auto value = json::parse(text, error);
  if (error) return fail(EBADMSG, fmt::format("not JSON: {}", error.message()));
  return JsonDoc(std::make_unique<Value>(Value{std::move(value)}), std::move(text));
}
JsonDoc::JsonDoc(std::unique_ptr<Value> value, std::string text)
    : value_(std::move(value)), text_(std::move(text)) {}
JsonDoc::JsonDoc(JsonDoc&&) noexcept = default;
JsonDoc& JsonDoc::operator=(JsonDoc&&) noexcept = default;
JsonDoc::~JsonDoc() = default;
JsonView JsonDoc::root() const { return JsonView(static_cast<const void*>(&value_->value)); }

struct JsonObject::Object {
  json::object object;
};

JsonObject::JsonObject() : object_(std::make_unique<Object>()) {}
JsonObject::JsonObject(JsonObject&&) noexcept = default;
JsonObject& JsonObject::operator=(JsonObject&&) noexcept = default;
JsonObject::~JsonObject() = default;

JsonObject& JsonObject::set(std::string_view key, std::string_view value) {
  object_->object[key_of(key)] = json::string(value.data(), value.size());
  return *this;
}
JsonObject& JsonObject::set_number(std::string_view key, std::uint64_t value) {
  object_->object[key_of(key)] = value;
  return *this;
}
JsonObject& JsonObject::set_real(std::string_view key, double value) {
  object_->object[key_of(key)] = value;
  return *this;
}
JsonObject& JsonObject::set_flag(std::string_view key, bool value) {
  object_->object[key_of(key)] = value;
  return *this;
}
JsonObject& JsonObject::set_null(std::string_view key) {
  object_->object[key_of(key)] = nullptr;
  return *this;
}
JsonObject& JsonObject::set_object(std::string_view key, const JsonObject& value) {
  object_->object[key_of(key)] = value.object_->object;
  return *this;
}
JsonObject& JsonObject::set_view(std::string_view key, JsonView value) {
  if (value.value_ != nullptr) object_->object[key_of(key)] = *as_value(value.value_);
  return *this;
}
JsonObject& JsonObject::append(std::string_view key, const JsonObject& value) {
  auto& array = object_->object[key_of(key)];
  if (!array.is_array()) array.emplace_array();
  array.get_array().emplace_back(value.object_->object);
  return *this;
}
JsonObject& JsonObject::append_view(std::string_view key, JsonView value) {
  auto& array = object_->object[key_of(key)];
  if (!array.is_array()) array.emplace_array();
  if (value.value_ != nullptr) array.get_array().emplace_back(*as_value(value.value_));
  return *this;
}
JsonObject& JsonObject::set_texts(std::string_view key, std::span<const std::string> values) {
  json::array texts;
  texts.reserve(values.size());
  for (const std::string& text : values) texts.emplace_back(json::string_view(text));
  object_->object[key_of(key)] = std::move(texts);
  return *this;
}
bool JsonObject::empty() const { return object_->object.empty(); }
std::string JsonObject::to_string() const { return json::serialize(object_->object); }

}  // namespace lb::client
