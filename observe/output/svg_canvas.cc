// SPDX-License-Identifier: Apache-2.0
#include "observe/output/svg_canvas.h"

#include <fmt/format.h>

#include <iterator>

#include "observe/output/text_safe.h"

namespace lb::observe {

std::string xml_text(std::string_view text) {
  std::string out;
  for (char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::size_t characters_in(double width) {
  return width <= 0 ? 0 : static_cast<std::size_t>(width / kCharWidth);
}

std::vector<std::string> wrapped(std::string_view text, std::size_t columns_max) {
  std::vector<std::string> lines;
  const std::string safe = printable(text);
  std::string_view rest = safe;
  while (!rest.empty()) {
    const std::size_t space = rest.find(' ');
    const std::string word = cut_to(rest.substr(0, space), columns_max);
    rest = space == std::string_view::npos ? "" : rest.substr(space + 1);
    if (lines.empty() || columns_of(lines.back()) + 1 + columns_of(word) > columns_max) {
      lines.push_back(word);
    } else {
      lines.back() += " " + word;
    }
  }
  return lines;
}

void SvgCanvas::rect(double x, double y, double width, double height, std::string_view attributes) {
  fmt::format_to(std::back_inserter(body_),
                 "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" {}/>\n", x, y,
                 width, height, attributes);
}

void SvgCanvas::text(double x, double y, std::string_view words, std::string_view attributes) {
  fmt::format_to(std::back_inserter(body_), "<text x=\"{:.2f}\" y=\"{:.2f}\" {}>{}</text>\n", x, y,
                 attributes, xml_text(words));
}

void SvgCanvas::line(Point from, Point to, std::string_view attributes) {
  fmt::format_to(std::back_inserter(body_),
                 "<line x1=\"{:.2f}\" y1=\"{:.2f}\" x2=\"{:.2f}\" y2=\"{:.2f}\" {}/>\n", from.x,
                 from.y, to.x, to.y, attributes);
}

void SvgCanvas::polyline(const std::vector<Point>& points, std::string_view attributes) {
  body_ += "<polyline points=\"";
  for (const Point& point : points) {
    fmt::format_to(std::back_inserter(body_), "{:.2f},{:.2f} ", point.x, point.y);
  }
  fmt::format_to(std::back_inserter(body_), "\" {}/>\n", attributes);
}

void SvgCanvas::title(std::string_view words) {
  body_ += "<title>";
  // Lines are ours to break: all else that is not printable is escaped.
  for (;;) {
    const std::size_t end = words.find('\n');
    body_ += xml_text(words.substr(0, end));
    if (end == std::string_view::npos) break;
    body_ += '\n';
    words.remove_prefix(end + 1);
  }
  body_ += "</title>\n";
}

void SvgCanvas::open_group(std::string_view attributes) {
  fmt::format_to(std::back_inserter(body_), "<g {}>\n", attributes);
}

void SvgCanvas::close_group() { body_ += "</g>\n"; }

std::string SvgCanvas::document(double height, std::string_view style,
                                std::string_view script) const {
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "viewBox=\"0 0 {0:.0f} {1:.0f}\">\n<style>{2}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{3}"
      "<script><![CDATA[{4}]]></script>\n</svg>\n",
      kPageWidth, height, style, body_, script);
}

}  // namespace lb::observe
