// SPDX-License-Identifier: Apache-2.0
#include "dataplane/table/table_object.h"

#include <fmt/format.h>

#include <new>
#include <utility>
#include <vector>

namespace lb {
namespace {

class HeapTable final : public TableObject {
 public:
  HeapTable(std::vector<std::uint64_t> words, TableRoom room) noexcept
      : TableObject(reinterpret_cast<std::byte*>(words.data()), room,
                    table_class_for(room.slots, room.members)),
        words_(std::move(words)) {}

 private:
  std::vector<std::uint64_t> words_;
};

}  // namespace

TableObject::TableObject(std::byte* memory, TableRoom room, std::uint32_t table_class) noexcept
    : room_(room), class_(table_class) {
  std::byte* at = memory;
  auto take = [&at]<class T>(T*& member, std::size_t count) {
    member = reinterpret_cast<T*>(at);
    at += count * sizeof(T);
  };
  take(head_, 1);
  take(rs_, room.members);
  take(names_, room.members);
  take(hot_, room.slots);
  take(states_, room.slots);
  head_->magic = LB_TABLE_MAGIC;
  head_->version = LB_ABI_VERSION;
}

Result<std::shared_ptr<TableObject>> HeapTableMemory::make(std::uint32_t slots,
                                                           std::uint32_t members) {
  const TableRoom room{(slots + 3) / 4 * 4, members};  // states stay aligned
  try {
    return std::make_shared<HeapTable>(std::vector<std::uint64_t>((room.bytes() + 7) / 8), room);
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM, fmt::format("no memory for a table of {} slots", slots));
  }
}

}  // namespace lb
