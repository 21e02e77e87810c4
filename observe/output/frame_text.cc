// SPDX-License-Identifier: Apache-2.0
#include "observe/output/frame_text.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace lb::observe {

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::vector<FrameText> frame_texts(const Report& report, std::uint32_t frame) {
  const Frame& at = report.frames[frame];
  std::string module;
  if (at.object != kNone) module = file_name(report.objects[at.object].path);
  std::vector<FrameText> texts;
  for (const Place& place : at.places) {
    std::string source;
    if (!place.file.empty()) source = fmt::format("{}:{}", place.file, place.line);
    texts.push_back({place.function, module, std::move(source), place.inlined, true, at.kind});
  }
  if (!texts.empty()) return texts;
  std::string name = fmt::format("{:#x}", at.address);
  if (!module.empty()) name += fmt::format(" ({}+{:#x})", module, at.offset);
  texts.push_back({std::move(name), std::move(module), "", false, false, at.kind});
  return texts;
}

std::vector<FrameText> stack_texts(const Report& report, std::uint32_t stack) {
  std::vector<FrameText> texts;
  if (stack == kNone) return texts;
  for (std::uint32_t frame : report.stacks[stack].frames) {
    auto more = frame_texts(report, frame);
    texts.insert(texts.end(), std::move_iterator(more.begin()), std::move_iterator(more.end()));
  }
  return texts;
}

}  // namespace lb::observe
