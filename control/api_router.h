// SPDX-License-Identifier: Apache-2.0
// ApiRouter: the calls of docs/api.md: method, target and body in, status and body out. No sockets
// and no Asio, so that tests and the fuzzer call it as ApiServer does. The input is hostile.
// Director's thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/controller.h"

namespace lb {

struct ApiRequest {
  std::string method;
  std::string target;  ///< path and query, percent-encoded
  std::string body;
};

struct ApiResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
};

class ApiRouter {
 public:
  explicit ApiRouter(Controller& controller) : controller_(controller) {}
  [[nodiscard]] ApiResponse handle(const ApiRequest& request);

 private:
  struct Call {
    std::vector<std::string> arguments;        // what {} in the path stands for, decoded
    std::map<std::string, std::string> query;  // decoded
    const std::string* body = nullptr;
  };
  using Handler = Result<ApiResponse> (ApiRouter::*)(const Call&);
  struct Route {
    std::string_view method, path;
    Handler handler;
  };
  static const std::vector<Route>& routes();

  Result<ApiResponse> get_version(const Call&);
  Result<ApiResponse> get_services(const Call&);
  Result<ApiResponse> get_service(const Call&);
  Result<ApiResponse> post_service(const Call&);
  Result<ApiResponse> patch_service(const Call&);
  Result<ApiResponse> delete_service(const Call&);
  Result<ApiResponse> post_rs(const Call&);
  Result<ApiResponse> patch_rs(const Call&);
  Result<ApiResponse> delete_rs(const Call&);
  Result<ApiResponse> post_drain(const Call&);
  Result<ApiResponse> get_slots(const Call&);
  Result<ApiResponse> get_acl(const Call&);
  Result<ApiResponse> post_acl(const Call&);
  Result<ApiResponse> post_acl_remove(const Call&);
  Result<ApiResponse> delete_acl(const Call&);
  Result<ApiResponse> get_flows(const Call&);
  Result<ApiResponse> get_explain(const Call&);
  Result<ApiResponse> get_ports(const Call&);
  Result<ApiResponse> get_workers(const Call&);
  Result<ApiResponse> get_neighbours(const Call&);
  Result<ApiResponse> get_drops(const Call&);
  Result<ApiResponse> get_handovers(const Call&);
  Result<ApiResponse> get_bpf(const Call&);
  Result<ApiResponse> get_stats(const Call&);
  Result<ApiResponse> get_memory(const Call&);
  Result<ApiResponse> get_config(const Call&);
  Result<ApiResponse> post_check(const Call&);
  Result<ApiResponse> post_reload(const Call&);
  Result<ApiResponse> get_panic(const Call&);
  Result<ApiResponse> post_panic(const Call&);

  /// What `change` makes of a service's access list.
  template <class Change>
  Result<ApiResponse> change_acl(const Call& call, Change change);

  struct RsPath {
    ServiceAddr service;
    IpAddr rs;
  };
  static Result<RsPath> rs_path(const Call& call);
  ApiResponse service_answer(const ServiceAddr& service);
  ApiResponse rs_answer(const RsPath& path);

  Controller& controller_;
};

/// An error that has no Refusal of its own (413, 405, malformed HTTP).
[[nodiscard]] ApiResponse api_error(int status, std::string_view code, std::string_view message);

/// Decodes %XX; an error for anything malformed.
[[nodiscard]] Result<std::string> percent_decode(std::string_view text);

}  // namespace lb
