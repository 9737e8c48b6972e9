// Counts allocations of the program it is preloaded into; `gpuinfer bench engine` reads the count.
//
//   cc -O2 -shared -fPIC -o /tmp/malloc-count.so Scripts/malloc-count.c
//   LD_PRELOAD=/tmp/malloc-count.so gpuinfer bench engine
//
// glibc took its malloc hooks away in 2.34; interposing the functions is what is left.
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

static uint64_t count;

uint64_t gpi_malloc_count(void) { return __atomic_load_n(&count, __ATOMIC_RELAXED); }

static void note(void) { __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED); }

void* malloc(size_t size) {
  note();
  return __libc_malloc(size);
}

void* calloc(size_t items, size_t size) {
  note();
  return __libc_calloc(items, size);
}

void* realloc(void* old, size_t size) {
  note();
  return __libc_realloc(old, size);
}

void* memalign(size_t alignment, size_t size) {
  note();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** result, size_t alignment, size_t size) {
  void* memory = memalign(alignment, size);
  if (memory == NULL) return ENOMEM;
  *result = memory;
  return 0;
}
