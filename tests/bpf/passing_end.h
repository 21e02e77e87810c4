// SPDX-License-Identifier: Apache-2.0
// PassingEnd: what a veth needs at its other end to take what XDP sends, for as long as it lives.
#pragma once

#include <optional>

#include "dataplane/base/bpf_object.h"

namespace lb {

class PassingEnd {
 public:
  explicit PassingEnd(const char* interface);
  [[nodiscard]] bool attached() const { return static_cast<bool>(link_); }

 private:
  std::optional<BpfObject> object_;
  BpfLink link_;
};

}  // namespace lb
