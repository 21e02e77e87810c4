// SPDX-License-Identifier: Apache-2.0
// Leaks the 7 nodes that tsearch made and that nobody deletes, of 20.
#define _GNU_SOURCE
#include <search.h>
#include <stdio.h>

#include "keep.h"

static int numbers[20];

static int compare(const void* a, const void* b) { return *(const int*)a - *(const int*)b; }

SITE void insert(void** root, int* number) { tsearch(number, root, compare); }

int main(void) {
  void* root = NULL;
  for (int i = 0; i < 20; ++i) {
    numbers[i] = (i * 7) % 20;
    insert(&root, &numbers[i]);
  }
  for (int i = 0; i < 13; ++i) tdelete(&numbers[i], &root, compare);
  keep(root);
  return 0;
}
