// SPDX-License-Identifier: Apache-2.0
// ResidentLook: which pages of a process are resident at one moment, by /proc/PID/pagemap, what
// they are of, by /proc/PID/maps, and what /proc/PID/status says beside it. Called by the loop's
// thread; takes about a millisecond for each 100 MiB.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace lb::observe {

/// Resident pages next to each other, without pages of zeros, which take no memory.
struct ResidentRegion {
  std::uint64_t start = 0;
  std::uint64_t end = 0;  ///< behind it
  bool file = false;      ///< of a file or of shared memory
  bool huge = false;      ///< of huge pages; not known before Linux 6.7

  bool operator==(const ResidentRegion&) const = default;
};

struct ResidentMapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::string name;        ///< path, or "[heap]"; empty: anonymous
  bool device = false;     ///< what is resident there is no memory of the process
  bool in_memory = false;  ///< of shared memory that no disk keeps

  bool operator==(const ResidentMapping&) const = default;
};

/// Bytes, of /proc/PID/status.
struct ResidentStatus {
  std::uint64_t all = 0;     ///< VmRSS
  std::uint64_t anon = 0;    ///< RssAnon
  std::uint64_t file = 0;    ///< RssFile
  std::uint64_t shared = 0;  ///< RssShmem

  bool operator==(const ResidentStatus&) const = default;
};

struct ResidentLook {
  std::vector<ResidentRegion> regions;    ///< by address
  std::vector<ResidentMapping> mappings;  ///< by address
  ResidentStatus status;

  /// Null: there is none around it.
  [[nodiscard]] const ResidentMapping* mapping_at(std::uint64_t address) const;
  [[nodiscard]] std::uint64_t bytes() const;
  /// Where the heap of brk ends; 0: there is none.
  [[nodiscard]] std::uint64_t break_end() const;
};

/// Text of /proc/PID/maps. A line that is none is passed over.
[[nodiscard]] std::vector<ResidentMapping> parse_mappings(std::string_view text);
[[nodiscard]] ResidentStatus parse_status(std::string_view text);

/// What is mapped now. Errors: ESRCH: it has ended; errno of open(2), read(2).
[[nodiscard]] Result<std::vector<ResidentMapping>> mappings_of(std::uint32_t pid);

/// `scan`: by the PAGEMAP_SCAN of Linux 6.7 where it is there; else by reading an entry a page.
/// Errors: ESRCH: it has ended; errno of open(2), ioctl(2), read(2).
[[nodiscard]] Result<ResidentLook> look_at(std::uint32_t pid, bool scan = true);

}  // namespace lb::observe
