// SPDX-License-Identifier: Apache-2.0
// Leaks the frame of a coroutine that is not destroyed; another is.
// flags: -std=c++20
#include <coroutine>
#include <exception>

#include "keep.h"

struct Task {
  struct promise_type {
    Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

SITE Task start(int number) {
  char text[100];
  text[number] = 1;
  keep(text);
  co_await std::suspend_always{};
  keep(text);
}

int main() {
  Task lost = start(1), freed = start(2);
  lost.handle.resume();
  freed.handle.resume();
  freed.handle.destroy();
  return 0;
}
