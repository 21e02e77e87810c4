// SPDX-License-Identifier: Apache-2.0
#include "control/requests.h"

#include <fmt/format.h>

#include "control/acl_reader.h"
#include "control/settings_reader.h"
#include "control/tree_reader.h"

namespace lb {
namespace {

/// Parses `body`, an object, with `read(reader)`; refuses it whole when the reader noted anything.
template <class Read>
auto parse_body(std::string_view body, Read read)
    -> Result<decltype(read(std::declval<TableReader&>()))> {
  LB_TRY_ASSIGN(Tree tree, parse_json(body));
  if (tree.kind != Tree::Kind::Table) {
    return refuse(Refusal::BadRequest,
                  fmt::format("the body is {}, an object belongs there", kind_name(tree.kind)));
  }
  Problems problems(Notation::Json, "");
  TableReader reader(tree, "", problems);
  auto value = read(reader);
  reader.finish();
  if (!problems.empty()) return problems.refusal(Refusal::BadRequest);
  return value;
}

}  // namespace

Result<AddServiceRequest> parse_add_service(std::string_view body) {
  return parse_body(body, [](TableReader& reader) {
    auto address = read_service_address(reader);
    return AddServiceRequest{address.value_or(ServiceAddr()), read_service_patch(reader)};
  });
}

Result<ServicePatch> parse_set_service(std::string_view body) {
  return parse_body(body, &read_service_patch);
}

Result<AddRsRequest> parse_add_rs(std::string_view body) {
  return parse_body(body, [](TableReader& reader) {
    auto address = read_rs_address(reader);
    return AddRsRequest{address.value_or(IpAddr()), read_rs_patch(reader)};
  });
}

Result<RsPatch> parse_set_rs(std::string_view body) { return parse_body(body, &read_rs_patch); }

Result<std::uint64_t> parse_drain(std::string_view body) {
  constexpr std::uint32_t kWeekMs = 7 * 24 * 3'600'000;
  return parse_body(body.empty() ? "{}" : body, [](TableReader& reader) -> std::uint64_t {
    return reader.duration_ms("timeout", 0, kWeekMs).value_or(0);
  });
}

Result<AddAclRequest> parse_add_acl(std::string_view body) {
  return parse_body(body, [](TableReader& reader) {
    AddAclRequest request;
    request.prefixes = read_prefixes(reader);
    AclEntry entry;
    read_acl_action(reader, entry);
    request.rate = entry.rate;
    request.burst = entry.burst;
    return request;
  });
}

Result<std::vector<IpPrefix>> parse_del_acl(std::string_view body) {
  return parse_body(body, &read_prefixes);
}

Result<bool> parse_panic(std::string_view body) {
  return parse_body(body, [](TableReader& reader) {
    reader.require("on", "{\"on\": true}");
    return reader.boolean("on").value_or(false);
  });
}

}  // namespace lb
