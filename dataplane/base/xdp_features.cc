// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/xdp_features.h"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <sys/socket.h>

#include <array>

#include "dataplane/base/fd.h"

namespace lb {
namespace {

// include/uapi/linux/netdev.h, which Debian 12 has not got.
constexpr std::uint8_t kNetdevVersion = 1;
constexpr std::uint8_t kDevGet = 1;
constexpr std::uint16_t kDevIfindex = 1;
constexpr std::uint16_t kDevXdpFeatures = 3;
constexpr std::uint64_t kXdpBasic = 1;
constexpr std::uint64_t kXdpNdoXmit = 4;

constexpr std::size_t kBufferBytes = 8192;
using Buffer = std::array<char, kBufferBytes>;

nlmsghdr* begin(Buffer& buffer, std::uint16_t family, std::uint8_t command, std::uint8_t version) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = family;
  message->nlmsg_flags = NLM_F_REQUEST;
  auto* header = static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(message, sizeof(genlmsghdr)));
  header->cmd = command;
  header->version = version;
  return message;
}

/// Sends the request in the buffer; the attribute `wanted` of the answer, which is in the buffer
/// then, or null.
const nlattr* ask(int socket, Buffer& buffer, std::uint16_t wanted) {
  const auto* request = reinterpret_cast<const nlmsghdr*>(buffer.data());
  if (send(socket, request, request->nlmsg_len, 0) < 0) return nullptr;
  const ssize_t got = recv(socket, buffer.data(), buffer.size(), 0);
  const auto* answer = reinterpret_cast<const nlmsghdr*>(buffer.data());
  if (got < 0 || !mnl_nlmsg_ok(answer, static_cast<int>(got)) ||
      answer->nlmsg_type == NLMSG_ERROR || mnl_nlmsg_get_payload_len(answer) < sizeof(genlmsghdr)) {
    return nullptr;
  }
  const auto* attribute =
      static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(answer, sizeof(genlmsghdr)));
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(answer));
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    if (mnl_attr_get_type(attribute) == wanted) return attribute;
    attribute = mnl_attr_next(attribute);
  }
  return nullptr;
}

}  // namespace

std::optional<XdpFeatures> read_xdp_features(int ifindex) {
  const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  if (!socket) return std::nullopt;
  alignas(nlmsghdr) Buffer buffer{};
  nlmsghdr* family = begin(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
  mnl_attr_put_strz(family, CTRL_ATTR_FAMILY_NAME, "netdev");
  const nlattr* id = ask(socket.get(), buffer, CTRL_ATTR_FAMILY_ID);
  if (id == nullptr || mnl_attr_validate(id, MNL_TYPE_U16) < 0) return std::nullopt;
  nlmsghdr* device = begin(buffer, mnl_attr_get_u16(id), kDevGet, kNetdevVersion);
  mnl_attr_put_u32(device, kDevIfindex, static_cast<std::uint32_t>(ifindex));
  const nlattr* features = ask(socket.get(), buffer, kDevXdpFeatures);
  if (features == nullptr || mnl_attr_validate(features, MNL_TYPE_U64) < 0) return std::nullopt;
  const std::uint64_t bits = mnl_attr_get_u64(features);
  return XdpFeatures{.basic = (bits & kXdpBasic) != 0, .xmit = (bits & kXdpNdoXmit) != 0};
}

}  // namespace lb
