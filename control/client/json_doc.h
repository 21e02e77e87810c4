// SPDX-License-Identifier: Apache-2.0
// JSON as lbctl reads and writes it: forgiving views of an answer, and a builder for bodies.
// The only client file that knows Boost.JSON is json_doc.cc, so every view compiles in a moment.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::client {

/// A look at one value inside a JsonDoc (or at nothing: a missing key reads as empty, 0, false).
/// Valid while its JsonDoc lives.
class JsonView {
 public:
  JsonView() = default;
  explicit JsonView(const void* value) : value_(value) {}
  /// The key is there and is not null.
  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] JsonView at(std::string_view key) const;
  /// A scalar under `key` as text; `missing` when it is absent or null.
  [[nodiscard]] std::string text(std::string_view key, std::string_view missing = "") const;
  /// This value itself as text.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::uint64_t number(std::string_view key) const;
  [[nodiscard]] std::uint64_t number() const;
  /// A number with its fraction; 0 when it is none.
  [[nodiscard]] double real(std::string_view key) const;
  [[nodiscard]] bool flag(std::string_view key) const;
  /// The elements of the array under `key`; none when it is no array.
  [[nodiscard]] std::vector<JsonView> items(std::string_view key) const;
  /// Keys and values of this object, in the order of the answer.
  [[nodiscard]] std::vector<std::pair<std::string, JsonView>> members() const;

 private:
  friend class JsonObject;
  const void* value_ = nullptr;
};

/// A parsed answer and its text as it came.
class JsonDoc {
 public:
  [[nodiscard]] static Result<JsonDoc> parse(std::string text);
  JsonDoc(JsonDoc&&) noexcept;
  JsonDoc& operator=(JsonDoc&&) noexcept;
  ~JsonDoc();
  [[nodiscard]] JsonView root() const;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  struct Value;
  JsonDoc(std::unique_ptr<Value> value, std::string text);
  std::unique_ptr<Value> value_;
  std::string text_;
};

/// Builds an object key by key.
class JsonObject {
 public:
  JsonObject();
  JsonObject(JsonObject&&) noexcept;
  JsonObject& operator=(JsonObject&&) noexcept;
  ~JsonObject();
  JsonObject& set(std::string_view key, std::string_view value);
  JsonObject& set_number(std::string_view key, std::uint64_t value);
  JsonObject& set_real(std::string_view key, double value);
  JsonObject& set_flag(std::string_view key, bool value);
  JsonObject& set_null(std::string_view key);
  JsonObject& set_object(std::string_view key, const JsonObject& value);
  JsonObject& set_view(std::string_view key, JsonView value);
  /// Makes `key` an array if it is none yet and appends.
  JsonObject& append(std::string_view key, const JsonObject& value);
  JsonObject& append_view(std::string_view key, JsonView value);
  JsonObject& set_texts(std::string_view key, std::span<const std::string> values);
  [[nodiscard]] bool empty() const;
  [[nodiscard]] std::string to_string() const;

 private:
  struct Object;
  std::unique_ptr<Object> object_;
};

}  // namespace lb::client
