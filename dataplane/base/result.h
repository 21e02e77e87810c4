// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value, or an Error that says in words what was wrong, where, and what to do.
// Any thread. Not for packets: those have a drop reason (bpf/lb_abi.h).
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <system_error>
#include <utility>

namespace lb {

/// An errno-like code for programs and a sentence for people. The sentence stands alone: it names
/// the object ("port eth1: ...") and, where one exists, the way to mend it.
struct Error {
  std::error_code code;
  std::string message;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

/// An error with an errno value, e.g. `return fail(EINVAL, "weight 70000 is over 65535")`.
[[nodiscard]] inline std::unexpected<Error> fail(int errno_value, std::string message) {
  return std::unexpected(
      Error{std::error_code(errno_value, std::system_category()), std::move(message)});
}

/// As fail(), with ": " and the text of the errno value appended.
[[nodiscard]] inline std::unexpected<Error> fail_errno(int errno_value, std::string what) {
  std::error_code code(errno_value, std::system_category());
  return std::unexpected(Error{code, std::move(what) + ": " + code.message()});
}

/// Passes an error on with "context: " before its message.
[[nodiscard]] inline std::unexpected<Error> fail_in(std::string context, Error error) {
  error.message = std::move(context) + ": " + error.message;
  return std::unexpected(std::move(error));
}

}  // namespace lb

/// Evaluates a Result or Status; returns its error from the enclosing function if it has one.
#define LB_TRY(expression)                                        \
  do {                                                            \
    if (auto lb_status = (expression); !lb_status) [[unlikely]] { \
      return std::unexpected(std::move(lb_status).error());       \
    }                                                             \
  } while (0)

#define LB_CONCAT2(a, b) a##b
#define LB_CONCAT(a, b) LB_CONCAT2(a, b)
#define LB_TRY_ASSIGN_(result, target, expression)     \
  auto result = (expression);                          \
  if (!result) [[unlikely]] {                          \
    return std::unexpected(std::move(result).error()); \
  }                                                    \
  target = std::move(*result)
/// `LB_TRY_ASSIGN(auto x, f())`: x is f()'s value, or the enclosing function returns f()'s error.
#define LB_TRY_ASSIGN(target, expression) \
  LB_TRY_ASSIGN_(LB_CONCAT(lb_result_, __LINE__), target, expression)
