// SPDX-License-Identifier: Apache-2.0
// A library for dlopen: gives blocks out, takes them back, and keeps one.
#include <stdlib.h>

#include "../keep.h"

SITE void* library_take(size_t bytes) { return keep(malloc(bytes)); }

SITE void library_give(void* block) { free(block); }
