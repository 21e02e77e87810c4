// SPDX-License-Identifier: Apache-2.0
#include "control/state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <string_view>

#include "control/acl_journal.h"
#include "control/state_json.h"
#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"

namespace lb {
namespace {

constexpr std::size_t kStateMax = 64UL << 20;

std::string folder_of(const std::string& path) {
  auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<std::string> read_state(const std::string& path) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return fail_errno(errno, fmt::format("state {}", path));
  auto text = read_whole(file.get(), kStateMax);
  if (!text) return fail_in(fmt::format("state {}", path), std::move(text).error());
  return text;
}

/// A name beside `path` that is free: .bad, .bad.1, ... .bad.99; the last one is overwritten.
std::string free_bad_name(const std::string& path) {
  std::string name = path + ".bad";
  for (int i = 1; i < 100 && ::access(name.c_str(), F_OK) == 0; ++i) {
    name = fmt::format("{}.bad.{}", path, i);
  }
  return name;
}

std::uint64_t clock_ms(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1000U +
         static_cast<std::uint64_t>(time.tv_nsec) / 1'000'000U;
}

}  // namespace

StateClock StateClock::read() {
  StateClock clock{.now_ms = clock_ms(CLOCK_MONOTONIC),
                   .boot_s = static_cast<std::uint32_t>(clock_ms(CLOCK_BOOTTIME) / 1000),
                   .wall_s = static_cast<std::uint32_t>(clock_ms(CLOCK_REALTIME) / 1000),
                   .boot_id = {}};
  std::ifstream("/proc/sys/kernel/random/boot_id") >> clock.boot_id;
  return clock;
}

std::uint64_t elapsed_ms(const StateClock& saved, const StateClock& now) {
  bool one_boot = !saved.boot_id.empty() && saved.boot_id == now.boot_id;
  std::uint32_t from = one_boot ? saved.boot_s : saved.wall_s;
  std::uint32_t to = one_boot ? now.boot_s : now.wall_s;
  return to > from ? (std::uint64_t{to} - from) * 1000 : 0;
}

namespace {

/// Moves a file that cannot be understood aside; a sentence about it for the log.
Result<std::string> set_aside(const std::string& what, const std::string& path, const Error& error,
                              std::string_view lost) {
  std::string bad = free_bad_name(path);
  if (::rename(path.c_str(), bad.c_str()) != 0) {
    return fail_errno(errno, fmt::format("{} {} cannot be understood ({}) nor moved to {}", what,
                                         path, error.message, bad));
  }
  return fmt::format("{} {} cannot be understood ({}); it was moved to {}, and {}", what, path,
                     error.message, bad, lost);
}

Status load_acls(const std::string& path, LoadedState& loaded) {
  auto lists = AclJournal::load(path);
  if (!lists && lists.error().code != std::errc::bad_message) {
    return std::unexpected(std::move(lists).error());
  }
  if (!lists) {
    LB_TRY_ASSIGN(std::string note, set_aside("access lists", path, lists.error(),
                                              "those of the config file alone are in force"));
    loaded.note += (loaded.note.empty() ? "" : "; ") + note;
    return {};
  }
  for (auto& [address, acl] : *lists) loaded.state.overlay.services[address].acl = std::move(acl);
  return {};
}

}  // namespace

std::string acl_journal_path(const std::string& state_path) { return state_path + ".acl"; }

Result<LoadedState> load_state(const std::string& path) {
  LoadedState loaded;
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    loaded.state.keys = HashKeys::random();
    loaded.note = fmt::format("state {}: not there yet, starting from the config alone", path);
    return loaded;
  }
  LB_TRY_ASSIGN(std::string text, read_state(path));
  if (auto state = state_from_json(text, StateClock::read())) {
    loaded.state = std::move(*state);
  } else {
    LB_TRY_ASSIGN(loaded.note,
                  set_aside("state", path, state.error(),
                            "lbd starts from the config alone: run-time changes in it are not in "
                            "force"));
    loaded.state.keys = HashKeys::random();
  }
  LB_TRY(load_acls(acl_journal_path(path), loaded));
  return loaded;
}

Status save_state(const std::string& path, const State& state) {
  std::string folder = folder_of(path);
  if (::mkdir(folder.c_str(), 0750) != 0 && errno != EEXIST) {
    return fail_errno(errno, fmt::format("state: folder {}", folder));
  }
  auto status = replace_whole(path, state_to_json(state, StateClock::read()));
  if (!status) return fail_in(fmt::format("state {}", path), std::move(status).error());
  return {};
}

}  // namespace lb
