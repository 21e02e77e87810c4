// SPDX-License-Identifier: Apache-2.0
// KernelLeakTracer: `observe leak --kernel`. Outstanding slab objects, per-CPU and vmalloc
// allocations by call stack, cache and process, from the kernel's tracepoints
// (bpf/observe_kmem.bpf.c). One thread. Slab objects are never added to the pages behind them:
// pages are `observe pages`. Needs BTF, raw tracepoints and /proc/kallsyms.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/observe_sample.h"
#include "bpf/observe_target.h"
#include "dataplane/base/bpf_map.h"
#include "dataplane/base/bpf_object.h"
#include "observe/frame/stack_store.h"
#include "observe/kleak/kernel_facts.h"
#include "observe/kleak/leak_report.h"
#include "observe/kleak/options.h"
#include "observe/tracer.h"

namespace lb::observe {

class KernelLeakTracer final : public Tracer, private Throttle {
 public:
  explicit KernelLeakTracer(KernelLeakOptions options);
  ~KernelLeakTracer() override;

  [[nodiscard]] std::string name() const override { return "leak"; }
  /// Errors: options that contradict each other; no BTF; kallsyms hidden.
  [[nodiscard]] Result<Plan> plan() override;
  /// Frees are attached before allocations, so that no block is seen to come and not to go.
  [[nodiscard]] Status attach() override;
  [[nodiscard]] Result<Report> read() override;
  void detach() override;
  [[nodiscard]] std::vector<const BpfObject*> objects() const override;
  [[nodiscard]] int event_fd() const override;
  void drain(const std::function<void(std::string_view)>& line) override;

  void refine(Report& report) override;
  [[nodiscard]] Throttle* throttle() override { return options_.sample_bytes > 0 ? this : nullptr; }

 private:
  // A raw tracepoint has no trap: all that it costs is in the programs' time.
  [[nodiscard]] Result<double> traps_ns() const override { return 0.0; }
  [[nodiscard]] Status set_level(std::uint32_t level) override;
  [[nodiscard]] std::uint32_t level_max() const override { return OBSERVE_SAMPLE_LEVELS - 1; }
  void pause() override {
    paused_ = true;
    detach();
  }
  [[nodiscard]] Status resume() override;
  [[nodiscard]] Status check() const;
  [[nodiscard]] BpfSpec spec(bool with_hidden_frees) const;
  [[nodiscard]] Status load();
  [[nodiscard]] Status fill_cache_filter() const;
  [[nodiscard]] Status attach_all();
  void attach_hidden_frees();
  [[nodiscard]] std::string cache_name(std::uint64_t cache);
  [[nodiscard]] const std::vector<std::uint64_t>& frames_of(std::uint64_t stack);
  void take_event(std::span<const std::byte> record);

  KernelLeakOptions options_;
  KernelFacts facts_;
  std::optional<BpfObject> object_;
  std::vector<BpfLink> links_;  // in the order of attaching
  std::vector<std::string> notes_;
  std::unique_ptr<KernelLeakReporter> reporter_;
  std::optional<StackStore> stacks_;
  std::uint64_t attached_ns_ = 0;  // the first time
  bool paused_ = false;
  std::uint32_t level_ = 0;
  // Of --trace.
  std::unique_ptr<BpfRing> ring_;
  const std::function<void(std::string_view)>* line_ = nullptr;  // while drain() runs
  std::map<std::uint64_t, std::string> cache_names_;
  std::map<std::uint64_t, std::vector<std::uint64_t>> frames_;
};

}  // namespace lb::observe
