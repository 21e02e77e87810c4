// SPDX-License-Identifier: Apache-2.0
// Engine: what would become of a packet. The explaining program of a port is loaded when it is
// asked for the first time.
#include <fmt/format.h>

#include "dataplane/io/engine.h"

namespace lb {

Result<Explanation> Engine::explain(const ExplainRequest& request) {
  const ServiceTable* table = tables_.current();
  if (raw(request.port) >= ports_.size() || request.queue >= units_.size() || table == nullptr) {
    return fail(EINVAL,
                fmt::format("there is no queue {} of port {}", request.queue, raw(request.port)));
  }
  const Port& port = *ports_[raw(request.port)];
  auto& explainer = explainers_[raw(request.port)];
  if (!explainer) {
    auto loaded = XdpExplainer::load(*fast_path_, port.program());
    if (!loaded) return fail_in("interface " + port.interface(), std::move(loaded).error());
    explainer.emplace(std::move(*loaded));
  }
  const std::vector<std::uint8_t> frame = probe_frame(request, port.link().mac);
  auto answer = explainer->run(frame, port.ifindex(), request.queue);
  if (!answer) return fail_in("interface " + port.interface(), std::move(answer).error());
  answer->generation = table->generation;
  answer->worker =
      look_as_worker(*table, *units_[request.queue]->path, peers_.counters, frame, tick_ms_now());
  return answer;
}

}  // namespace lb
