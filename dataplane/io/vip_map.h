// SPDX-License-Identifier: Apache-2.0
// What a new generation changes in the XDP program's VIP map, and what the map holds after changes
// that failed half-way. Control's thread. Calls the program through a template: no BPF here.
#pragma once

#include <cstring>
#include <map>
#include <tuple>
#include <vector>

#include "bpf/lb_abi.h"
#include "dataplane/base/result.h"
#include "dataplane/table/service_table.h"

namespace lb {

using VipEntries = std::vector<ServiceTable::VipMapEntry>;

struct VipMapChange {
  VipEntries put;                  ///< new keys, and keys with another value
  std::vector<lb_vip_key> remove;  ///< keys that are no longer there
};

/// In order of the keys. Neither list may name a key twice.
[[nodiscard]] VipMapChange vip_map_change(const VipEntries& from, const VipEntries& to);

/// Changes the VIP map and remembers what it holds, step by step, so that what comes after a
/// failure starts from the truth. REQUIRES of Program: put_vip(key, value), delete_vip(key).
class VipMapMirror {
 public:
  /// In order of the keys.
  [[nodiscard]] VipEntries entries() const;
  /// Stops at the first error.
  template <class Program>
  [[nodiscard]] Status put(Program& program, const VipEntries& entries) {
    for (const auto& entry : entries) {
      auto [held, is_new] = held_.try_emplace(entry.key);  // what can throw stands first
      if (Status done = program.put_vip(entry.key, entry.value); !done) {
        if (is_new) held_.erase(held);
        return done;
      }
      held->second = entry.value;
    }
    return {};
  }
  /// Stops at the first error.
  template <class Program>
  [[nodiscard]] Status remove(Program& program, const std::vector<lb_vip_key>& keys) {
    for (const auto& key : keys) {
      LB_TRY(program.delete_vip(key));
      held_.erase(key);
    }
    return {};
  }
  /// After a failure: the map as it was `before`. Old entries come back first, then what is new
  /// goes: no key that is still there is away for a moment. Best effort: the error that led here is
  /// the one to report, and entries() tells the truth.
  template <class Program>
  void restore(Program& program, const VipEntries& before) {
    VipMapChange undo = vip_map_change(entries(), before);
    Status back = put(program, undo.put);
    std::ignore = remove(program, undo.remove);
    // A full map has room for them only now.
    if (!back) std::ignore = put(program, vip_map_change(entries(), before).put);
  }

 private:
  struct Less {
    bool operator()(const lb_vip_key& a, const lb_vip_key& b) const noexcept {
      return std::memcmp(&a, &b, sizeof a) < 0;  // no holes: lb_abi.h
    }
  };
  std::map<lb_vip_key, lb_vip_value, Less> held_;
};

}  // namespace lb
