// SPDX-License-Identifier: Apache-2.0
#include "observe/plan/site_costs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/base/bpf_object_uprobe.h"
#include "dataplane/base/bpf_work_cost.h"
#include "dataplane/base/fd.h"

// The functions that are measured: one begins with an instruction that the kernel emulates, the
// other with one that it does not. Written out, for a compiler may begin a function as it likes.
asm(R"(
  .pushsection .text
  .p2align 4
  .globl lb_observe_site_emulated
  .hidden lb_observe_site_emulated
  .type lb_observe_site_emulated, @function
lb_observe_site_emulated:
  push %rbx
  pop %rbx
  ret
  .size lb_observe_site_emulated, . - lb_observe_site_emulated
  .p2align 4
  .globl lb_observe_site_stepped
  .hidden lb_observe_site_stepped
  .type lb_observe_site_stepped, @function
lb_observe_site_stepped:
  mov %rdi, %rax
  ret
  .size lb_observe_site_stepped, . - lb_observe_site_stepped
  .popsection
)");
extern "C" void lb_observe_site_emulated();
extern "C" void lb_observe_site_stepped();

namespace lb::observe {
namespace {

using Function = void (*)();
constexpr std::array<Function, 2> kFunctions = {lb_observe_site_emulated, lb_observe_site_stepped};
constexpr int kCalls = 500;
constexpr int kRounds = 5;

/// Where a function of this process lies in the file that it was mapped from.
struct OwnPlace {
  std::uint64_t address = 0;
  std::string path;
  std::uint64_t offset = 0;
};

int find_segment(dl_phdr_info* info, std::size_t /*bytes*/, void* out) {
  auto& place = *static_cast<OwnPlace*>(out);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    const std::uint64_t start = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type != PT_LOAD || place.address < start ||
        place.address - start >= segment.p_filesz) {
      continue;
    }
    place.offset = segment.p_offset + (place.address - start);
    place.path = *info->dlpi_name != '\0' ? info->dlpi_name : "/proc/self/exe";
    return 1;
  }
  return 0;
}

OwnPlace place_of(Function function) {
  OwnPlace place{.address = reinterpret_cast<std::uintptr_t>(function), .path = {}};
  dl_iterate_phdr(find_segment, &place);
  return place;
}

double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

/// The middle of some rounds: a hit in the traced program is disturbed as often as these.
double time_calls(Function function) {
  std::array<double, kRounds> ns{};
  for (double& round : ns) {
    const double start = cpu_ns();
    for (int i = 0; i < kCalls; ++i) function();
    round = (cpu_ns() - start) / kCalls;
  }
  std::ranges::sort(ns);
  return ns[kRounds / 2];
}

/// The child: for each byte that comes, calls that function and answers what a call took. Only
/// system calls here, since the parent may have had other threads.
[[noreturn]] void serve(int commands, int answers) {
  std::uint8_t command = 0;
  while (read(commands, &command, 1) == 1 && command < kFunctions.size()) {
    const double ns = time_calls(kFunctions.at(command));
    if (write(answers, &ns, sizeof ns) != static_cast<ssize_t>(sizeof ns)) break;
  }
  _exit(0);
}

struct Pipe {
  Fd read_end;
  Fd write_end;
};
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

/// A child process that calls the functions when it is told to.
class Caller {
 public:
  static Result<Caller> start() {
    LB_TRY_ASSIGN(Pipe commands, make_pipe());
    LB_TRY_ASSIGN(Pipe answers, make_pipe());
    const pid_t pid = fork();
    if (pid < 0) return fail_errno(errno, "fork");
    if (pid == 0) {
      close(commands.write_end.get());
      close(answers.read_end.get());
      serve(commands.read_end.get(), answers.write_end.get());
    }
    return Caller(pid, std::move(commands.write_end), std::move(answers.read_end));
  }
  Caller(Caller&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)),
        commands_(std::move(other.commands_)),
        answers_(std::move(other.answers_)) {}
  Caller& operator=(Caller&&) = delete;
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  ~Caller() {
    if (pid_ < 0) return;
    commands_.reset();  // the child reads the end and leaves
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }

  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }
  [[nodiscard]] Result<double> call(std::size_t function) const {
    const auto command = static_cast<std::uint8_t>(function);
    double ns = 0;
    if (write(commands_.get(), &command, 1) != 1) return fail_errno(errno, "calibration");
    ssize_t got = 0;
    do {
      got = read(answers_.get(), &ns, sizeof ns);
    } while (got < 0 && errno == EINTR);
    if (got != static_cast<ssize_t>(sizeof ns)) return fail(EIO, "calibration: the child ended");
    return ns;
  }

 private:
  Caller(pid_t pid, Fd commands, Fd answers)
      : pid_(pid), commands_(std::move(commands)), answers_(std::move(answers)) {}
  pid_t pid_;
  Fd commands_;
  Fd answers_;
};

Result<UprobeLink> attach(const Caller& caller, int program, UprobeKind kind,
                          std::size_t function) {
  const OwnPlace place = place_of(kFunctions.at(function));
  if (place.path.empty()) return fail(ENOENT, "calibration: own code is not mapped from a file");
  const std::array<std::uint64_t, 1> offsets = {place.offset};
  return attach_uprobes(program, kind, place.path, offsets, {}, caller.pid());
}

/// ns of a call of the function while the kinds of probes are on it.
Result<double> time_probed(const Caller& caller, const std::vector<UprobeKind>& kinds,
                           std::size_t function) {
  std::vector<UprobeLink> links;
  for (const UprobeKind kind : kinds) {
    LB_TRY_ASSIGN(const Fd program, load_empty_uprobe_program(kind));
    LB_TRY_ASSIGN(UprobeLink link, attach(caller, program.get(), kind, function));
    links.push_back(std::move(link));
  }
  return caller.call(function);
}

/// ns of a call of the emulated function while a program on it does a unit of work.
Result<double> time_working(const Caller& caller, UprobeKind kind) {
  LB_TRY_ASSIGN(const BpfWorkProgram work, load_bpf_work_unit(kind));
  LB_TRY_ASSIGN(const UprobeLink link, attach(caller, work.program.get(), kind, 0));
  return caller.call(0);
}

}  // namespace

std::string name_of(Mechanism mechanism) {
  switch (mechanism) {
    case Mechanism::Session:
      return "uprobe.session";
    case Mechanism::Multi:
      return "uprobe.multi";
    case Mechanism::Plain:
      return "uprobe";
  }
  return "";
}

Result<double> measure_trapped_work() {
  LB_TRY_ASSIGN(const Caller caller, Caller::start());
  LB_TRY_ASSIGN(const double empty, time_probed(caller, {UprobeKind::Plain}, 0));
  LB_TRY_ASSIGN(const double working, time_working(caller, UprobeKind::Plain));
  return std::max(working - empty, 0.0);
}

Result<SiteCosts> measure_site_costs(Mechanism mechanism) {
  using Kinds = std::vector<UprobeKind>;
  const bool plain = mechanism == Mechanism::Plain;
  const Kinds entry = {plain ? UprobeKind::Plain : UprobeKind::Multi};
  Kinds both = entry;
  both.push_back(plain ? UprobeKind::PlainReturn : UprobeKind::MultiReturn);
  if (mechanism == Mechanism::Session) both = {UprobeKind::Session};

  LB_TRY_ASSIGN(const Caller caller, Caller::start());
  LB_TRY_ASSIGN(const double free_emulated, time_probed(caller, {}, 0));
  LB_TRY_ASSIGN(const double free_stepped, time_probed(caller, {}, 1));
  LB_TRY_ASSIGN(const double emulated, time_probed(caller, entry, 0));
  LB_TRY_ASSIGN(const double stepped, time_probed(caller, entry, 1));
  LB_TRY_ASSIGN(const double returned, time_probed(caller, both, 0));
  LB_TRY_ASSIGN(const double working, time_working(caller, entry.front()));
  return SiteCosts{.emulated_ns = std::max(emulated - free_emulated, 0.0),
                   .stepped_ns = std::max(stepped - free_stepped, 0.0),
                   .return_ns = std::max(returned - emulated, 0.0),
                   .work_ns = std::max(working - emulated, 0.0),
                   .measured = true};
}

}  // namespace lb::observe
