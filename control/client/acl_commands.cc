// SPDX-License-Identifier: Apache-2.0
#include "control/client/acl_commands.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <utility>

#include "control/client/escape.h"
#include "control/client/show_views.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"
#include "dataplane/base/prefix.h"

namespace lb::client {
namespace {

constexpr std::size_t kFileMax = 256UL << 20;
/// Of a request: lbd is busy with them for some ten milliseconds.
constexpr std::size_t kAtOnce = 10'000;

std::string_view trimmed(std::string_view line) {
  line = line.substr(0, line.find('#'));
  const auto first = line.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

Result<std::string> read_file(const std::string& path) {
  if (path == "-") return read_whole(STDIN_FILENO, kFileMax);
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, "open");
  return read_whole(file.get(), kFileMax);
}

/// Arguments, then the lines of the file; an error is one of the command line or of the file.
Result<std::vector<std::string>> all_prefixes(const AclOptions& options) {
  std::vector<std::string> all;
  for (const std::string& text : options.prefixes) {
    LB_TRY_ASSIGN(IpPrefix prefix, IpPrefix::parse(text));
    all.push_back(prefix.to_string());
  }
  if (!options.file) return all;
  auto text = read_file(*options.file);
  if (!text) return fail_in(*options.file, std::move(text).error());
  auto lines = read_prefix_list(*text);
  if (!lines) return fail_in(*options.file, std::move(lines).error());
  all.insert(all.end(), std::make_move_iterator(lines->begin()),
             std::make_move_iterator(lines->end()));
  return all;
}

/// {"prefixes": [...]} and what `options` say to do with them.
std::string body_of(std::span<const std::string> prefixes, const AclOptions& options) {
  JsonObject body;
  if (options.deny) body.set("action", "deny");
  if (options.allow) body.set("action", "allow");
  if (options.limit) body.set_number("limit", *options.limit);
  if (options.burst) body.set_number("burst", *options.burst);
  body.set_texts("prefixes", prefixes);
  return body.to_string();
}

ExitCode usage(Session& session, std::string_view message) {
  session.report("usage", message);
  return ExitCode::Usage;
}

/// What is wrong with the options; empty: nothing.
std::string_view misuse_of_add(const AclOptions& options) {
  const int said = (options.deny ? 1 : 0) + (options.allow ? 1 : 0) + (options.limit ? 1 : 0);
  if (said != 1) return "add-acl needs one of --deny, --allow and --limit PPS";
  if (options.burst && !options.limit) return "--burst goes with --limit PPS";
  if (options.prefixes.empty() && !options.file) {
    return "add-acl needs a prefix, or --file with a list of them";
  }
  return {};
}

/// Sends the prefixes, kAtOnce a request; the last answer, or nothing: it was refused and reported.
struct Sent {
  std::optional<JsonDoc> answer;
  std::uint64_t before = 0;  ///< entries of the list
  std::size_t prefixes = 0;  ///< that were taken
};
Sent send_all(Session& session, std::span<const std::string> prefixes, const AclOptions& options,
              const std::string& target) {
  Sent sent;
  for (std::size_t at = 0; at < prefixes.size(); at += kAtOnce) {
    const auto part = prefixes.subspan(at, std::min(kAtOnce, prefixes.size() - at));
    sent.answer = session.ask("POST", target, body_of(part, options));
    if (!sent.answer) break;
    if (at == 0) sent.before = sent.answer->root().number("acl_entries_before");
    sent.prefixes += part.size();
  }
  return sent;
}

ExitCode stopped(Session& session, const Sent& sent, std::size_t all, std::string_view done) {
  if (sent.prefixes == 0) return ExitCode::Failed;
  session.note(fmt::format("lbctl: {} of {} prefixes were {} before that and stay so\n",
                           sent.prefixes, all, done));
  return ExitCode::Partly;
}

std::string entries(std::uint64_t count) {
  return count == 1 ? "1 entry" : fmt::format("{} entries", count);
}

std::string size_sentence(JsonView answer) {
  return fmt::format("it has {} now", entries(answer.number("acl_entries")));
}

ExitCode clear_acl(Session& session, const std::string& service) {
  auto answer = session.ask("DELETE", service_path(service) + "/acl");
  if (!answer) return ExitCode::Failed;
  return session.done(*answer, fmt::format("removed the access list of {}: {}", service,
                                           entries(answer->root().number("acl_entries_before"))));
}

}  // namespace

Result<std::vector<std::string>> read_prefix_list(std::string_view text) {
  std::vector<std::string> prefixes;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    auto prefix = IpPrefix::parse(line);
    if (!prefix) return fail_in(fmt::format("line {}", number), std::move(prefix).error());
    prefixes.push_back(prefix->to_string());
  }
  return prefixes;
}

ExitCode add_acl(Session& session, const AclOptions& options) {
  if (auto misuse = misuse_of_add(options); !misuse.empty()) return usage(session, misuse);
  auto prefixes = all_prefixes(options);
  if (!prefixes) return session.report("bad_request", prefixes.error().message);
  if (prefixes->empty()) return session.report("bad_request", *options.file + " has no prefix");
  Sent sent = send_all(session, *prefixes, options, service_path(options.service) + "/acl");
  if (!sent.answer) return stopped(session, sent, prefixes->size(), "added");
  auto answer = sent.answer->root();
  const std::uint64_t added = answer.number("acl_entries") - sent.before;
  const std::uint64_t there = prefixes->size() - added;
  return session.done(
      *sent.answer,
      fmt::format("added {} to the access list of {}{}; {}", entries(added), options.service,
                  there == 0 ? "" : fmt::format(", {} were there or twice in it", there),
                  size_sentence(answer)));
}

ExitCode del_acl(Session& session, const AclOptions& options) {
  const bool some = !options.prefixes.empty() || options.file;
  if (options.all == some) {
    return usage(session, "del-acl needs prefixes (or --file with a list of them), or --all");
  }
  if (options.all) return clear_acl(session, options.service);
  auto prefixes = all_prefixes(options);
  if (!prefixes) return session.report("bad_request", prefixes.error().message);
  if (prefixes->empty()) return session.report("bad_request", *options.file + " has no prefix");
  Sent sent = send_all(session, *prefixes, {}, service_path(options.service) + "/acl/remove");
  if (!sent.answer) return stopped(session, sent, prefixes->size(), "removed");
  auto answer = sent.answer->root();
  return session.done(*sent.answer, fmt::format("removed {} from the access list of {}; {}",
                                                entries(sent.before - answer.number("acl_entries")),
                                                options.service, size_sentence(answer)));
}

ExitCode show_acl(Session& session, const AclFilter& filter) {
  std::string query = fmt::format("/v1/acl?limit={}", filter.limit);
  if (filter.service) query += "&service=" + percent_encode(*filter.service);
  if (filter.match) query += "&match=" + percent_encode(*filter.match);
  auto answer = session.get(query);
  if (!answer) return ExitCode::Failed;
  const Style style{.human = session.human(), .colour = session.colour()};
  session.print(session.json() ? answer->text() + "\n"
                : filter.match ? acl_match_view(answer->root(), *filter.match, style)
                               : acl_view(answer->root(), style));
  return ExitCode::Done;
}

}  // namespace lb::client
