// SPDX-License-Identifier: Apache-2.0
// PageTracer: `observe pages`. Who holds memory from alloc_pages: an entry per page frame, kept by
// bpf/observe_pages.bpf.c, read here. Exact for all frames that pass through mm_page_alloc and
// mm_page_free; what compaction moves has no event and is counted apart. One thread, the loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bpf/observe_pages.h"
#include "dataplane/base/bpf_map.h"
#include "observe/frame/stack_store.h"
#include "observe/pages/meminfo.h"
#include "observe/pages/memory_layout.h"
#include "observe/pages/page_names.h"
#include "observe/tracer.h"

namespace lb::observe {

struct PagesOptions {
  TargetSet target;
  bool hidden = false;         ///< only what /proc/meminfo does not show
  bool by_cgroup = false;      ///< a row for each cgroup
  std::uint64_t older_ms = 0;  ///< only frames that were allocated at least this long ago
  std::uint32_t rows_max = 16384;
  std::uint32_t stacks_max = 8192;
  bool stacks_in_vmalloc = false;  ///< KernelStack of /proc/meminfo is part of VmallocUsed
  bool plain_tracepoints = false;  ///< take the fallback (tests)
  /// The name of the kernel function at an address, empty when it has none; by it frames without a
  /// flag are told apart (vmalloc and per-CPU memory are in /proc/meminfo).
  std::function<std::string(std::uint64_t)> kernel_function;
};

class PageTracer final : public Tracer {
 public:
  explicit PageTracer(PagesOptions options);
  ~PageTracer() override;

  [[nodiscard]] std::string name() const override { return "pages"; }
  [[nodiscard]] Result<Plan> plan() override;
  [[nodiscard]] Status attach() override;
  [[nodiscard]] Result<Report> read() override;
  void refine(Report& report) override;
  /// Allocations first: a frame whose free is not seen would stay.
  void detach() override {
    while (!links_.empty()) links_.pop_back();
  }
  [[nodiscard]] std::vector<const BpfObject*> objects() const override;

 private:
  /// Outstanding frames of one row, as a scan of the entries finds them.
  struct Found {
    std::uint64_t frames = 0;
    std::uint64_t hidden = 0;
  };
  struct Rate {
    std::uint64_t allocations = 0;
    std::uint64_t freed = 0;
  };

  [[nodiscard]] Status load();
  [[nodiscard]] Status attach_programs();
  [[nodiscard]] Result<std::vector<Found>> scan(std::size_t rows);
  [[nodiscard]] bool shown_elsewhere(std::uint64_t stack_id, Report& report);
  [[nodiscard]] Row make_row(const observe_pages_row& row, const Found& found, std::size_t id,
                             double seconds);
  void add_figures(Report& report, const observe_pages_totals& now, double seconds);
  [[nodiscard]] Status add_hidden(Report& report, std::uint64_t named_bytes);

  PagesOptions options_;
  PageNames names_;
  MemoryLayout layout_;
  std::optional<BpfObject> object_;
  std::vector<BpfLink> links_;
  std::optional<StackStore> stacks_;
  BpfMapping entries_;
  BpfMapping rows_;
  std::optional<BpfMap> totals_;
  std::optional<BpfMap> losses_;
  std::uint64_t attached_ns_ = 0;
  std::uint64_t last_read_ns_ = 0;
  std::vector<Rate> last_rates_;
  std::uint64_t last_frees_ = 0;
  double last_bytes_ = 0;
  Meminfo meminfo_;  // at attach
  std::vector<std::string> notes_;
};

/// The base of the kernel's page array, from pairs of one event seen as a raw and as a plain
/// tracepoint. Errors: BpfError; EAGAIN when the pairs do not agree (no flat page array).
[[nodiscard]] Result<std::uint64_t> learn_page_array_base(std::uint32_t page_bytes);

}  // namespace lb::observe
