// SPDX-License-Identifier: Apache-2.0
// Small files as a whole: read to the end, written to the end. For control and lbctl, at start and
// on command; blocks.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace lb {

/// All that `fd` gives until its end. Errors: EFBIG when that is more than `bytes_max`; errno of
/// read(2).
[[nodiscard]] Result<std::string> read_whole(int fd, std::size_t bytes_max);

/// Writes all of `text`. Errors: errno of write(2), with part of the text written.
[[nodiscard]] Status write_all(int fd, std::string_view text);

/// Writes all of `text` and waits until the disk has it; a pipe or a terminal is just written to.
/// Errors: errno of write(2) or fsync(2), with part of the text written.
[[nodiscard]] Status write_whole(int fd, std::string_view text);

/// Puts a file of mode 0600 with this text in the place of `path`, as a whole: by way of
/// `path`.tmp, and when the disk has it. Errors: errno, without the name; what was there is there
/// still.
[[nodiscard]] Status replace_whole(const std::string& path, std::string_view text);

}  // namespace lb
