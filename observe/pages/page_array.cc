// SPDX-License-Identifier: Apache-2.0
// learn_page_array_base(): raw tracepoints give a struct page, plain ones its number; both of one
// event give the base of the array.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/observe_pages.h"
#include "observe/pages/page_object.h"
#include "observe/pages/page_tracer.h"

namespace lb::observe {
namespace {

constexpr int kAgreeing = 8;  // pairs in a row; an interrupt between the two programs spoils one
constexpr int kTries = 256;
constexpr std::size_t kTouched = 64 * 4096;

/// Makes page allocations of this thread.
void touch_memory() {
  void* memory = mmap(nullptr, kTouched, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory != MAP_FAILED) munmap(memory, kTouched);
}

BpfSpec learner_spec() {
  BpfSpec spec;
  spec.name = "observe_pages";
  spec.elf = pages_object();
  spec.constant("learner", static_cast<std::uint32_t>(syscall(SYS_gettid)));
  spec.left_out = {"observe_pages_alloc",   "observe_pages_free",  "observe_pages_alloc_tp",
                   "observe_pages_free_tp", "observe_pages_moved", "observe_fork",
                   "observe_exit",          "page_frames",         "page_sections",
                   "page_row_ids",          "page_rows",           "page_totals",
                   "observe_stacks",        "observe_scratches",   "observe_counts",
                   "observe_pids",          "page_walks"};
  return spec;
}

}  // namespace

Result<std::uint64_t> learn_page_array_base(std::uint32_t page_bytes) {
  LB_TRY_ASSIGN(auto object, BpfObject::load(learner_spec()));
  LB_TRY_ASSIGN(auto raw, object.attach("observe_pages_learn"));
  LB_TRY_ASSIGN(auto plain, object.attach("observe_pages_learn_tp"));
  LB_TRY_ASSIGN(int fd, object.map_fd("page_pairs"));
  auto pairs = BpfMap::of<std::uint32_t, observe_pages_pair>(fd);
  if (!pairs) return std::unexpected(pairs.error());
  std::uint64_t base = 0;
  int agreeing = 0;
  for (int i = 0; i < kTries && agreeing < kAgreeing; ++i) {
    touch_memory();
    auto pair = pairs->get<observe_pages_pair>(std::uint32_t{1});
    if (!pair || pair->page == 0) continue;
    const auto found = pair->page - pair->frame_number * page_bytes;
    agreeing = found == base ? agreeing + 1 : 1;
    base = found;
  }
  if (agreeing < kAgreeing) return fail(EAGAIN, "this kernel's page array has no single base");
  return base;
}

}  // namespace lb::observe
