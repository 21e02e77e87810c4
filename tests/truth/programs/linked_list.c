// SPDX-License-Identifier: Apache-2.0
// Leaks a list of 50 nodes whose head is lost: one direct leak, 49 behind it.
#include <stdlib.h>

#include "keep.h"

struct node {
  struct node* next;
  char text[20];
};

SITE struct node* push(struct node* next) {
  struct node* node = (struct node*)keep(malloc(sizeof *node));
  node->next = next;
  return node;
}

SITE void lose_list(void) {
  struct node* head = NULL;
  for (int i = 0; i < 50; ++i) head = push(head);
  keep(head);
}

int main(void) {
  lose_list();
  return 0;
}
