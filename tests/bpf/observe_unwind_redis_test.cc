// SPDX-License-Identifier: Apache-2.0
// The user-stack unwinder on a program that we did not write: each malloc of redis-server, which
// keeps no frame pointers, seen from the start of its thread.
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "tests/bpf/observe_unwind_probe.h"

#if defined(__x86_64__)

namespace lb::observe {
namespace {

constexpr const char* kServer = "/usr/bin/redis-server";
constexpr const char* kAllocator = "/lib/x86_64-linux-gnu/libjemalloc.so.2";

// A server on a Unix socket in a folder of its own, ended with the object.
class RedisServer {
 public:
  RedisServer() {
    std::string name = std::filesystem::temp_directory_path() / "unwind-redis-XXXXXX";
    folder_ = mkdtemp(name.data());
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return;
    log_ = Fd(ends[0]);
    const Fd its_end(ends[1]);
    pid_ = fork();
    if (pid_ != 0) return;
    dup2(its_end.get(), STDOUT_FILENO);
    execl(kServer, kServer, "--port", "0", "--unixsocket", (folder_ / "socket").c_str(), "--save",
          "", "--dir", folder_.c_str(), nullptr);
    _exit(127);
  }
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;
  ~RedisServer() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
  }

  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }

  // Waits for the server to say that it is ready, or to end.
  [[nodiscard]] Fd connect_to() const {
    std::string log;
    std::array<char, 1024> chunk{};
    while (!log.contains("eady to accept connections")) {
      const ssize_t got = read(log_.get(), chunk.data(), chunk.size());
      if (got <= 0) return {};
      log.append(chunk.data(), static_cast<std::size_t>(got));
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (folder_ / "socket").c_str(), sizeof address.sun_path - 1);
    Fd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto* where = reinterpret_cast<const sockaddr*>(&address);
    return connect(client.get(), where, sizeof address) == 0 ? std::move(client) : Fd();
  }

 private:
  std::filesystem::path folder_;
  Fd log_;
  pid_t pid_ = 0;
};

void ask(const Fd& client, const std::string& command) {
  ASSERT_EQ(write(client.get(), command.data(), command.size()),
            static_cast<ssize_t>(command.size()));
  std::array<char, 4096> reply{};
  ASSERT_GT(read(client.get(), reply.data(), reply.size()), 0);
}

// Where `malloc` is in the file of the allocator; 0: nowhere.
std::uint64_t malloc_offset() {
  const Fd fd(open(kAllocator, O_RDONLY | O_CLOEXEC));
  elf_version(EV_CURRENT);
  const std::unique_ptr<Elf, decltype(&elf_end)> elf(elf_begin(fd.get(), ELF_C_READ, nullptr),
                                                     elf_end);
  for (Elf_Scn* section = elf_nextscn(elf.get(), nullptr); section != nullptr;
       section = elf_nextscn(elf.get(), section)) {
    GElf_Shdr header{};
    Elf_Data* data = elf_getdata(section, nullptr);
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_DYNSYM) continue;
    GElf_Sym symbol{};
    for (int i = 0; gelf_getsym(data, i, &symbol) != nullptr; ++i) {
      const char* name = elf_strptr(elf.get(), header.sh_link, symbol.st_name);
      if (name == nullptr || std::string_view(name) != "malloc" || symbol.st_value == 0) continue;
      GElf_Shdr text{};
      gelf_getshdr(elf_getscn(elf.get(), symbol.st_shndx), &text);
      return symbol.st_value - text.sh_addr + text.sh_offset;
    }
  }
  return 0;
}

TEST(ObserveUnwindRedis, ReachesTheStartOfTheThreadFromEveryMalloc) {
  const std::uint64_t offset = malloc_offset();
  if (!std::filesystem::exists(kServer) || offset == 0) {
    GTEST_SKIP() << "no redis-server with jemalloc here";
  }
  const RedisServer server;
  const Fd client = server.connect_to();
  ASSERT_TRUE(client);
  auto probe = UnwindProbe::start(server.pid());
  ASSERT_TRUE(probe) << probe.error().message;
  const auto learned = probe->tables().learn(server.pid());
  ASSERT_TRUE(learned) << learned.error().message;
  EXPECT_EQ(probe->tables().mappings_without_table(), 0U);
  std::printf("%zu rows of %zu objects, %zu KiB\n", probe->tables().rows(),
              probe->tables().objects(), probe->tables().memory_bytes() >> 10);
  const auto event = attach_uprobe(kAllocator, offset, false, static_cast<int>(server.pid()),
                                   *probe->object().program_fd("by_uprobe"));
  if (!event) GTEST_SKIP() << "no uprobes here: " << event.error().message;

  std::set<std::uint64_t> ends;
  for (int i = 0; i < 500; ++i) {
    const std::string key = std::to_string(i % 500);
    ask(client, fmt::format("SET key{0} value{0}\r\n", key));
    ask(client, fmt::format("LPUSH list{} a b c\r\n", key));
    ask(client, fmt::format("SADD set{0} {0}\r\n", key));
    ask(client, fmt::format("SORT list{} ALPHA\r\n", key));
    if (i % 100 == 0) ask(client, "EVAL \"return redis.call('GET', 'key1')\" 0\r\n");
    for (const TakenStack& stack : probe->drain()) {
      if (!stack.cut()) ends.insert(stack.frames.back());
    }
  }
  const TakenCounts counts = probe->counts();
  ASSERT_GT(counts.stacks, 10'000U);
  EXPECT_LE(counts.cut * 100, counts.stacks);
  EXPECT_LE(ends.size(), 2U);  // _start, and the start of a thread
  std::printf("%llu stacks, %llu cut, %.0f ns a stack of %.1f frames\n",
              static_cast<unsigned long long>(counts.stacks),
              static_cast<unsigned long long>(counts.cut),
              static_cast<double>(counts.ns) / static_cast<double>(counts.stacks),
              static_cast<double>(counts.frames) / static_cast<double>(counts.stacks));
}

}  // namespace
}  // namespace lb::observe

#endif
