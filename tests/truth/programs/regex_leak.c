// SPDX-License-Identifier: Apache-2.0
// Leaks a compiled regular expression of libc, of many blocks and reallocs; another is freed.
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "keep.h"

SITE void compile(regex_t* regex) {
  if (regcomp(regex, "^(a|bc)+[0-9]{2,5}(x|y)?$", REG_EXTENDED)) memset(regex, 0, sizeof *regex);
}

int main(void) {
  regex_t freed, lost;
  compile(&freed);
  compile(&lost);
  printf("%d %d\n", regexec(&lost, "abc123x", 0, NULL, 0), regexec(&freed, "zz", 0, NULL, 0));
  regfree(&freed);
  memset(&lost, 0, sizeof lost);
  keep(&lost);
  return 0;
}
