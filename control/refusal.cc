// SPDX-License-Identifier: Apache-2.0
#include "control/refusal.h"

#include <algorithm>
#include <array>
#include <utility>

namespace lb {
namespace {

struct Row {
  int status;
  std::string_view word;
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

Row row_of(Refusal why) {
  switch (why) {
    case Refusal::BadRequest:
      return {400, "bad_request"};
    case Refusal::NoSuchService:
      return {404, "no_such_service"};
    case Refusal::NoSuchRealServer:
      return {404, "no_such_real_server"};
    case Refusal::Exists:
      return {409, "exists"};
    case Refusal::Clash:
      return {409, "clash"};
    case Refusal::TableFull:
      return {422, "table_full"};
    case Refusal::NotOnLink:
      return {422, "not_on_link"};
    case Refusal::BadConfig:
      return {422, "bad_config"};
  }
  return {500, "system"};
}

class RefusalCategory : public std::error_category {
 public:
  const char* name() const noexcept override { return "refusal"; }
  std::string message(int value) const override {
    return std::string(row_of(static_cast<Refusal>(value)).word);
  }
};

const RefusalCategory& category() noexcept {
  static const RefusalCategory instance;
  return instance;
}

Row row_of(const Error& error) {
  if (error.code.category() != category()) return {500, "system"};
  return row_of(static_cast<Refusal>(error.code.value()));
}

}  // namespace

std::error_code make_error_code(Refusal why) noexcept {
  return {std::to_underlying(why), category()};
}

std::unexpected<Error> refuse(Refusal why, std::string message) {
  return std::unexpected(Error{make_error_code(why), std::move(message)});
}

int http_status(const Error& error) noexcept { return row_of(error).status; }
std::string_view refusal_word(const Error& error) noexcept { return row_of(error).word; }

std::size_t edit_distance(std::string_view left, std::string_view right) {
  constexpr std::size_t kMax = 64;
  std::string a(left.substr(0, kMax)), b(right.substr(0, kMax));
  std::ranges::transform(a, a.begin(), lower);
  std::ranges::transform(b, b.begin(), lower);
  // Three rows of the Damerau-Levenshtein (optimal string alignment) table.
  std::array<std::array<std::size_t, kMax + 1>, 3> rows{};
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i - 1) % 3];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t swap_cost = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + swap_cost});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], rows[(i - 2) % 3][j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace lb
