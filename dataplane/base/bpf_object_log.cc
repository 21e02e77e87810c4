// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/bpf_object_log.h"

#include <bpf/libbpf.h>

#include <array>
#include <cstdarg>
#include <cstdio>

namespace lb {
namespace {

thread_local BpfLog* current = nullptr;

int print(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG || current == nullptr) return 0;
  std::array<char, 1024> line{};
  int bytes = std::vsnprintf(line.data(), line.size(), format, arguments);
  if (bytes > 0) current->append(line.data());
  return bytes;
}

std::string_view last_line(std::string_view text, bool (*wanted)(std::string_view)) {
  while (!text.empty()) {
    auto end = text.find_last_not_of('\n');
    if (end == std::string_view::npos) break;
    auto start = text.rfind('\n', end);
    auto line = text.substr(start + 1, end - start);
    if (wanted(line)) return line;
    if (start == std::string_view::npos) break;
    text = text.substr(0, start);
  }
  return {};
}

}  // namespace

BpfLog::BpfLog() {
  current = this;
  libbpf_set_print(print);
}

BpfLog::~BpfLog() { current = nullptr; }

std::string BpfLog::reason() const {
  auto line = last_line(verifier_, [](std::string_view text) {
    return !text.starts_with("processed ") && !text.starts_with("verification time") &&
           !text.starts_with("stack depth");
  });
  if (line.empty()) {
    line = last_line(text_, [](std::string_view text) {
      return !text.empty() && text.find("failed to load") == std::string_view::npos &&
             text.find("PROG LOAD LOG") == std::string_view::npos;
    });
  }
  return std::string(line);
}

std::string BpfLog::failed_program() const {
  constexpr std::string_view kBefore = "prog '";
  auto line = last_line(text_, [](std::string_view text) {
    return text.find("prog '") != std::string_view::npos &&
           text.find("failed") != std::string_view::npos;
  });
  auto start = line.find(kBefore);
  if (start == std::string_view::npos) return {};
  start += kBefore.size();
  return std::string(line.substr(start, line.find('\'', start) - start));
}

}  // namespace lb
