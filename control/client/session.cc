// SPDX-License-Identifier: Apache-2.0
#include "control/client/session.h"

#include <fmt/format.h>

#include <ostream>

#include "control/client/escape.h"

namespace lb::client {
namespace {

std::string_view code_of(const Error& error) {
  switch (error.code.value()) {
    case ENOENT:
    case ECONNREFUSED:
      return "not_running";
    case EACCES:
    case EPERM:
      return "no_permission";
    case EAGAIN:
      return "no_answer";
    default:
      return "no_connection";
  }
}

}  // namespace

std::optional<std::string> Session::ask_text(std::string_view method, std::string_view target,
                                             std::string body, std::string_view content_type) {
  auto reply = api_.call(method, target, std::move(body), content_type);
  if (!reply) {
    report(code_of(reply.error()), reply.error().message);
    return std::nullopt;
  }
  if (!reply->ok()) {
    report_refusal(*reply);
    return std::nullopt;
  }
  return std::move(reply->body);
}

std::optional<JsonDoc> Session::ask(std::string_view method, std::string_view target,
                                    std::string body) {
  auto text = ask_text(method, target, std::move(body));
  if (!text) return std::nullopt;
  auto doc = JsonDoc::parse(std::move(*text));
  if (!doc) {
    report("bad_answer",
           fmt::format("lbd answered {} {} with what is {}", method, target, doc.error().message));
    return std::nullopt;
  }
  return std::move(*doc);
}

ExitCode Session::report(std::string_view code, std::string_view message) {
  if (json()) {
    JsonObject error;
    error.set("code", code).set("message", message);
    print(JsonObject().set_object("error", error).to_string() + "\n");
  } else {
    err_ << "lbctl: " << message << '\n' << std::flush;
  }
  return ExitCode::Failed;
}

ExitCode Session::report_refusal(const ApiReply& reply) {
  auto doc = JsonDoc::parse(reply.body);
  auto error = doc ? doc->root().at("error") : JsonView();
  auto message = error.text("message");
  if (message.empty()) {
    message = fmt::format("lbd answered with status {} and no message", reply.status);
  }
  return report(error.text("code", "refused"), message);
}

ExitCode Session::done(const JsonDoc& answer, std::string_view sentence) {
  print(json() ? answer.text() : std::string(sentence));
  print("\n");
  return ExitCode::Done;
}

void Session::print(std::string_view text) { out_ << text << std::flush; }
void Session::note(std::string_view text) { err_ << text << std::flush; }

std::string service_path(std::string_view service) {
  return "/v1/services/" + percent_encode(service);
}
std::string rs_path(std::string_view service, std::string_view rs) {
  return service_path(service) + "/real-servers/" + percent_encode(rs);
}

}  // namespace lb::client
