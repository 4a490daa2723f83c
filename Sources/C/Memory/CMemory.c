#define _GNU_SOURCE
#include "CMemory.h"

#include <sys/mman.h>

// Linux 5.7; the C library guards it by a feature macro.
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

bool mmoe_move_pages(void *from, void *to, size_t bytes) {
  if (mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to) return true;
  // The kernel may have taken the target's pages away before it gave up.
  mmap(to, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return false;
}
