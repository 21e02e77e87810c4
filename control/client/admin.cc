// SPDX-License-Identifier: Apache-2.0
#include "control/client/admin.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "control/client/escape.h"
#include "control/client/show_views.h"
#include "control/client/table.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"
#include "dataplane/base/units.h"

namespace lb::client {
namespace {

/// As much as the API takes in one request.
constexpr std::size_t kConfigBytesMax = 1 << 20;

Result<std::string> read_all(const std::string& file) {
  Fd opened;
  int fd = STDIN_FILENO;
  if (file != "-") {
    opened.reset(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened) return fail_errno(errno, fmt::format("cannot read {}", file));
    fd = opened.get();
  }
  auto text = read_whole(fd, kConfigBytesMax);
  if (text) return text;
  if (text.error().code == std::errc::file_too_large) {
    return fail(EFBIG, fmt::format("{} is larger than 1 MiB, the most that lbd takes", file));
  }
  return fail_in(fmt::format("cannot read {}", file), std::move(text).error());
}

/// The old file or the new one is there at any time, never half of one.
Status replace_file(const std::string& file, std::string_view text) {
  struct stat info{};
  if (::stat(file.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return fail_errno(errno, fmt::format("cannot write {}", file));
    return write_whole(fd.get(), text);  // /dev/stdout, a FIFO: nothing to rename over
  }
  auto beside = fmt::format("{}.new.{}", file, ::getpid());
  Fd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
  if (!fd) return fail_errno(errno, fmt::format("cannot write {}", beside));
  auto status = write_whole(fd.get(), text);
  if (status && ::rename(beside.c_str(), file.c_str()) != 0) status = fail_errno(errno, "rename");
  if (status) return {};
  ::unlink(beside.c_str());
  return fail_in(fmt::format("cannot write {}", file), status.error());
}

/// lbd was given a text without a name and calls it "config"; say which file was meant.
std::string with_file_name(std::string_view message, const std::string& file) {
  constexpr std::string_view kTheirs = "config:";
  std::string out;
  while (!message.empty()) {
    auto line = message.substr(0, message.find('\n'));
    message.remove_prefix(std::min(message.size(), line.size() + 1));
    if (line.starts_with(kTheirs)) {
      line.remove_prefix(kTheirs.size());
      out += (file == "-" ? std::string("stdin") : file) + ":";
    }
    out += line;
    if (!message.empty()) out += '\n';
  }
  return out;
}

}  // namespace

ExitCode save(Session& session, const std::optional<std::string>& file) {
  auto text = session.ask_text("GET", "/v1/config");
  if (!text) return ExitCode::Failed;
  if (!file) {
    session.print(*text);
    return ExitCode::Done;
  }
  if (auto status = replace_file(*file, *text); !status) {
    return session.report("write_failed", status.error().message);
  }
  if (!session.json()) {
    session.print(fmt::format("wrote {} ({} bytes)\n", *file, text->size()));
    return ExitCode::Done;
  }
  JsonObject answer;
  session.print(answer.set("file", *file).set_number("bytes", text->size()).to_string() + "\n");
  return ExitCode::Done;
}

ExitCode check(Session& session, const std::string& file) {
  auto text = read_all(file);
  if (!text) return session.report("read_failed", text.error().message);
  auto reply = session.try_call("POST", "/v1/check", std::move(*text));
  if (!reply) {
    return session.report(
        "not_running",
        fmt::format("{}; without a running lbd, check with `lbd --check --config {}`",
                    reply.error().message, file));
  }
  if (!reply->ok()) {
    auto refusal = JsonDoc::parse(reply->body);
    auto error = refusal ? refusal->root().at("error") : JsonView();
    if (!error.has("message")) return session.report_refusal(*reply);
    return session.report(error.text("code"), with_file_name(error.text("message"), file));
  }
  auto doc = JsonDoc::parse(reply->body);
  if (!doc) return session.report("bad_answer", "lbd's answer is " + doc.error().message);
  auto root = doc->root();
  return session.done(*doc, fmt::format("{} is good: {}, {}, {} of memory", file,
                                        counted(root.number("services"), "service"),
                                        counted(root.number("real_servers"), "real server"),
                                        format_bytes(root.number("memory_bytes"), true)));
}

ExitCode reload(Session& session) {
  auto answer = session.ask("POST", "/v1/reload");
  if (!answer) return ExitCode::Failed;
  auto changed = answer->root().items("changed");
  std::string sentence = changed.empty()
                             ? "reloaded: nothing had changed"
                             : fmt::format("reloaded, {}:", counted(changed.size(), "change"));
  for (auto change : changed) sentence += "\n  " + printable(change.text());
  return session.done(*answer, sentence);
}

ExitCode panic(Session& session, const std::string& what) {
  auto answer =
      what == "status"
          ? session.get("/v1/panic")
          : session.ask("POST", "/v1/panic", JsonObject().set_flag("on", what == "on").to_string());
  if (!answer) return ExitCode::Failed;
  bool on = answer->root().flag("on");
  return session.done(*answer,
                      on ? "panic is on: every packet passes to the kernel, none is balanced"
                         : "panic is off: packets are balanced");
}

namespace {

/// Adds what is wrong with ports and workers to the text and the report; true when nothing is.
bool check_dataplane(Session& session, JsonView ports, JsonView workers, std::string& text,
                     JsonObject& report) {
  bool well = true;
  const std::string problem_word = paint("PROBLEM", Tone::Bad, session.colour());
  report.append_view("ports", {});
  for (auto port : ports.items("ports")) {
    auto problem = port.text("problem");
    if (problem.empty()) continue;
    well = false;
    text += fmt::format("{}  {}  {}\n", port.text("interface"), problem_word, printable(problem));
    report.append("ports",
                  JsonObject().set("interface", port.text("interface")).set("problem", problem));
  }
  report.append_view("workers", {});
  for (auto worker : workers.items("workers")) {
    auto idle_ms = worker.number("last_step_ms");
    if (idle_ms <= kWorkerHangsMs) continue;
    well = false;
    auto problem = fmt::format(
        "no step for {} ms: XDP decides for its queue what it can, the rest is dropped", idle_ms);
    text += fmt::format("worker {}  {}  {}\n", worker.text("worker"), problem_word, problem);
    report.append(
        "workers",
        JsonObject().set_number("worker", worker.number("worker")).set("problem", problem));
  }
  return well;
}

}  // namespace

ExitCode check_health(Session& session, const std::optional<std::string>& service) {
  auto answer = session.get(service ? service_path(*service) : std::string("/v1/services"));
  if (!answer) return ExitCode::Failed;
  auto ports = session.get("/v1/ports");
  if (!ports) return ExitCode::Failed;
  auto workers = session.get("/v1/workers");
  if (!workers) return ExitCode::Failed;
  auto services = service ? std::vector{answer->root()} : answer->root().items("services");
  std::string text;
  JsonObject report;
  report.append_view("services", {});
  bool well = true;
  for (auto one : services) {
    auto servers = one.items("real_servers");
    auto up = static_cast<std::size_t>(std::ranges::count_if(servers, takes_new_flows));
    well = well && up > 0;
    auto word = up == 0 ? paint("DOWN", Tone::Bad, session.colour())
                        : paint("ok", Tone::Good, session.colour());
    text += fmt::format("{}  {}  {}/{} real servers take new flows\n", one.text("address"), word,
                        up, servers.size());
    JsonObject line;
    line.set("address", one.text("address")).set_flag("healthy", up > 0);
    report.append("services", line.set_number("up", up).set_number("real_servers", servers.size()));
  }
  if (services.empty()) text = "no services\n";
  well = check_dataplane(session, ports->root(), workers->root(), text, report) && well;
  report.set_flag("healthy", well);
  session.print(session.json() ? report.to_string() + "\n" : text);
  return well ? ExitCode::Done : ExitCode::Unhealthy;
}

}  // namespace lb::client
