// SPDX-License-Identifier: Apache-2.0
// JsonFields: reads the fields of a JSON document that nobody vouches for. The first thing that is
// wrong is kept, with the path of the field; after it every read gives a default, so that the
// caller asks once, at the end. One thread; json_read.cc and record.cc use it.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::observe {

class JsonFields {
 public:
  using Object = boost::json::object;
  using Value = boost::json::value;

  /// Error of the first field that was wrong: EINVAL, "rows[3].stack: ...".
  [[nodiscard]] Status status() const;
  [[nodiscard]] bool good() const { return message_.empty(); }
  /// Says what is wrong with the field `key` of the object that is being read.
  void wrong(std::string_view key, std::string_view why);

  /// Nothing there is an error in all of these.
  [[nodiscard]] std::string text(const Object& object, std::string_view key);
  [[nodiscard]] bool flag(const Object& object, std::string_view key);
  /// 0 to `max`.
  [[nodiscard]] std::uint64_t whole(const Object& object, std::string_view key, std::uint64_t max);
  [[nodiscard]] std::int64_t signed_whole(const Object& object, std::string_view key);
  /// A number, or "inf", "-inf", "nan".
  [[nodiscard]] double number(const Object& object, std::string_view key);
  /// "0x1f".
  [[nodiscard]] std::uint64_t hex(const Object& object, std::string_view key);
  /// An index below `size`, or null: kNone.
  [[nodiscard]] std::uint32_t index(const Object& object, std::string_view key, std::size_t size);
  [[nodiscard]] std::vector<std::string> texts(const Object& object, std::string_view key);
  /// The position of the text in `names`.
  template <class Names>
  [[nodiscard]] std::size_t one_of(const Object& object, std::string_view key, const Names& names) {
    const std::string given = text(object, key);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == given) return i;
    }
    wrong(key, "is not a known word");
    return 0;
  }

  [[nodiscard]] const Value& field(const Object& object, std::string_view key);
  [[nodiscard]] const Object& object_of(const Value& value, std::string_view key);
  [[nodiscard]] const boost::json::array& list(const Object& object, std::string_view key);

  /// read(value) for each item of the list `key`; stops when something is wrong.
  template <class Read>
  void each(const Object& object, std::string_view key, Read read) {
    std::size_t at = 0;
    for (const Value& item : list(object, key)) {
      path_.push_back({key, at++});
      read(item);
      path_.pop_back();
      if (!good()) return;
    }
  }
  /// read(object) for the object `key`.
  template <class Read>
  void inside(const Object& object, std::string_view key, Read read) {
    const Object& inner = object_of(field(object, key), key);
    path_.push_back({key, kNoIndex});
    read(inner);
    path_.pop_back();
  }

 private:
  static constexpr std::size_t kNoIndex = static_cast<std::size_t>(-1);
  struct Step {
    std::string_view key;
    std::size_t index;
  };
  std::vector<Step> path_;
  std::string message_;
};

}  // namespace lb::observe
