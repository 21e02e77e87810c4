// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace lb {

void log_init(std::string_view level) {
  auto logger = std::make_shared<spdlog::logger>(
      "lbd", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
  logger->set_pattern(journal ? "%^%l%$: %v" : "%Y-%m-%d %H:%M:%S.%e %^%l%$: %v");
  logger->set_level(spdlog::level::from_str(std::string(level)));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace lb
