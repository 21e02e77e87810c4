// SPDX-License-Identifier: Apache-2.0
#include "tests/support/referee_reading.h"

#include <algorithm>
#include <optional>

namespace lb::test {
namespace {

using Sort = Reading::Sort;
using Address = std::array<std::uint8_t, 16>;

bool has_ports(unsigned proto) { return proto == 6 || proto == 17 || proto == 132; }

bool is_extension(unsigned type) {
  return type == 0 || type == 43 || type == 44 || type == 51 || type == 60;
}

Address address_at(const Bytes& bytes, std::size_t at, unsigned family) {
  Address out{};
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), family == 4 ? 4 : 16, out.begin());
  return out;
}

bool is(const IpAddr& address, unsigned family, const Address& bytes) {
  return raw(address.family()) == family &&
         std::equal(address.data(), address.data() + address.size(), bytes.begin());
}

// No host sends from these: RFC 1122 section 3.2.1.3, RFC 4291 sections 2.5.2, 2.5.3 and 2.7.
bool is_no_source(unsigned family, const Address& a) {
  if (family == 6) {
    const bool mostly_zero = std::all_of(a.begin(), a.end() - 1, [](auto b) { return b == 0; });
    return a[0] == 0xff || (mostly_zero && a[15] <= 1);
  }
  const bool zero = a[0] == 0 && a[1] == 0 && a[2] == 0 && a[3] == 0;
  const bool broadcast = a[0] == 255 && a[1] == 255 && a[2] == 255 && a[3] == 255;
  return zero || broadcast || a[0] == 127 || (a[0] >= 224 && a[0] <= 239);
}

// Where the IPv6 extension headers between `at` and `end` lead.
struct Walk {
  std::size_t at = 0;
  unsigned proto = 0;
  std::optional<std::size_t> fragment;  // the last fragment header that fragments
  bool later = false;
  bool too_short = false, too_many = false;
};

Walk walk(const Bytes& bytes, std::size_t at, std::size_t end, unsigned proto) {
  Walk w;
  w.at = at;
  w.proto = proto;
  for (int count = 0; is_extension(w.proto); ++count) {
    if (count == LB_EXT_HEADERS_MAX) {
      w.too_many = true;
      return w;
    }
    if (w.at + 8 > end) {
      w.too_short = true;
      return w;
    }
    const std::size_t header = w.at;
    const unsigned type = w.proto;
    const unsigned length = bytes[header + 1];
    w.proto = bytes[header];
    w.at += type == 44 ? 8 : type == 51 ? (length + 2) * 4 : (length + 1) * 8;
    if (type != 44) continue;
    const unsigned field = get16(bytes, header + 2);
    if ((field >> 3) != 0 || (field & 1) != 0) w.fragment = header;
    if ((field >> 3) != 0) {
      w.later = true;
      return w;
    }
  }
  return w;
}

class Reader {
 public:
  Reader(const Bytes& frame, const ServiceTableSpec& spec, const MacAddr& mac)
      : frame_(frame), spec_(spec), mac_(mac) {}

  Reading read() {
    if (!is_for_port() || !find_ip()) return out_;
    vip_ = policy_of(destination_);
    if (vip_ == nullptr) return out_;
    check_ip();
    if (!out_.defects.empty()) return dropped();
    if (is_no_source(family_, source_) || policy_of(source_) != nullptr) {
      out_.defects.insert(DropReason::BadSource);
    }
    out_.tuple.family = out_.datagram.family = static_cast<std::uint8_t>(family_);
    out_.tuple.client = out_.datagram.source = source_;
    out_.tuple.vip = out_.datagram.destination = destination_;
    if (!(family_ == 4 ? read_ipv4() : read_ipv6())) return dropped();
    out_.tuple.proto = static_cast<std::uint8_t>(proto_);
    return read_carried();
  }

 private:
  Reading as(Sort sort) {
    out_.sort = out_.defects.empty() ? sort : Sort::Dropped;
    return out_;
  }
  Reading dropped() {
    out_.sort = Sort::Dropped;
    return out_;
  }
  Reading kernel() {
    out_.defects.clear();
    out_.sort = Sort::Kernel;
    return out_;
  }
  Reading dropped(DropReason reason) {
    out_.defects.insert(reason);
    return dropped();
  }
  Reading unmatched() {
    return vip_->pass_unmatched ? kernel() : dropped(DropReason::VipUnmatched);
  }
  const VipPolicy* policy_of(const Address& address) const {
    for (const VipPolicy& vip : spec_.vips) {
      if (is(vip.address, family_, address)) return &vip;
    }
    return nullptr;
  }

  // The port's own MAC, or a virtual router's (RFC 9568 section 7.3).
  bool is_for_port() const {
    if (frame_.size() < 14) return false;
    if (std::equal(mac_.bytes.begin(), mac_.bytes.end(), frame_.begin())) return true;
    return frame_[0] == 0 && frame_[1] == 0 && frame_[2] == 0x5e && frame_[3] == 0 &&
           (frame_[4] == 1 || frame_[4] == 2);
  }

  // The IP header behind up to three tags, with its addresses; false: there is none.
  bool find_ip() {
    std::size_t at = 12;
    while (get16(frame_, at) == 0x8100 || get16(frame_, at) == 0x88a8) {
      if (++tags_ > LB_VLAN_TAGS_MAX + 1 || at + 6 > frame_.size()) return false;
      at += 4;
    }
    const unsigned type = get16(frame_, at);
    family_ = type == 0x0800 ? 4 : type == 0x86dd ? 6 : 0;
    if (family_ == 0) return false;
    out_.l3 = at + 2;
    if (out_.l3 + (family_ == 4 ? 20 : 40) > frame_.size()) return false;
    source_ = address_at(frame_, out_.l3 + (family_ == 4 ? 12 : 8), family_);
    destination_ = address_at(frame_, out_.l3 + (family_ == 4 ? 16 : 24), family_);
    return true;
  }

  void check_ip() {
    const std::size_t ip = out_.l3;
    if (tags_ > LB_VLAN_TAGS_MAX) out_.defects.insert(DropReason::VlanDepth);
    if (frame_[ip] >> 4 != static_cast<int>(family_)) {
      out_.defects.insert(DropReason::BadIpHeader);
    }
    std::size_t header = 40;
    if (family_ == 4) {
      header = (frame_[ip] & 15) * 4U;
      out_.l3_bytes = get16(frame_, ip + 2);
      out_.ttl = frame_[ip + 8];
      if (header < 20 || out_.l3_bytes < header) out_.defects.insert(DropReason::BadIpHeader);
    } else {
      out_.l3_bytes = 40 + get16(frame_, ip + 4);
      out_.ttl = frame_[ip + 7];
    }
    if (ip + out_.l3_bytes > frame_.size()) out_.defects.insert(DropReason::Truncated);
    out_.l4 = ip + header;
    end_ = ip + out_.l3_bytes;
  }

  bool read_ipv4() {
    const unsigned field = get16(frame_, out_.l3 + 6);
    proto_ = frame_[out_.l3 + 9];
    offset_ = (field & 0x1fff) * 8;
    more_ = (field & 0x2000) != 0;
    fragment_ = offset_ != 0 || more_;
    out_.datagram.id = get16(frame_, out_.l3 + 4);
    out_.datagram.proto = static_cast<std::uint8_t>(proto_);
    payload_ = end_ - out_.l4;
    return true;
  }

  bool read_ipv6() {
    const Walk w = walk(frame_, out_.l4, end_, frame_[out_.l3 + 6]);
    if (w.too_many) out_.defects.insert(DropReason::ExtHeaders);
    if (w.too_short) out_.defects.insert(DropReason::Truncated);
    if (w.too_many || w.too_short) return false;
    proto_ = w.proto;
    out_.l4 = std::min(w.at, end_);
    if (!w.fragment) return true;
    const unsigned field = get16(frame_, *w.fragment + 2);
    fragment_ = true;
    offset_ = field & 0xfff8;
    more_ = (field & 1) != 0;
    out_.datagram.id = get16(frame_, *w.fragment + 4) << 16 | get16(frame_, *w.fragment + 6);
    payload_ = end_ - (*w.fragment + 8);
    return true;
  }

  // The offsets of a fragment: RFC 791, RFC 1858, RFC 3128, RFC 8200 section 4.5.
  void check_fragment() {
    const std::size_t header = proto_ == 6 ? 20 : proto_ == 132 ? 12 : 0;
    if (payload_ == 0 || (more_ && payload_ % 8 != 0) || offset_ + payload_ > 65535 ||
        (offset_ != 0 && offset_ < header)) {
      out_.defects.insert(DropReason::FragmentBad);
    }
  }

  Reading read_carried() {
    const bool is_icmp = proto_ == (family_ == 4 ? 1U : 58U);
    if (is_icmp) return fragment_ ? kernel() : read_icmp();
    if (fragment_) check_fragment();
    if (!has_ports(proto_) && (family_ == 4 || offset_ == 0)) return unmatched();
    if (offset_ != 0) {
      if (vip_->pass_unmatched && has_ports(proto_) && !is_served()) return kernel();
      return as(Sort::LaterFragment);
    }
    out_.first_fragment = fragment_;
    const std::size_t bytes = end_ - out_.l4;
    if (bytes < 4) return dropped(fragment_ ? DropReason::FragmentBad : DropReason::Truncated);
    out_.tuple.client_port = static_cast<std::uint16_t>(get16(frame_, out_.l4));
    out_.tuple.vip_port = static_cast<std::uint16_t>(get16(frame_, out_.l4 + 2));
    check_l4(bytes);
    out_.service = service_for(spec_, out_.tuple);
    if (out_.service == nullptr) return unmatched();
    return as(Sort::Flow);
  }

  // Whether any service of the VIP takes this protocol.
  bool is_served() const {
    return std::ranges::any_of(spec_.services, [this](const Service& service) {
      return is(service.address.vip, family_, destination_) && raw(service.address.proto) == proto_;
    });
  }

  void check_l4(std::size_t bytes) {
    const std::size_t at = out_.l4;
    auto defect = [this](DropReason reason) { out_.defects.insert(reason); };
    const auto too_short = fragment_ ? DropReason::FragmentBad : DropReason::Truncated;
    if (bytes < (proto_ == 6 ? 20U : proto_ == 17 ? 8U : 12U)) defect(too_short);
    if (out_.tuple.vip_port == 0) defect(DropReason::BadL4Header);
    if (out_.tuple.client_port == 0 && proto_ != 17) defect(DropReason::BadL4Header);
    if (proto_ == 17 && bytes >= 8) {
      const unsigned length = get16(frame_, at + 4);
      if (length < 8 || (length > bytes && !fragment_)) defect(DropReason::BadL4Header);
    }
    if (proto_ != 6 || bytes < 20) return;
    const std::size_t header = (frame_[at + 12] >> 4) * 4U;
    const unsigned flags = out_.tcp_flags = frame_[at + 13];
    if (header < 20) defect(DropReason::BadL4Header);
    if (header > bytes) defect(fragment_ ? DropReason::FragmentBad : DropReason::BadL4Header);
    if ((flags & 0x3f) == 0) defect(DropReason::BadFlags);
    if ((flags & kSyn) != 0 && (flags & (kFin | kRst)) != 0) defect(DropReason::BadFlags);
  }

  Reading read_icmp() {
    if (end_ - out_.l4 < 8) return dropped(DropReason::Truncated);
    const unsigned type = frame_[out_.l4];
    if (type == (family_ == 4 ? 8U : 128U)) return vip_->echo_reply ? as(Sort::Echo) : kernel();
    if (family_ == 4 ? type == 3 || type == 11 || type == 12 : type >= 1 && type <= 4) {
      read_quote(out_.l4 + 8);
      if (out_.defects.empty()) out_.service = service_for(spec_, out_.tuple);
      return as(Sort::IcmpError);
    }
    if (family_ == 6 && type >= 130 && type <= 143) return kernel();
    return unmatched();
  }

  // The packet that an ICMP error is about: one that the VIP sent.
  void read_quote(std::size_t at) {
    auto defect = [this](DropReason reason) { out_.defects.insert(reason); };
    if (at + (family_ == 4 ? 20 : 40) > end_) return defect(DropReason::Truncated);
    if (frame_[at] >> 4 != static_cast<int>(family_)) defect(DropReason::IcmpUnknown);
    if (address_at(frame_, at + (family_ == 4 ? 12 : 8), family_) != destination_) {
      defect(DropReason::IcmpUnknown);
    }
    std::size_t l4 = at + 40;
    unsigned proto = frame_[at + 9];
    if (family_ == 4) {
      l4 = at + (frame_[at] & 15) * 4U;
      if (l4 < at + 20 || (get16(frame_, at + 6) & 0x1fff) != 0) defect(DropReason::IcmpUnknown);
    } else {
      const Walk w = walk(frame_, at + 40, end_, frame_[at + 6]);
      if (w.too_many || w.later) defect(DropReason::IcmpUnknown);
      if (w.too_short) defect(DropReason::Truncated);
      l4 = w.at;
      proto = w.proto;
    }
    if (!has_ports(proto)) defect(DropReason::IcmpUnknown);
    if (l4 + 8 > end_) return defect(DropReason::Truncated);
    out_.tuple.proto = static_cast<std::uint8_t>(proto);
    out_.tuple.client = address_at(frame_, at + (family_ == 4 ? 16 : 24), family_);
    out_.tuple.vip_port = static_cast<std::uint16_t>(get16(frame_, l4));
    out_.tuple.client_port = static_cast<std::uint16_t>(get16(frame_, l4 + 2));
    if (out_.tuple.vip_port == 0) defect(DropReason::IcmpUnknown);
  }

  const Bytes& frame_;
  const ServiceTableSpec& spec_;
  const MacAddr& mac_;
  const VipPolicy* vip_ = nullptr;
  Reading out_;
  Address source_{}, destination_{};
  unsigned family_ = 0, proto_ = 0, offset_ = 0;
  int tags_ = 0;
  bool fragment_ = false, more_ = false;
  std::size_t payload_ = 0, end_ = 0;
};

}  // namespace

Reading read_frame(const Bytes& frame, const ServiceTableSpec& spec, const MacAddr& mac) {
  return Reader(frame, spec, mac).read();
}

const Service* service_for(const ServiceTableSpec& spec, const RefTuple& tuple) {
  const Service* best = nullptr;
  unsigned best_ports = 65536;
  for (const Service& service : spec.services) {
    const ServiceAddr& address = service.address;
    const unsigned ports = address.port_last - address.port_first + 1U;
    if (is(address.vip, tuple.family, tuple.vip) && raw(address.proto) == tuple.proto &&
        tuple.vip_port >= address.port_first && tuple.vip_port <= address.port_last &&
        ports < best_ports) {
      best = &service;
      best_ports = ports;
    }
  }
  return best;
}

}  // namespace lb::test
