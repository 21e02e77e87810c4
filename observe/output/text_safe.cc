// SPDX-License-Identifier: Apache-2.0
#include "observe/output/text_safe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace lb::observe {
namespace {

struct Point {
  std::uint32_t code = 0;
  std::size_t bytes = 0;  // 0: the first byte is not the start of valid UTF-8
};

/// The character at the start of `text` (not empty). Overlong forms, surrogates and codes over
/// U+10FFFF are not valid (RFC 3629, section 4).
Point first_point(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return {};
  std::uint32_t code = first & (0x7fU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3fU);
  }
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  if (overlong || surrogate || code > 0x10ffff) return {};
  return {code, bytes};
}

bool harmless(std::uint32_t code) {
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return false;
  if (code == 0x200e || code == 0x200f) return false;
  if (code >= 0x2028 && code <= 0x202e) return false;  // line separators, direction overrides
  if (code >= 0x2066 && code <= 0x2069) return false;
  return code != 0xfeff && code != 0xfffe && code != 0xffff;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Point point = first_point(text);
    const std::size_t bytes = std::max<std::size_t>(point.bytes, 1);
    if (point.bytes != 0 && harmless(point.code)) {
      out += text.substr(0, bytes);
    } else {
      for (char c : text.substr(0, bytes)) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      }
    }
    text.remove_prefix(bytes);
  }
  return out;
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Point point = first_point(text);
    if (point.bytes == 0) {
      out += "\xef\xbf\xbd";
      text.remove_prefix(1);
    } else {
      out += text.substr(0, point.bytes);
      text.remove_prefix(point.bytes);
    }
  }
  return out;
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string cut_to(std::string_view text, std::size_t columns_max) {
  if (columns_of(text) <= columns_max) return std::string(text);
  const std::size_t kept = columns_max > 2 ? columns_max - 2 : 0;
  std::string out;
  for (std::size_t i = 0; i < kept; ++i) {
    const std::size_t bytes = std::max<std::size_t>(first_point(text).bytes, 1);
    out += text.substr(0, bytes);
    text.remove_prefix(bytes);
  }
  return out + std::string(columns_max - kept, '.');
}

}  // namespace lb::observe
