// SPDX-License-Identifier: Apache-2.0
#include "observe/plan/allocators.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "dataplane/base/text.h"
#include "observe/plan/call_paths.h"
#include "observe/plan/elf_functions.h"

namespace lb::observe {
namespace {

// Symbols that only one library has.
constexpr auto kMarks = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"gnu_get_libc_version", "glibc"},
    {"__libc_start_main", "libc"},
    {"mallctl", "jemalloc"},
    {"je_mallctl", "jemalloc"},
    {"tc_version", "tcmalloc"},
    {"MallocExtension_Internal_GetNumericProperty", "tcmalloc"},
    {"mi_version", "mimalloc"},
    {"__cxa_throw", "C++ runtime"},
});

bool has_prefix_role(std::string_view name, const AllocOption& option) {
  return !option.prefix.empty() && name.starts_with(option.prefix) &&
         wrapper_role(name.substr(option.prefix.size())).has_value();
}

/// All that the planner wants to know of an object: what it may probe, what tells libraries apart,
/// and what the walk through operator new has to know.
bool is_interesting(std::string_view name, const AllocatorOptions& options) {
  if (role_of(name) || never_returns(name)) return true;
  if (std::ranges::find(kMarks, name, &decltype(kMarks)::value_type::first) != kMarks.end()) {
    return true;
  }
  return std::ranges::any_of(
      options.alloc, [&](const AllocOption& option) { return has_prefix_role(name, option); });
}

bool is_free(std::string_view name) { return role_of(name) == Role::Free; }
bool is_allocation(std::string_view name) {
  const auto role = role_of(name);
  return role && allocates(*role);
}

std::string function_name(const LoadedObject& object, const ElfFunction& function) {
  return fmt::format("{}:{}", object.file.shown, function.names.front());
}

/// What a function is, of all its names.
struct Meaning {
  Role role;
  std::uint8_t first_argument = 0;
  bool throws = false;
};

std::optional<Meaning> meaning_of(const ElfFunction& function, const AllocatorOptions& options) {
  std::optional<Meaning> meaning;
  const bool throws = std::ranges::any_of(function.names, may_throw);
  for (const std::string& name : function.names) {
    const auto role = role_of(name);
    if (!role || !function.global) continue;
    // tcmalloc's operator delete is its free: the C name says more.
    const bool cpp = *role == Role::OperatorNew || *role == Role::OperatorDelete;
    if (!meaning || !cpp) meaning = Meaning{.role = *role, .throws = throws};
  }
  if (meaning) return meaning;
  for (const AllocOption& option : options.alloc) {
    for (const std::string& name : function.names) {
      if (!has_prefix_role(name, option)) continue;
      return Meaning{.role = *wrapper_role(std::string_view(name).substr(option.prefix.size())),
                     .first_argument = option.first_argument,
                     .throws = throws || name.starts_with("_Z")};
    }
  }
  return std::nullopt;
}

bool is_mapping(Role role) {
  return role == Role::Mmap || role == Role::Munmap || role == Role::Mremap || role == Role::Brk ||
         role == Role::Sbrk;
}

class Finder {
 public:
  Finder(std::span<const LoadedObject> objects, const AllocatorOptions& options)
      : objects_(objects), options_(options), paths_(objects) {}

  AllocatorPlan run() {
    for (const LoadedObject& object : objects_) {
      recognise(object);
      for (const ElfFunction& function : object.functions) consider(object, function);
    }
    return std::move(plan_);
  }

 private:
  void recognise(const LoadedObject& object) {
    std::string_view kind;
    bool gives_memory = false;
    for (const ElfFunction& function : object.functions) {
      const auto meaning = meaning_of(function, options_);
      gives_memory = gives_memory ||
                     (meaning && (allocates(meaning->role) || meaning->role == Role::OperatorNew));
      for (const auto& [mark, name] : kMarks) {
        if (std::ranges::find(function.names, mark) == function.names.end()) continue;
        const bool weak = kind.empty() || kind == "libc" || kind == "C++ runtime";
        if (weak && !(kind == "libc" && name == "C++ runtime")) kind = name;
      }
    }
    if (!gives_memory) return;
    std::string text(kind.empty() ? "other" : kind);
    if (object.elf.linkage() == ElfLinkage::StaticProgram) text += ", static";
    plan_.allocators.push_back({object.file.shown, std::move(text)});
  }

  void consider(const LoadedObject& object, const ElfFunction& function) {
    auto meaning = meaning_of(function, options_);
    if (!meaning) return;
    if (is_mapping(meaning->role) && !options_.mappings) return;
    if (meaning->role == Role::Dlopen && !options_.loading) return;
    if (function.ifunc) {
      plan_.refusals.push_back(
          fmt::format("{} is chosen among several functions when the program starts (IFUNC): "
                      "its calls are not seen",
                      function_name(object, function)));
      return;
    }
    if (left_to_target(object, function, meaning->role)) return;
    bool unseen = false;
    if (meaning->role == Role::OperatorNew) {
      const bool shown = shown_by_malloc(object, function);
      if (shown && !options_.tag_operator_new) return;
      unseen = !shown;
    }
    if (meaning->role == Role::OperatorDelete && comes_by_free(object, function)) return;
    add(object, function, *meaning, unseen);
  }

  /// A function that begins with a jump to one of the same role, which is probed itself.
  bool left_to_target(const LoadedObject& object, const ElfFunction& function, Role role) {
    const auto code = object.elf.peek(function.address);
    const auto first = decode(code);
    if (!first) return false;
    std::vector<std::string> names;
    if (first->flow == Flow::Jump) {
      names =
          CallPaths::names_at(object, function.address + static_cast<std::uint64_t>(first->target));
    } else if (first->flow == Flow::IndirectJump && first->slot) {
      names.emplace_back(
          object.elf.import_at(function.address + static_cast<std::uint64_t>(*first->slot)));
    }
    return std::ranges::any_of(names, [&](const std::string& name) {
      return role_of(name) == role && is_defined(name, function);
    });
  }

  bool is_defined(const std::string& name, const ElfFunction& not_this) const {
    return std::ranges::any_of(objects_, [&](const LoadedObject& object) {
      return std::ranges::any_of(object.functions, [&](const ElfFunction& function) {
        return &function != &not_this && !function.ifunc && function.global &&
               std::ranges::find(function.names, name) != function.names.end();
      });
    });
  }

  bool shown_by_malloc(const LoadedObject& object, const ElfFunction& function) {
    const PathsTo paths = paths_.find(object, function, is_allocation);
    if (paths.all) return true;
    const char* why = !paths.certain ? "its code cannot be followed to a call of malloc"
                      : paths.some   ? "it does not call malloc on every path"
                                     : "it does not call malloc";
    plan_.refusals.push_back(
        fmt::format("{}: {}, and a return probe would end the program when it throws: its calls "
                    "are counted, its blocks are not seen",
                    function_name(object, function), why));
    return false;
  }

  bool comes_by_free(const LoadedObject& object, const ElfFunction& function) {
    return paths_.find(object, function, is_free).some;
  }

  void add(const LoadedObject& object, const ElfFunction& function, const Meaning& meaning,
           bool unseen) {
    const RoleUse use = use_of(meaning.role);
    if (use.returns && meaning.throws) {
      plan_.refusals.push_back(fmt::format(
          "{} may throw, and a return probe would end the program then: it is not probed",
          function_name(object, function)));
      return;
    }
    const SiteNeed need{.arguments = unsigned{use.arguments} + meaning.first_argument,
                        .return_probe = use.returns};
    const auto code = object.elf.code(function);
    const ProbeSite site = choose_site(code, need, [&](std::int64_t offset) {
      return object.elf.peek(function.address + static_cast<std::uint64_t>(offset));
    });
    if (site.way == UprobeWay::Refused) {
      plan_.refusals.push_back(
          fmt::format("{} cannot be probed: {}", function_name(object, function), site.reason));
      return;
    }
    plan_.points.push_back({.file = object.file,
                            .names = function.names,
                            .role = meaning.role,
                            .function_offset = function.file_offset,
                            .site = site,
                            .returns = use.returns,
                            .first_argument = meaning.first_argument,
                            .unseen = unseen});
  }

  std::span<const LoadedObject> objects_;
  const AllocatorOptions& options_;
  CallPaths paths_;
  AllocatorPlan plan_;
};

/// Opens the files; those that cannot be read become notes.
std::vector<LoadedObject> load(std::span<const CodeFile> files, const AllocatorOptions& options,
                               std::vector<std::string>& notes) {
  std::vector<LoadedObject> objects;
  objects.reserve(files.size());
  for (const CodeFile& file : files) {
    auto elf = ElfObject::open(file.path);
    if (!elf) {
      notes.push_back(fmt::format("{} is left out: {}", file.shown, elf.error().message));
      continue;
    }
    LoadedObject object{.file = file, .elf = std::move(*elf), .functions = {}, .by_address = {}};
    object.functions =
        object.elf.functions([&](std::string_view name) { return is_interesting(name, options); });
    for (const ElfFunction& function : object.functions) {
      object.by_address[function.address] = &function;
    }
    if (!object.functions.empty()) objects.push_back(std::move(object));
  }
  return objects;
}

/// That the library of --alloc PATH is one: it must not be passed over, as others are.
Status check_library(const std::string& path) {
  const auto elf = ElfObject::open(path);
  if (!elf) return fail_in("--alloc", elf.error());
  const auto wanted = [](std::string_view name) {
    const auto role = role_of(name);
    return role && (allocates(*role) || *role == Role::Free || *role == Role::OperatorNew);
  };
  if (!elf->functions(wanted).empty()) return {};
  return fail(ENOENT,
              fmt::format("--alloc {}: no function malloc, calloc, realloc, free, ... in it "
                          "(stripped, or by other names? then give their prefix)",
                          quoted(path)));
}

/// That some object has functions of each --alloc PREFIX.
Status check_prefixes(const AllocatorOptions& options, std::span<const LoadedObject> objects) {
  for (const AllocOption& option : options.alloc) {
    if (option.prefix.empty()) continue;
    const bool found = std::ranges::any_of(objects, [&](const LoadedObject& object) {
      return std::ranges::any_of(object.functions, [&](const ElfFunction& function) {
        return std::ranges::any_of(
            function.names, [&](const std::string& name) { return has_prefix_role(name, option); });
      });
    });
    if (!found) {
      return fail(ENOENT,
                  fmt::format("--alloc {}: no function {}malloc, {}alloc, {}free, ... in "
                              "the program or its libraries (it may be inlined, or the "
                              "program stripped)",
                              quoted(option.prefix), option.prefix, option.prefix, option.prefix));
    }
  }
  return {};
}

}  // namespace

Result<AllocOption> AllocOption::parse(std::string_view text) {
  AllocOption option;
  if (text.contains('/')) {
    option.path = text;
    return option;
  }
  std::string_view prefix = text.substr(0, text.find('+'));
  if (prefix.size() != text.size()) {
    const std::string_view skipped = text.substr(prefix.size() + 1);
    unsigned value = 0;
    const auto [end, error] =
        std::from_chars(skipped.data(), skipped.data() + skipped.size(), value);
    if (error != std::errc{} || end != skipped.data() + skipped.size() || value > 3) {
      return fail(EINVAL, fmt::format("--alloc {}: after + comes the number of arguments before "
                                      "the size, 0 to 3",
                                      quoted(text)));
    }
    option.first_argument = static_cast<std::uint8_t>(value);
  }
  for (const std::string_view base : {"malloc", "calloc", "realloc", "alloc", "free"}) {
    if (!prefix.ends_with(base)) continue;
    prefix.remove_suffix(base.size());
    break;
  }
  const bool name = std::ranges::all_of(prefix, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
  if (prefix.empty() || !name) {
    return fail(EINVAL, fmt::format("--alloc {}: write the path of a library, or the prefix of "
                                    "wrappers (z for zmalloc and zfree, pool_ for pool_alloc)",
                                    quoted(text)));
  }
  option.prefix = prefix;
  return option;
}

Result<AllocatorPlan> find_allocators(std::span<const CodeFile> files,
                                      const AllocatorOptions& options) {
  std::vector<CodeFile> all(files.begin(), files.end());
  for (const AllocOption& option : options.alloc) {
    if (option.path.empty()) continue;
    struct stat status{};
    if (stat(option.path.c_str(), &status) != 0) {
      return fail_errno(errno, fmt::format("--alloc {}", quoted(option.path)));
    }
    LB_TRY(check_library(option.path));
    const bool known = std::ranges::any_of(all, [&](const CodeFile& file) {
      return file.device == status.st_dev && file.inode == status.st_ino;
    });
    if (!known) all.push_back({option.path, option.path, status.st_dev, status.st_ino});
  }
  std::vector<std::string> notes;
  const std::vector<LoadedObject> objects = load(all, options, notes);
  if (auto fit = check_prefixes(options, objects); !fit) {
    if (!options.may_have_none) return std::unexpected(std::move(fit).error());
    notes.push_back(std::move(fit).error().message);
  }
  AllocatorPlan plan = Finder(objects, options).run();
  plan.notes.insert(plan.notes.end(), notes.begin(), notes.end());
  const bool frees = std::ranges::any_of(
      plan.points, [](const ProbePoint& point) { return allocates(point.role); });
  if (!frees) {
    const std::string program = files.empty() ? "" : files.front().shown;
    std::string message = fmt::format(
        "{}: no allocator function found in the program or its libraries (static and "
        "stripped?); name one by --alloc PATH or --alloc PREFIX",
        quoted(program));
    for (const std::string& refusal : plan.refusals) message += "; " + refusal;
    if (!options.may_have_none) return fail(ENOENT, std::move(message));
    plan.notes.push_back(std::move(message));
  }
  return plan;
}

}  // namespace lb::observe
