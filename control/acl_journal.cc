// SPDX-License-Identifier: Apache-2.0
#include "control/acl_journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/files.h"

namespace lb {
namespace {

constexpr std::string_view kHead = "sluice-acl 1\n";
constexpr std::size_t kFileMax = 256UL << 20;
constexpr std::size_t kLinesSlack = 1000;

void add_entry(std::string& text, const AclEntry& entry) {
  text += '+';
  text += entry.prefix.to_string();
  if (entry.is_limit()) {
    fmt::format_to(std::back_inserter(text), " limit {} {}\n", entry.rate, entry.burst);
  } else {
    text += ' ';
    text += acl_action(entry);
    text += '\n';
  }
}

void add_list(std::string& text, const ServiceAddr& service, const OverlayAcl& acl) {
  fmt::format_to(std::back_inserter(text), "list {} {:016x}\n", service.to_string(), acl.basis);
  for (const AclEntry& entry : acl.list.entries()) add_entry(text, entry);
}

void add_change(std::string& text, const ServiceAddr& service, const OverlayAcl& before,
                const OverlayAcl& after) {
  fmt::format_to(std::back_inserter(text), "change {} {:016x}\n", service.to_string(), after.basis);
  const AclChange change = difference(before.list, after.list);
  for (const AclEntry& entry : change.put) add_entry(text, entry);
  for (const AclEntry& entry : change.gone) text += '-' + entry.prefix.to_string() + '\n';
}

std::size_t lines_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

std::string_view take_word(std::string_view& line) {
  const std::size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return word;
}

template <class Number>
std::optional<Number> number(std::string_view text, int base) {
  Number value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<AclEntry> parse_entry(std::string_view line) {
  auto prefix = IpPrefix::parse(take_word(line));
  if (!prefix) return std::nullopt;
  AclEntry entry{.prefix = *prefix};
  const std::string_view action = take_word(line);
  if (action == "limit") {
    auto rate = number<std::uint32_t>(take_word(line), 10);
    auto burst = number<std::uint32_t>(take_word(line), 10);
    if (!rate || !burst || *rate < 1 || *rate > LB_ACL_RATE_MAX || *burst < 1 ||
        *burst > LB_ACL_BURST_MAX) {
      return std::nullopt;
    }
    entry.rate = *rate;
    entry.burst = *burst;
  } else if (action == "allow" || action == "deny") {
    entry.rate = action == "allow" ? LB_ACL_ALLOW : LB_ACL_DENY;
  } else {
    return std::nullopt;
  }
  if (!line.empty()) return std::nullopt;
  return entry;
}

/// Reads line by line.
class Reader {
 public:
  /// False: the line is wrong.
  bool take(std::string_view line) {
    if (line == ".") {
      now_ = nullptr;
      return true;
    }
    if (!line.starts_with('+') && !line.starts_with('-')) return take_head(line);
    if (now_ == nullptr) return false;
    if (line.starts_with('+')) {
      auto entry = parse_entry(line.substr(1));
      if (entry) now_->steps.push_back({*entry, false});
      return entry.has_value();
    }
    auto prefix = IpPrefix::parse(line.substr(1));
    if (prefix) now_->steps.push_back({{.prefix = *prefix}, true});
    return prefix.has_value();
  }
  [[nodiscard]] AclJournal::Lists lists() && {
    AclJournal::Lists all;
    for (auto& [service, history] : histories_) {
      all[service] = {history.basis, list_of(history.steps)};
    }
    return all;
  }

 private:
  struct Step {
    AclEntry entry;
    bool gone;
  };
  struct History {
    std::uint64_t basis = 0;
    std::vector<Step> steps;
  };

  bool take_head(std::string_view line) {
    const std::string_view word = take_word(line);
    auto service = ServiceAddr::parse(take_word(line));
    if (!service) return false;
    now_ = nullptr;
    if (word == "forget") return histories_.erase(*service) == 1 && line.empty();
    auto basis = number<std::uint64_t>(line, 16);
    if (!basis) return false;
    if (word == "list") {
      histories_[*service] = {};
    } else if (word != "change" || !histories_.contains(*service)) {
      return false;
    }
    now_ = &histories_[*service];
    now_->basis = *basis;
    return true;
  }
  /// The last step of each prefix counts.
  static Acl list_of(std::vector<Step>& steps) {
    std::ranges::stable_sort(steps, {}, [](const Step& step) { return step.entry.prefix; });
    std::vector<AclEntry> entries;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const bool last = i + 1 == steps.size() || steps[i + 1].entry.prefix != steps[i].entry.prefix;
      if (last && !steps[i].gone) entries.push_back(steps[i].entry);
    }
    return Acl::of(std::move(entries));
  }

  std::map<ServiceAddr, History> histories_;
  History* now_ = nullptr;
};

}  // namespace

AclJournal::Lists acl_lists(const Overlay& overlay) {
  AclJournal::Lists lists;
  for (const auto& [address, change] : overlay.services) {
    if (change.acl) lists.emplace(address, *change.acl);
  }
  return lists;
}

Status AclJournal::save(const Lists& lists) {
  std::size_t living = lists.size() + 2;
  for (const auto& [service, acl] : lists) living += acl.list.size();
  if (!known_ || lines_ > 2 * living + kLinesSlack) return rewrite(lists);
  std::string text;
  for (const auto& [service, acl] : saved_) {
    if (!lists.contains(service)) text += fmt::format("forget {}\n", service.to_string());
  }
  for (const auto& [service, acl] : lists) {
    auto before = saved_.find(service);
    if (before == saved_.end()) {
      add_list(text, service, acl);
    } else if (before->second != acl) {
      add_change(text, service, before->second, acl);
    }
  }
  if (text.empty()) return {};
  text += ".\n";
  known_ = false;  // until all of it is on the disk
  LB_TRY(append(text));
  known_ = true;
  lines_ += lines_of(text);
  saved_ = lists;
  return {};
}

Status AclJournal::append(const std::string& text) {
  Fd file(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail_errno(errno, fmt::format("access lists {}", path_));
  auto status = write_whole(file.get(), text);
  if (!status) return fail_in(fmt::format("access lists {}", path_), std::move(status).error());
  return {};
}

Status AclJournal::rewrite(const Lists& lists) {
  known_ = false;
  std::string text(kHead);
  for (const auto& [service, acl] : lists) add_list(text, service, acl);
  text += ".\n";
  if (lists.empty() && ::access(path_.c_str(), F_OK) != 0 && errno == ENOENT) return {};
  auto status = replace_whole(path_, text);
  if (!status) return fail_in(fmt::format("access lists {}", path_), std::move(status).error());
  known_ = true;
  lines_ = lines_of(text);
  saved_ = lists;
  return {};
}

Result<AclJournal::Lists> AclJournal::parse(std::string_view text) {
  if (!text.starts_with(kHead)) return fail(EBADMSG, "line 1 is not \"sluice-acl 1\"");
  // What follows the last change was cut off in the middle.
  const std::size_t last = text.rfind("\n.\n");
  text = last == std::string_view::npos ? std::string_view() : text.substr(0, last + 3);
  if (!text.empty()) text.remove_prefix(kHead.size());
  Reader reader;
  for (std::size_t line = 2; !text.empty(); ++line) {
    const std::size_t end = text.find('\n');
    if (!reader.take(text.substr(0, end))) {
      return fail(EBADMSG, fmt::format("line {} cannot be understood", line));
    }
    text.remove_prefix(end + 1);
  }
  return std::move(reader).lists();
}

Result<AclJournal::Lists> AclJournal::load(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) return Lists{};
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return fail_errno(errno, fmt::format("access lists {}", path));
  auto text = read_whole(file.get(), kFileMax);
  if (!text) return fail_in(fmt::format("access lists {}", path), std::move(text).error());
  auto lists = parse(*text);
  if (!lists) return fail_in(fmt::format("access lists {}", path), std::move(lists).error());
  return lists;
}

}  // namespace lb
