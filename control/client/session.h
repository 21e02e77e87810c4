// SPDX-License-Identifier: Apache-2.0
// Session: what every command of lbctl has at hand: the API, where to print, and how.
// Reports a failure once, in the form asked for (a line for people, an object for --json).
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

#include "control/client/api_client.h"
#include "control/client/exit_code.h"
#include "control/client/json_doc.h"

namespace lb::client {

/// The options that stand before or after any command.
struct GlobalOptions {
  std::string socket{kDefaultSocket};
  bool json = false;   ///< print the API's object as it is
  bool human = false;  ///< 1.23M instead of 1234567
};

class Session {
 public:
  Session(GlobalOptions options, std::ostream& out, std::ostream& err, bool colour)
      : options_(std::move(options)),
        api_(options_.socket),
        out_(out),
        err_(err),
        colour_(colour) {}

  /// One call. Nothing when it failed or was refused: that has been reported then.
  [[nodiscard]] std::optional<JsonDoc> ask(std::string_view method, std::string_view target,
                                           std::string body = {});
  [[nodiscard]] std::optional<JsonDoc> get(std::string_view target) { return ask("GET", target); }
  /// As ask(), for a body or an answer that is not JSON.
  [[nodiscard]] std::optional<std::string> ask_text(
      std::string_view method, std::string_view target, std::string body = {},
      std::string_view content_type = "application/json");
  /// As ask(), but an answer of any status is given to the caller, who reports it if need be.
  [[nodiscard]] Result<ApiReply> try_call(std::string_view method, std::string_view target,
                                          std::string body = {}) const {
    return api_.call(method, target, std::move(body));
  }

  /// "lbctl: message" to stderr, or with --json {"error": {"code", "message"}} to stdout. Failed.
  ExitCode report(std::string_view code, std::string_view message);
  /// Reports an answer that is not 2xx.
  ExitCode report_refusal(const ApiReply& reply);
  /// What was done: `sentence` for people, or the answer itself with --json. Done.
  ExitCode done(const JsonDoc& answer, std::string_view sentence);

  void print(std::string_view text);
  /// To stderr: progress and warnings, which must not end up in a pipe.
  void note(std::string_view text);
  [[nodiscard]] const GlobalOptions& options() const { return options_; }
  [[nodiscard]] bool json() const { return options_.json; }
  [[nodiscard]] bool human() const { return options_.human; }
  [[nodiscard]] bool colour() const { return colour_; }
  /// For commands that print over time.
  [[nodiscard]] std::ostream& out() const { return out_; }
  [[nodiscard]] std::ostream& err() const { return err_; }

 private:
  GlobalOptions options_;
  ApiClient api_;
  std::ostream& out_;
  std::ostream& err_;
  bool colour_;
};

/// /v1/services/{service} with the address encoded.
[[nodiscard]] std::string service_path(std::string_view service);
/// /v1/services/{service}/real-servers/{rs}
[[nodiscard]] std::string rs_path(std::string_view service, std::string_view rs);

}  // namespace lb::client
