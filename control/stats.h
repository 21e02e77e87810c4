// SPDX-License-Identifier: Apache-2.0
// Stats: adds up the workers' counters per service and RS. A slot's counters go on when it changes
// hands, so what they stood at when the present owner came is subtracted. Control's one thread;
// workers are only read.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "control/registry.h"
#include "dataplane/counters.h"

namespace lb {

struct ServiceTotals {
  std::uint64_t packets = 0, bytes = 0, new_flows = 0, unknown_flows = 0, drops = 0;
  std::uint64_t unprotected = 0, unremembered = 0;
};
struct RsTotals {
  std::uint64_t packets = 0, bytes = 0, new_flows = 0;
  std::uint64_t active = 0,
                inactive =
                    0;  ///< living flows now; of the slot, a former owner's dying ones included
};

/// One field of WorkerCounters by its name, in its order.
struct WorkerField {
  std::string_view name;
  Counter WorkerCounters::* member;
};
inline constexpr std::size_t kWorkerFields = 27;
extern const std::array<WorkerField, kWorkerFields> kWorkerCounterFields;

class Stats {
 public:
  /// `workers` outlive the Stats (Dataplane::counters()).
  explicit Stats(std::vector<const Counters*> workers);

  /// Takes the baselines of ids that are new since the last call. Call after a registry change,
  /// before publishing it.
  void follow(const Registry& registry);

  /// All zero for an id that follow() has not seen.
  [[nodiscard]] ServiceTotals service(ServiceId id) const;
  [[nodiscard]] RsTotals rs(RsId id) const;
  /// Living flows of an RS slot over all workers (Registry::drains_over).
  [[nodiscard]] std::uint64_t flows_of_slot(std::uint32_t rs_slot) const;
  [[nodiscard]] std::uint64_t drops(DropReason reason) const;
  [[nodiscard]] const std::vector<const Counters*>& workers() const { return workers_; }

 private:
  struct ServiceBase {
    ServiceId id = ServiceId::None;
    ServiceTotals base;
  };
  struct RsBase {
    RsId id = RsId::None;
    RsTotals base;
  };
  void follow_rs(RsId id);
  [[nodiscard]] ServiceTotals service_sum(std::uint32_t slot) const;
  [[nodiscard]] RsTotals rs_sum(std::uint32_t slot) const;
  std::vector<const Counters*> workers_;
  std::vector<ServiceBase> service_base_;  ///< by slot
  std::vector<RsBase> rs_base_;
};

}  // namespace lb
