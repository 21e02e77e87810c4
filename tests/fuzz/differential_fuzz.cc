// SPDX-License-Identifier: Apache-2.0
// Hostile frames through BPF_PROG_TEST_RUN, the pipeline and the referee, as in
// tests/bpf/differential_test.cc: any disagreement is a crash. Needs root; without, or where the
// kernel does not permit it, it says so and is skipped.
// Input: records of a control byte, a length (two bytes) and the frame, over a world that has seen
// some changes. `--write-seeds=DIR` writes the seeds that the corpus directory holds.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "dataplane/base/bpf_object.h"
#include "tests/support/packet_corpus.h"
#include "tests/support/three_ways.h"

namespace lb {
namespace {

using test::Bytes;
using test::ThreeWays;

constexpr std::uint64_t kWorld = 7;
constexpr int kChanges = 25;
constexpr std::size_t kFramesOfSeed = 4;

void check(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  std::abort();
}

void agree(const std::optional<std::string>& wrong) {
  if (!wrong) return;
  std::fprintf(stderr, "%s\n", wrong->c_str());
  std::abort();
}

std::unique_ptr<ThreeWays> make_ways() {
  auto made = ThreeWays::create();
  if (!made) {
    const bool skip =
        made.error().code == BpfError::NoPermission || made.error().code == BpfError::Unsupported;
    std::fprintf(stderr, "%s%s\n", skip ? "SKIP: " : "", made.error().message.c_str());
    std::exit(skip ? 0 : 1);
  }
  check((*made)->begin(kWorld));
  for (int i = 0; i < kChanges; ++i) check((*made)->change());
  return std::move(*made);
}

ThreeWays& ways() {
  static const std::unique_ptr<ThreeWays> made = make_ways();
  return *made;
}

// Control: bit 0 time passes before, bit 1 the ageing goes around.
void record(std::uint8_t control, Bytes frame) {
  frame.resize(std::clamp<std::size_t>(frame.size(), 14, 3000));
  if ((control & 1) != 0) ways().let_idle();
  if ((control & 2) != 0) ways().sweep();
  agree(ways().run(frame));
}

void write_seeds(const std::string& directory) {
  const std::vector<Bytes> frames = test::corpus();
  for (std::size_t first = 0; first < frames.size(); first += kFramesOfSeed) {
    char name[24];
    std::snprintf(name, sizeof name, "/frames-%02zu", first / kFramesOfSeed);
    std::FILE* file = std::fopen((directory + name).c_str(), "wb");
    if (file == nullptr) std::abort();
    for (std::size_t i = first; i < std::min(first + kFramesOfSeed, frames.size()); ++i) {
      Bytes frame = frames[i];
      std::ranges::copy(ways().mac().bytes, frame.begin());
      // Twice: the second finds what the first has left behind.
      for (std::uint8_t control : {0, 0}) {
        Bytes one{control};
        test::put16(one, static_cast<std::uint32_t>(frame.size()));
        test::put(one, frame);
        std::fwrite(one.data(), 1, one.size(), file);
      }
    }
    std::fclose(file);
  }
}

}  // namespace
}  // namespace lb

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kOption = "--write-seeds=";
  (void)lb::ways();
  for (int i = 1; i < *argc; ++i) {
    std::string_view argument = (*argv)[i];
    if (!argument.starts_with(kOption)) continue;
    lb::write_seeds(std::string(argument.substr(kOption.size())));
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lb::check(lb::ways().forget());
  while (size >= 3) {
    std::size_t bytes = std::min<std::size_t>(data[1] << 8 | data[2], size - 3);
    lb::record(data[0], {data + 3, data + 3 + bytes});
    data += 3 + bytes;
    size -= 3 + bytes;
  }
  lb::agree(lb::ways().compare_flows());
  return 0;
}
