// SPDX-License-Identifier: Apache-2.0
// AclJournal: the access lists that were changed at run time, beside the state file. A list may
// have a million entries and change by one: so changes are appended, and the file is written anew
// when most of it is history. Control's thread, at start and after changes.
//   sluice-acl 1
//   list 192.0.2.10:80/tcp 00f3...      begins anew; the digest of what the config file said
//   change 192.0.2.10:80/tcp 00f3...    goes on from what stands above
//   +203.0.113.0/24 limit 1000 2000     or "deny", "allow": this entry is there from now on
//   -198.51.100.7/32                    this one is not
//   forget 192.0.2.10:80/tcp            the list is the config file's again
//   .                                   ends a change: what comes after the last one does not count
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "control/overlay.h"

namespace lb {

class AclJournal {
 public:
  using Lists = std::map<ServiceAddr, OverlayAcl>;

  explicit AclJournal(std::string path) : path_(std::move(path)) {}

  /// Appends how `lists` differs from what was saved last, and waits until the disk has it. The
  /// first time, and after an error, it writes the whole file anew. Errors: errno, with the file
  /// named.
  [[nodiscard]] Status save(const Lists& lists);

  /// No file: no lists. Errors: the file cannot be read or understood (EBADMSG).
  [[nodiscard]] static Result<Lists> load(const std::string& path);
  [[nodiscard]] static Result<Lists> parse(std::string_view text);

 private:
  [[nodiscard]] Status rewrite(const Lists& lists);
  [[nodiscard]] Status append(const std::string& text);

  std::string path_;
  Lists saved_;
  bool known_ = false;     ///< the file says what saved_ says
  std::size_t lines_ = 0;  ///< of the file
};

/// The changed lists of an overlay.
[[nodiscard]] AclJournal::Lists acl_lists(const Overlay& overlay);

}  // namespace lb
