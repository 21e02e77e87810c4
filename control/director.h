// SPDX-License-Identifier: Apache-2.0
// Director: the one Asio thread: it wires netlink, checks, VIP addresses, API, timers and signals
// to the Controller. Made by lbd.cc when everything it needs is open; run() ends at SIGTERM or
// SIGINT. The order of its members is the order of start; the reverse is the order of stop.
#pragma once

#include <memory>
#include <string>

#include "control/config.h"
#include "control/netlink.h"
#include "control/networks.h"
#include "control/state.h"
#include "dataplane/base/fd.h"
#include "dataplane/dataplane.h"

namespace lb {

class Director {
 public:
  struct Parts {
    Config config;
    std::string config_path;
    State state;
    Netlink netlink;
    Networks networks;  ///< filled
    std::unique_ptr<Dataplane> dataplane;
    Fd api_listener;
    bool keep_log_level = false;  ///< a reload does not change it: --log-level was given
  };
  explicit Director(Parts parts);
  /// Takes the VIPs off, stops the checks and the API, saves the state, then lets the data plane
  /// go.
  ~Director();
  Director(const Director&) = delete;
  Director& operator=(const Director&) = delete;

  /// Publishes the first generation, puts the VIPs on the ports, answers the API from now on.
  [[nodiscard]] Status start();
  /// Until a signal says stop. An error: a port's interface was made again and only a new start
  /// attaches to it.
  [[nodiscard]] Status run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Reads the machine's links and addresses into `networks`.
[[nodiscard]] Status read_networks(Netlink& netlink, Networks& networks);

}  // namespace lb
