// SPDX-License-Identifier: Apache-2.0
// SelfTracer: `observe self`. Every BPF program and map of Sluice that the kernel holds, whichever
// process loaded it: runs, time a run, runs left out, memory, fill. Attaches nothing; runs and
// times are those since it began, for which it has the kernel's statistics on (some 20 ns a run).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/base/bpf_system.h"
#include "observe/tracer.h"

namespace lb::observe {

struct SelfOptions {
  bool all = false;  ///< programs and maps that are not Sluice's, too
};

/// Whether a program of this name is one of Sluice's: lb_..., observe_..., kmem_....
[[nodiscard]] bool is_ours(std::string_view program);

class SelfTracer final : public Tracer {
 public:
  explicit SelfTracer(SelfOptions options) : options_(options) {}

  [[nodiscard]] std::string name() const override { return "self"; }
  [[nodiscard]] Result<Plan> plan() override;
  [[nodiscard]] Status attach() override;
  [[nodiscard]] Result<Report> read() override;
  void detach() override { statistics_.reset(); }

 private:
  SelfOptions options_;
  std::optional<BpfStatistics> statistics_;
  std::map<std::uint32_t, BpfProgramInfo> before_;  // by id
  std::uint64_t attached_ns_ = 0;
};

}  // namespace lb::observe
