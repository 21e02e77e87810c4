// SPDX-License-Identifier: Apache-2.0
// PacketBuilder: frames for tests, built layer by layer with right lengths and checksums; wrong
// ones are made by patching the built bytes. fragment() cuts a frame, icmp_error() quotes one.
// Shared by the unit, BPF and fuzz tests; it computes checksums its own way, so that the packet
// path is never tested against itself.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/base/addr.h"

namespace lb::test {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32;

inline void put16(Bytes& out, std::uint32_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}
inline void put32(Bytes& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}
inline void put(Bytes& out, std::span<const std::uint8_t> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
inline void set16(Bytes& out, std::size_t at, std::uint32_t value) {
  out.at(at) = static_cast<std::uint8_t>(value >> 8);
  out.at(at + 1) = static_cast<std::uint8_t>(value);
}
[[nodiscard]] inline std::uint32_t get16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint32_t>(bytes[at] << 8 | bytes[at + 1]);
}

/// Sum of big-endian 16-bit words, an odd last byte padded with zero (RFC 1071), not folded.
[[nodiscard]] inline std::uint64_t word_sum(std::span<const std::uint8_t> bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] * 256U : bytes[i];
  return sum;
}
/// The Internet checksum of `bytes`, in host order, over `initial` (a pseudo header's sum).
[[nodiscard]] inline std::uint16_t checksum(std::span<const std::uint8_t> bytes,
                                            std::uint64_t initial = 0) {
  std::uint64_t sum = initial + word_sum(bytes);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

[[nodiscard]] inline IpAddr ip(std::string_view text) {
  auto parsed = IpAddr::parse(text);
  if (!parsed) std::abort();
  return *parsed;
}
[[nodiscard]] inline MacAddr mac(std::string_view text) {
  auto parsed = MacAddr::parse(text);
  if (!parsed) std::abort();
  return *parsed;
}

/// A frame from `src` to `dst`, both addresses of one family:
/// `PacketBuilder("10.0.0.9", "192.0.2.10").vlan(7).tcp(4711, 80, kSyn).payload(100).build()`.
class PacketBuilder {
 public:
  PacketBuilder(std::string_view src, std::string_view dst) : PacketBuilder(ip(src), ip(dst)) {}
  PacketBuilder(const IpAddr& src, const IpAddr& dst) : src_(src), dst_(dst) {}

  PacketBuilder& ethernet(const MacAddr& dst, const MacAddr& src) {
    eth_dst_ = dst;
    eth_src_ = src;
    return *this;
  }
  /// Adds a tag; the first call gives the outermost one.
  PacketBuilder& vlan(std::uint16_t tci, std::uint16_t tpid = 0x8100) {
    tags_.push_back({tpid, tci});
    return *this;
  }
  PacketBuilder& ttl(std::uint8_t value) { return ttl_ = value, *this; }
  /// IPv4 type of service or IPv6 traffic class.
  PacketBuilder& tos(std::uint8_t value) { return tos_ = value, *this; }
  PacketBuilder& dont_fragment(bool on = true) { return dont_fragment_ = on, *this; }
  PacketBuilder& id(std::uint32_t value) { return id_ = value, *this; }
  /// IPv4 options, padded to four bytes with end-of-list.
  PacketBuilder& options(Bytes bytes) {
    options_ = std::move(bytes);
    while (options_.size() % 4 != 0) options_.push_back(0);
    return *this;
  }
  /// IPv6 extension header of kind 0, 43, 60 or 51 with `words` of eight bytes (of four for 51,
  /// from 3 on).
  PacketBuilder& ext(std::uint8_t kind, std::uint8_t words = 1) {
    ext_.push_back({kind, words});
    return *this;
  }
  /// IPv4: sets the fragment fields. IPv6: adds a fragment header behind those given so far. Offset
  /// in bytes.
  PacketBuilder& fragment(std::uint32_t offset, bool more) {
    fragmented_ = true;
    fragment_field_ = offset;
    more_ = more;
    if (!src_.is_v4()) ext_.push_back({44, 1});
    return *this;
  }
  PacketBuilder& tcp(std::uint16_t sport, std::uint16_t dport, std::uint8_t flags,
                     Bytes opts = {}) {
    begin(6, 16);
    while (opts.size() % 4 != 0) opts.push_back(0);
    put16(l4_, sport);
    put16(l4_, dport);
    put32(l4_, 0x01020304);
    put32(l4_, (flags & kAck) != 0 ? 0x05060708 : 0);
    l4_.push_back(static_cast<std::uint8_t>((5 + opts.size() / 4) << 4));
    l4_.push_back(flags);
    put16(l4_, 65535);
    put32(l4_, 0);
    put(l4_, opts);
    return *this;
  }
  PacketBuilder& udp(std::uint16_t sport, std::uint16_t dport) {
    begin(17, 6);
    put16(l4_, sport);
    put16(l4_, dport);
    put32(l4_, 0);
    return *this;
  }
  PacketBuilder& sctp(std::uint16_t sport, std::uint16_t dport) {
    begin(132, -1);
    put16(l4_, sport);
    put16(l4_, dport);
    put32(l4_, 0x11223344);
    put32(l4_, 0x55667788);
    return *this;
  }
  /// ICMP or ICMPv6, as the family has it; `rest` is the second word of the header.
  PacketBuilder& icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest = 0) {
    begin(src_.is_v4() ? 1 : 58, 2);
    l4_.push_back(type);
    l4_.push_back(code);
    put16(l4_, 0);
    put32(l4_, rest);
    return *this;
  }
  PacketBuilder& echo_request(std::uint16_t ident, std::uint16_t sequence) {
    return icmp(src_.is_v4() ? 8 : 128, 0, static_cast<std::uint32_t>(ident) << 16 | sequence);
  }
  /// Any other protocol: `header` stands as it is.
  PacketBuilder& protocol(std::uint8_t proto, Bytes header = {}) {
    begin(proto, -1);
    l4_ = std::move(header);
    return *this;
  }
  /// `count` bytes that count up.
  PacketBuilder& payload(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) l4_.push_back(static_cast<std::uint8_t>(i));
    return *this;
  }
  PacketBuilder& payload(std::span<const std::uint8_t> bytes) { return put(l4_, bytes), *this; }
  /// Pads the frame with zeros to this length, as Ethernet does to 60.
  PacketBuilder& pad_to(std::size_t frame_bytes) { return pad_to_ = frame_bytes, *this; }

  [[nodiscard]] std::size_t l3_offset() const { return 14 + 4 * tags_.size(); }
  [[nodiscard]] std::size_t l4_offset() const {
    std::size_t at = l3_offset() + (src_.is_v4() ? 20 + options_.size() : 40);
    for (const Ext& e : ext_) at += ext_bytes(e);
    return at;
  }

  [[nodiscard]] Bytes build() const {
    Bytes out;
    put(out, eth_dst_.bytes);
    put(out, eth_src_.bytes);
    for (const Tag& tag : tags_) {
      put16(out, tag.tpid);
      put16(out, tag.tci);
    }
    put16(out, src_.is_v4() ? 0x0800 : 0x86dd);
    src_.is_v4() ? add_ipv4(out) : add_ipv6(out);
    put(out, finished_l4());
    if (out.size() < pad_to_) out.resize(pad_to_);
    return out;
  }

 private:
  struct Tag {
    std::uint16_t tpid, tci;
  };
  struct Ext {
    std::uint8_t kind, words;
  };
  static std::size_t ext_bytes(const Ext& e) { return e.words * (e.kind == 51 ? 4U : 8U); }

  void begin(std::uint8_t proto, int checksum_at) {
    proto_ = proto;
    checksum_at_ = checksum_at;
    l4_.clear();
  }

  void add_ipv4(Bytes& out) const {
    std::size_t at = out.size();
    out.push_back(static_cast<std::uint8_t>(0x40 | (5 + options_.size() / 4)));
    out.push_back(tos_);
    put16(out, static_cast<std::uint32_t>(20 + options_.size() + l4_.size()));
    put16(out, id_ & 0xffff);
    put16(out, (dont_fragment_ ? 0x4000U : 0U) | (more_ ? 0x2000U : 0U) | fragment_field_ / 8);
    out.push_back(ttl_);
    out.push_back(proto_);
    put16(out, 0);
    put(out, {src_.data(), 4});
    put(out, {dst_.data(), 4});
    put(out, options_);
    set16(out, at + 10, checksum(std::span(out).subspan(at)));
  }

  void add_ipv6(Bytes& out) const {
    put32(out, 6U << 28 | static_cast<std::uint32_t>(tos_) << 20);
    put16(out, static_cast<std::uint32_t>(l4_offset() - l3_offset() - 40 + l4_.size()));
    out.push_back(ext_.empty() ? proto_ : ext_[0].kind);
    out.push_back(ttl_);
    put(out, {src_.data(), 16});
    put(out, {dst_.data(), 16});
    for (std::size_t i = 0; i < ext_.size(); ++i) {
      std::size_t end = out.size() + ext_bytes(ext_[i]);
      out.push_back(i + 1 < ext_.size() ? ext_[i + 1].kind : proto_);
      if (ext_[i].kind == 44) {
        out.push_back(0);
        put16(out, (fragment_field_ & ~7U) | (more_ ? 1U : 0U));
        put32(out, id_);
      } else {
        out.push_back(static_cast<std::uint8_t>(ext_[i].words - (ext_[i].kind == 51 ? 2 : 1)));
        if (ext_[i].kind != 51 && ext_[i].kind != 43) {  // PadN over the whole header
          out.push_back(1);
          out.push_back(static_cast<std::uint8_t>(end - out.size() - 1));
        }
      }
      out.resize(end);
    }
  }

  [[nodiscard]] Bytes finished_l4() const {
    Bytes l4 = l4_;
    bool later = fragmented_ && fragment_field_ != 0;
    if (later || checksum_at_ < 0) return l4;
    if (proto_ == 17) set16(l4, 4, static_cast<std::uint32_t>(l4.size()));
    std::uint64_t pseudo = 0;
    if (proto_ != 1) {
      pseudo = word_sum({src_.data(), src_.size()}) + word_sum({dst_.data(), dst_.size()}) +
               proto_ + l4.size();
    }
    std::uint16_t sum = checksum(l4, pseudo);
    if (proto_ == 17 && sum == 0) sum = 0xffff;
    set16(l4, static_cast<std::size_t>(checksum_at_), sum);
    return l4;
  }

  IpAddr src_, dst_;
  MacAddr eth_dst_{{2, 0, 0, 0, 0, 1}}, eth_src_{{2, 0, 0, 0, 0, 2}};
  std::vector<Tag> tags_;
  std::vector<Ext> ext_;
  Bytes options_, l4_;
  std::uint32_t id_ = 0x1234, fragment_field_ = 0;
  std::size_t pad_to_ = 0;
  int checksum_at_ = -1;
  std::uint8_t ttl_ = 64, tos_ = 0, proto_ = 59;
  bool dont_fragment_ = false, fragmented_ = false, more_ = false;
};

/// Cuts an untagged or tagged IPv4 (any header) or IPv6 (no extension headers) frame into fragments
/// with at most `payload_bytes` (rounded down to eight) of IP payload each, in order.
[[nodiscard]] inline std::vector<Bytes> fragment(const Bytes& frame, std::size_t payload_bytes,
                                                 std::uint32_t id) {
  std::size_t l3 = 12;
  while (get16(frame, l3) == 0x8100 || get16(frame, l3) == 0x88a8) l3 += 4;
  bool v4 = get16(frame, l3) == 0x0800;
  l3 += 2;
  std::size_t header = v4 ? (frame[l3] & 15) * 4U : 40;
  std::size_t end = l3 + (v4 ? get16(frame, l3 + 2) : 40 + get16(frame, l3 + 4));
  std::vector<Bytes> out;
  std::size_t step = payload_bytes / 8 * 8;
  for (std::size_t at = l3 + header; at < end; at += step) {
    std::size_t count = std::min(step, end - at), offset = at - l3 - header;
    std::uint32_t more = at + count < end ? 1 : 0;
    Bytes piece(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(l3 + header));
    if (v4) {
      set16(piece, l3 + 2, static_cast<std::uint32_t>(header + count));
      set16(piece, l3 + 4, id & 0xffff);
      set16(piece, l3 + 6, static_cast<std::uint32_t>(more << 13 | offset / 8));
      set16(piece, l3 + 10, 0);
      set16(piece, l3 + 10, checksum(std::span(piece).subspan(l3, header)));
    } else {
      set16(piece, l3 + 4, static_cast<std::uint32_t>(8 + count));
      put16(piece, piece[l3 + 6] * 256U);
      piece[l3 + 6] = 44;
      put16(piece, static_cast<std::uint32_t>(offset) | more);
      put32(piece, id);
    }
    put(piece, std::span(frame).subspan(at, count));
    out.push_back(std::move(piece));
  }
  return out;
}

/// An ICMP or ICMPv6 error from `router` to the sender of `about` (a frame without VLAN tags),
/// which quotes at most `quote_bytes` of it from its IP header on.
[[nodiscard]] inline PacketBuilder icmp_error(std::string_view router, const Bytes& about,
                                              std::uint8_t type, std::uint8_t code,
                                              std::size_t quote_bytes, std::uint32_t rest = 0) {
  bool v4 = get16(about, 12) == 0x0800;
  IpAddr to = v4 ? IpAddr::v4(Be32::load(&about.at(26))) : IpAddr::v6(&about.at(22));
  PacketBuilder builder(ip(router), to);
  builder.icmp(type, code, rest);
  builder.payload(std::span(about).subspan(14, std::min(quote_bytes, about.size() - 14)));
  return builder;
}

}  // namespace lb::test
