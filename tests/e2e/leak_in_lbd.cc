// SPDX-License-Identifier: Apache-2.0
// A leak put into lbd, for the test that `observe leak --lbd` finds it: linked with --wrap, so that
// each call of the API goes through here and loses 4096 bytes.
#include <cstdlib>

#include "control/api_router.h"

namespace lb {

ApiResponse real_handle(ApiRouter* router, const ApiRequest& request) asm(
    "__real__ZN2lb9ApiRouter6handleERKNS_10ApiRequestE");
ApiResponse leaking_handle(ApiRouter* router, const ApiRequest& request) asm(
    "__wrap__ZN2lb9ApiRouter6handleERKNS_10ApiRequestE");

[[gnu::noinline]] void forget_a_buffer() {
  void* volatile buffer = std::malloc(4096);
  static_cast<void>(buffer);
}

ApiResponse leaking_handle(ApiRouter* router, const ApiRequest& request) {
  forget_a_buffer();
  return real_handle(router, request);
}

}  // namespace lb
