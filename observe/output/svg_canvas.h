// SPDX-License-Identifier: Apache-2.0
// SvgCanvas: collects the elements of a picture; whatever text it is given, the result is
// well-formed XML. The sizes that all parts of the page share stand here too. One thread; svg.cc,
// growth.cc and flame_graph.cc draw on it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lb::observe {

inline constexpr double kPageWidth = 1200;  ///< in px, as all lengths
inline constexpr double kPageMargin = 20;
inline constexpr double kCharWidth = 6.7;  ///< of the page's font, 11 px monospace
inline constexpr double kLineHeight = 17;

/// `text`, made printable(), as XML text or attribute value.
[[nodiscard]] std::string xml_text(std::string_view text);

/// As many whole characters as `width` has room for.
[[nodiscard]] std::size_t characters_in(double width);

/// Words of `text` in lines of at most `columns_max` characters; a longer word is cut.
[[nodiscard]] std::vector<std::string> wrapped(std::string_view text, std::size_t columns_max);

class SvgCanvas {
 public:
  struct Point {
    double x = 0, y = 0;
  };

  /// `attributes` stand in the tag as they are: they are ours, never input.
  void rect(double x, double y, double width, double height, std::string_view attributes);
  void text(double x, double y, std::string_view words, std::string_view attributes = {});
  void line(Point from, Point to, std::string_view attributes);
  void polyline(const std::vector<Point>& points, std::string_view attributes);
  void title(std::string_view words);
  void open_group(std::string_view attributes);
  void close_group();

  /// The whole document around what was drawn; the script runs where there is a browser.
  [[nodiscard]] std::string document(double height, std::string_view style,
                                     std::string_view script) const;

 private:
  std::string body_;
};

}  // namespace lb::observe
