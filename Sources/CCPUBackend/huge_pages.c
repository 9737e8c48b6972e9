#define _GNU_SOURCE  // mremap
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "include/gpi_huge_pages.h"

int gpi_move_to_huge_pages(void* address, size_t bytes) {
#if defined(MADV_HUGEPAGE)
  // One page more, to begin at a multiple of one.
  size_t all = bytes + GPI_HUGE_PAGE;
  char* fresh = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fresh == MAP_FAILED) return 0;
  size_t before = -(uintptr_t)fresh % GPI_HUGE_PAGE;
  char* copy = fresh + before;
  if (before) munmap(fresh, before);
  munmap(copy + bytes, GPI_HUGE_PAGE - before);
  if (!madvise(copy, bytes, MADV_HUGEPAGE)) {
    memcpy(copy, address, bytes);
    if (!mprotect(copy, bytes, PROT_READ) &&
        mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, address) != MAP_FAILED)
      return 1;
  }
  munmap(copy, bytes);
#else
  (void)address, (void)bytes;
#endif
  return 0;
}
