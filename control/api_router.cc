// SPDX-License-Identifier: Apache-2.0
// ApiRouter: the table of calls, and each call in a few lines: parse, ask the controller, show.
#include "control/api_router.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <utility>

#include "control/explain_query.h"
#include "control/flow_query.h"
#include "control/toml_writer.h"
#include "dataplane/base/clock.h"

namespace lb {
namespace {

constexpr std::size_t kSegmentsMax = 8;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (parts.size() <= kSegmentsMax) {
    std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) break;
    text.remove_prefix(at + 1);
  }
  return parts;
}

/// The segments of `path` that stand where the route has {}; nullopt when the path is not the
/// route's.
std::optional<std::vector<std::string_view>> match(std::string_view route,
                                                   const std::vector<std::string_view>& path) {
  auto pattern = split(route, '/');
  if (pattern.size() != path.size()) return std::nullopt;
  std::vector<std::string_view> arguments;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (pattern[i] == "{}" && !path[i].empty()) {
      arguments.push_back(path[i]);
    } else if (pattern[i] != path[i]) {
      return std::nullopt;
    }
  }
  return arguments;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::map<std::string, std::string>> parse_query(std::string_view text) {
  std::map<std::string, std::string> query;
  while (!text.empty()) {
    std::size_t end = text.find('&');
    std::string_view item = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (item.empty()) continue;
    std::size_t equals = item.find('=');
    LB_TRY_ASSIGN(std::string key, percent_decode(item.substr(0, equals)));
    std::string_view raw =
        equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1);
    LB_TRY_ASSIGN(std::string value, percent_decode(raw));
    if (value.empty()) continue;  // "?service=&rs=": not said
    if (!query.emplace(key, value).second) {
      return refuse(Refusal::BadRequest, "\"" + key + "\" is in the query twice");
    }
  }
  return query;
}

Result<ServiceAddr> parse_service(const std::string& text) {
  auto address = ServiceAddr::parse(text);
  if (!address) return refuse(Refusal::BadRequest, std::move(address).error().message);
  return *address;
}

ApiResponse json(std::string body) {
  return {.status = 200, .body = std::move(body), .content_type = "application/json"};
}

ApiResponse error_answer(const Error& error) {
  return {
      .status = http_status(error), .body = error_json(error), .content_type = "application/json"};
}

}  // namespace

ApiResponse api_error(int status, std::string_view code, std::string_view message) {
  boost::json::value body = {{"error", {{"code", code}, {"message", message}}}};
  return {
      .status = status, .body = boost::json::serialize(body), .content_type = "application/json"};
}

Result<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    bool whole = i + 2 < text.size();
    int high = whole ? hex_digit(text[i + 1]) : -1;
    int low = whole ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return refuse(Refusal::BadRequest,
                    "the path has a % without two hexadecimal digits after it");
    }
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

const std::vector<ApiRouter::Route>& ApiRouter::routes() {
  static const std::vector<Route> kRoutes = {
      {"GET", "/v1/version", &ApiRouter::get_version},
      {"GET", "/v1/services", &ApiRouter::get_services},
      {"POST", "/v1/services", &ApiRouter::post_service},
      {"GET", "/v1/services/{}", &ApiRouter::get_service},
      {"PATCH", "/v1/services/{}", &ApiRouter::patch_service},
      {"DELETE", "/v1/services/{}", &ApiRouter::delete_service},
      {"POST", "/v1/services/{}/real-servers", &ApiRouter::post_rs},
      {"PATCH", "/v1/services/{}/real-servers/{}", &ApiRouter::patch_rs},
      {"DELETE", "/v1/services/{}/real-servers/{}", &ApiRouter::delete_rs},
      {"POST", "/v1/services/{}/real-servers/{}/drain", &ApiRouter::post_drain},
      {"GET", "/v1/services/{}/slots", &ApiRouter::get_slots},
      {"POST", "/v1/services/{}/acl", &ApiRouter::post_acl},
      {"DELETE", "/v1/services/{}/acl", &ApiRouter::delete_acl},
      {"POST", "/v1/services/{}/acl/remove", &ApiRouter::post_acl_remove},
      {"GET", "/v1/acl", &ApiRouter::get_acl},
      {"GET", "/v1/flows", &ApiRouter::get_flows},
      {"GET", "/v1/explain", &ApiRouter::get_explain},
      {"GET", "/v1/ports", &ApiRouter::get_ports},
      {"GET", "/v1/workers", &ApiRouter::get_workers},
      {"GET", "/v1/neighbours", &ApiRouter::get_neighbours},
      {"GET", "/v1/drops", &ApiRouter::get_drops},
      {"GET", "/v1/handovers", &ApiRouter::get_handovers},
      {"GET", "/v1/bpf", &ApiRouter::get_bpf},
      {"GET", "/v1/stats", &ApiRouter::get_stats},
      {"GET", "/v1/memory", &ApiRouter::get_memory},
      {"GET", "/v1/config", &ApiRouter::get_config},
      {"POST", "/v1/check", &ApiRouter::post_check},
      {"POST", "/v1/reload", &ApiRouter::post_reload},
      {"GET", "/v1/panic", &ApiRouter::get_panic},
      {"POST", "/v1/panic", &ApiRouter::post_panic},
  };
  return kRoutes;
}

ApiResponse ApiRouter::handle(const ApiRequest& request) {
  std::string_view target = request.target;
  std::size_t question = target.find('?');
  std::string_view path = target.substr(0, question);
  auto segments = split(path, '/');
  std::string allowed;
  for (const Route& route : routes()) {
    auto arguments = match(route.path, segments);
    if (!arguments) continue;
    if (route.method != request.method) {
      allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
      continue;
    }
    Call call;
    call.body = &request.body;
    for (std::string_view argument : *arguments) {
      auto decoded = percent_decode(argument);
      if (!decoded) return error_answer(decoded.error());
      call.arguments.push_back(std::move(*decoded));
    }
    if (question != std::string_view::npos) {
      auto query = parse_query(target.substr(question + 1));
      if (!query) return error_answer(query.error());
      call.query = std::move(*query);
    }
    auto answer = (this->*route.handler)(call);
    return answer ? std::move(*answer) : error_answer(answer.error());
  }
  if (!allowed.empty()) {
    return api_error(405, "method_not_allowed",
                     "this path takes " + allowed + ", not " + request.method);
  }
  return api_error(404, "no_such_path", "there is no such path; docs/api.md lists the calls");
}

ApiResponse ApiRouter::service_answer(const ServiceAddr& service) {
  return json(service_json(controller_.view(), service));
}

ApiResponse ApiRouter::rs_answer(const RsPath& path) {
  return json(rs_json(controller_.view(), path.service, path.rs));
}

Result<ApiRouter::RsPath> ApiRouter::rs_path(const Call& call) {
  LB_TRY_ASSIGN(ServiceAddr service, parse_service(call.arguments[0]));
  auto rs = IpAddr::parse(call.arguments[1]);
  if (!rs) return refuse(Refusal::BadRequest, std::move(rs).error().message);
  return RsPath{.service = service, .rs = *rs};
}

Result<ApiResponse> ApiRouter::get_version(const Call&) {
  return json(version_json(controller_.version()));
}

Result<ApiResponse> ApiRouter::get_services(const Call&) {
  return json(services_json(controller_.view()));
}

Result<ApiResponse> ApiRouter::get_service(const Call& call) {
  LB_TRY_ASSIGN(ServiceAddr service, parse_service(call.arguments[0]));
  LB_TRY(controller_.registry().service(service));
  return service_answer(service);
}

Result<ApiResponse> ApiRouter::post_service(const Call& call) {
  LB_TRY_ASSIGN(AddServiceRequest request, parse_add_service(*call.body));
  LB_TRY(controller_.add_service(request));
  return service_answer(request.address);
}

Result<ApiResponse> ApiRouter::patch_service(const Call& call) {
  LB_TRY_ASSIGN(ServiceAddr service, parse_service(call.arguments[0]));
  LB_TRY_ASSIGN(ServicePatch patch, parse_set_service(*call.body));
  LB_TRY(controller_.set_service(service, patch));
  return service_answer(service);
}

Result<ApiResponse> ApiRouter::delete_service(const Call& call) {
  LB_TRY_ASSIGN(ServiceAddr service, parse_service(call.arguments[0]));
  LB_TRY(controller_.del_service(service));
  return json("{}");
}

Result<ApiResponse> ApiRouter::post_rs(const Call& call) {
  LB_TRY_ASSIGN(ServiceAddr service, parse_service(call.arguments[0]));
  LB_TRY_ASSIGN(AddRsRequest request, parse_add_rs(*call.body));
  LB_TRY(controller_.add_rs(service, request));
  return rs_answer({.service = service, .rs = request.address});
}

Result<ApiResponse> ApiRouter::patch_rs(const Call& call) {
  LB_TRY_ASSIGN(RsPath path, rs_path(call));
  LB_TRY_ASSIGN(RsPatch patch, parse_set_rs(*call.body));
  LB_TRY(controller_.set_rs(path.service, path.rs, patch));
  return rs_answer(path);
}

Result<ApiResponse> ApiRouter::delete_rs(const Call& call) {
  LB_TRY_ASSIGN(RsPath path, rs_path(call));
  LB_TRY(controller_.del_rs(path.service, path.rs));
  return json("{}");
}

Result<ApiResponse> ApiRouter::post_drain(const Call& call) {
  LB_TRY_ASSIGN(RsPath path, rs_path(call));
  LB_TRY_ASSIGN(std::uint64_t timeout_ms, parse_drain(*call.body));
  LB_TRY(controller_.drain_rs(path.service, path.rs, timeout_ms));
  return rs_answer(path);
}

Result<ApiResponse> ApiRouter::get_slots(const Call& call) {
  LB_TRY_ASSIGN(ServiceAddr service, parse_service(call.arguments[0]));
  LB_TRY_ASSIGN(const ServiceEntry* entry, controller_.registry().service(service));
  auto table = controller_.slot_table(entry->id);
  return json(slots_json(service, entry->settings, table.get(), boot_s_now()));
}

Result<ApiResponse> ApiRouter::get_acl(const Call& call) {
  LB_TRY_ASSIGN(AclQuery query, AclQuery::parse(call.query));
  LB_TRY_ASSIGN(AclSelection selection,
                select_acl(query, controller_.registry(), controller_.dataplane()));
  return json(acl_json(controller_.registry(), selection));
}

template <class Change>
Result<ApiResponse> ApiRouter::change_acl(const Call& call, Change change) {
  LB_TRY_ASSIGN(ServiceAddr service, parse_service(call.arguments[0]));
  LB_TRY_ASSIGN(const ServiceEntry* entry, controller_.registry().service(service));
  const std::size_t before = entry->acl.size();
  LB_TRY(change(service));
  LB_TRY_ASSIGN(entry, controller_.registry().service(service));
  return json(acl_change_json(service, before, entry->acl.size()));
}

Result<ApiResponse> ApiRouter::post_acl(const Call& call) {
  return change_acl(call, [&](const ServiceAddr& service) -> Status {
    LB_TRY_ASSIGN(AddAclRequest request, parse_add_acl(*call.body));
    return controller_.add_acl(service, request);
  });
}

Result<ApiResponse> ApiRouter::post_acl_remove(const Call& call) {
  return change_acl(call, [&](const ServiceAddr& service) -> Status {
    LB_TRY_ASSIGN(std::vector<IpPrefix> prefixes, parse_del_acl(*call.body));
    return controller_.del_acl(service, prefixes);
  });
}

Result<ApiResponse> ApiRouter::delete_acl(const Call& call) {
  return change_acl(call,
                    [&](const ServiceAddr& service) { return controller_.clear_acl(service); });
}

Result<ApiResponse> ApiRouter::get_flows(const Call& call) {
  LB_TRY_ASSIGN(FlowQuery query, FlowQuery::parse(call.query));
  FlowSelection selection =
      select_flows(query, controller_.registry(), controller_.dataplane(), tick_ms_now());
  return json(flows_json(controller_.registry(), selection.rows, selection.total));
}

Result<ApiResponse> ApiRouter::get_explain(const Call& call) {
  Dataplane& dataplane = controller_.dataplane();
  const std::vector<PortInfo> ports = dataplane.ports();
  LB_TRY_ASSIGN(const ExplainRequest request, parse_explain(call.query, ports));
  LB_TRY_ASSIGN(const Explanation answer, dataplane.explain(request));
  return json(explain_json({.registry = controller_.registry(),
                            .request = request,
                            .answer = answer,
                            .ports = ports,
                            .now = tick_ms_now(),
                            .boot_s = boot_s_now()}));
}

Result<ApiResponse> ApiRouter::get_ports(const Call&) {
  return json(ports_json(controller_.dataplane().ports()));
}

Result<ApiResponse> ApiRouter::get_workers(const Call&) {
  return json(workers_json(controller_.dataplane().workers()));
}

Result<ApiResponse> ApiRouter::get_neighbours(const Call&) {
  return json(neighbours_json(controller_.neighbours()));
}

Result<ApiResponse> ApiRouter::get_drops(const Call&) {
  const Dataplane& dataplane = controller_.dataplane();
  return json(drops_json(dataplane.ports(), dataplane.workers(), controller_.stats()));
}

Result<ApiResponse> ApiRouter::get_handovers(const Call&) {
  return json(handovers_json(controller_.dataplane().ports()));
}

Result<ApiResponse> ApiRouter::get_bpf(const Call&) {
  return json(bpf_json(controller_.dataplane().bpf()));
}

Result<ApiResponse> ApiRouter::get_stats(const Call&) {
  return json(stats_json(controller_.view(), controller_.dataplane().workers(),
                         controller_.dataplane().ports(), monotonic_ns()));
}

Result<ApiResponse> ApiRouter::get_memory(const Call&) {
  auto workers = static_cast<std::uint32_t>(controller_.dataplane().workers().size());
  return json(memory_json(plan_memory(controller_.config(), workers)));
}

Result<ApiResponse> ApiRouter::get_config(const Call&) {
  constexpr std::uint64_t kAclMax = 100'000;
  if (controller_.registry().acl_entries() > kAclMax) {
    return refuse(Refusal::TableFull,
                  "the access lists have " + std::to_string(controller_.registry().acl_entries()) +
                      " entries, and a config file is made for " + std::to_string(kAclMax) +
                      " at most: what lbctl has added is kept over a restart without it");
  }
  ApiResponse answer = json(to_toml(running_config(controller_.config(), controller_.registry())));
  answer.content_type = "text/plain; charset=utf-8";
  return answer;
}

Result<ApiResponse> ApiRouter::post_check(const Call& call) {
  LB_TRY_ASSIGN(Config config, Config::parse(*call.body, "config"));
  auto workers = static_cast<std::uint32_t>(controller_.dataplane().workers().size());
  return json(check_json(config, plan_memory(config, workers)));
}

Result<ApiResponse> ApiRouter::post_reload(const Call&) {
  LB_TRY_ASSIGN(ReloadReport report, controller_.reload());
  return json(reload_json(report));
}

Result<ApiResponse> ApiRouter::get_panic(const Call&) {
  return json(panic_json(controller_.dataplane().panic()));
}

Result<ApiResponse> ApiRouter::post_panic(const Call& call) {
  LB_TRY_ASSIGN(bool on, parse_panic(*call.body));
  LB_TRY(controller_.set_panic(on));
  return json(panic_json(on));
}

}  // namespace lb
