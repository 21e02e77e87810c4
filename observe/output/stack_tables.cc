// SPDX-License-Identifier: Apache-2.0
#include "observe/output/stack_tables.h"

#include <fmt/format.h>

#include <iterator>

namespace lb::observe {
namespace {

void append_text(std::string& key, const std::string& text) {
  // The length in front keeps two texts from running into one.
  fmt::format_to(std::back_inserter(key), "{}:{}", text.size(), text);
}

void append_frame(std::string& key, const Report& report, const Frame& frame) {
  key += frame.kind == FrameKind::Kernel ? 'k' : 'u';
  if (frame.object == kNone) {
    fmt::format_to(std::back_inserter(key), "@{:x}/{}", frame.address, frame.pid);
    for (const Place& place : frame.places) append_text(key, place.function);
  } else {
    const MappedObject& object = report.objects[frame.object];
    append_text(key, object.path);
    append_text(key, object.build_id);
    fmt::format_to(std::back_inserter(key), "+{:x}", frame.offset);
  }
  key += ';';
}

}  // namespace

std::string stack_key(const Report& report, std::uint32_t stack) {
  if (stack == kNone) return {};
  std::string key = report.stacks[stack].cut ? "cut " : "whole ";
  for (std::uint32_t frame : report.stacks[stack].frames) {
    append_frame(key, report, report.frames[frame]);
  }
  return key;
}

std::vector<std::uint32_t> same_stacks(const Report& report) {
  std::vector<std::uint32_t> first_of;
  first_of.reserve(report.stacks.size());
  std::unordered_map<std::string, std::uint32_t> known;
  for (std::uint32_t stack = 0; stack < report.stacks.size(); ++stack) {
    first_of.push_back(known.try_emplace(stack_key(report, stack), stack).first->second);
  }
  return first_of;
}

std::uint32_t StackCopier::copy(std::uint32_t stack) {
  if (stack == kNone) return kNone;
  const auto [known, is_new] =
      stacks_.try_emplace(stack, static_cast<std::uint32_t>(to_.stacks.size()));
  if (is_new) {
    Stack copied{{}, from_.stacks[stack].cut};
    for (std::uint32_t frame : from_.stacks[stack].frames) {
      copied.frames.push_back(copy_frame(frame));
    }
    to_.stacks.push_back(std::move(copied));
  }
  return known->second;
}

std::uint32_t StackCopier::copy_frame(std::uint32_t frame) {
  const auto [known, is_new] =
      frames_.try_emplace(frame, static_cast<std::uint32_t>(to_.frames.size()));
  if (is_new) {
    Frame copied = from_.frames[frame];
    copied.object = copy_object(copied.object);
    to_.frames.push_back(std::move(copied));
  }
  return known->second;
}

std::uint32_t StackCopier::copy_object(std::uint32_t object) {
  if (object == kNone) return kNone;
  const auto [known, is_new] =
      objects_.try_emplace(object, static_cast<std::uint32_t>(to_.objects.size()));
  if (is_new) to_.objects.push_back(from_.objects[object]);
  return known->second;
}

}  // namespace lb::observe
