// SPDX-License-Identifier: Apache-2.0
#include "control/refusal.h"

#include <utility>

namespace lb {
namespace {

struct Row {
  int status;
  std::string_view word;
};

Row row_of(Refusal why) {
  switch (why) {
    case Refusal::BadRequest:
      return {400, "bad_request"};
    case Refusal::NoSuchService:
      return {404, "no_such_service"};
    case Refusal::NoSuchRealServer:
      return {404, "no_such_real_server"};
    case Refusal::NoSuchAclEntry:
      return {404, "no_such_acl_entry"};
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

}  // namespace lb
