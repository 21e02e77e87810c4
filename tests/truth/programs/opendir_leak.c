// SPDX-License-Identifier: Apache-2.0
// Leaks a directory that is not closed: 32 kB of libc.
#include <dirent.h>
#include <stdio.h>

#include "keep.h"

SITE DIR* open_directory(void) {
  DIR* directory = opendir("/proc/self");
  keep(directory);
  return readdir(directory) ? directory : NULL;
}

int main(void) {
  closedir(open_directory());
  return open_directory() == NULL;
}
