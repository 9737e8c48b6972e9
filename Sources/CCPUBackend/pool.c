// A job is open while its chunks are being handed out. Workers that are awake join it and take chunks from
// one counter beside the caller; the caller closes the job when the counter has run out and waits only for
// those who joined. A worker that sleeps, or that the system has not scheduled, therefore never holds anybody
// up.
//
//   state   | job number : 32 | open : 1 | workers that joined : 31 |
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define OPEN ((uint64_t)1 << 31)
#define JOINED (OPEN - 1)
// Some 50 µs: longer than the gap between two operations of a step, shorter than anyone would notice.
#define SPINS_BEFORE_SLEEP 2000
#define SPINS_BEFORE_YIELD 2000

typedef struct {
  gpi_pool* pool;
  size_t index;
  pthread_t thread;
} worker;

struct gpi_pool {
  _Alignas(64) _Atomic uint64_t state;
  _Alignas(64) _Atomic size_t next;
  _Alignas(64) _Atomic uint64_t finished;
  _Alignas(64) gpi_work work;
  const void* args;
  size_t chunks;
  _Atomic int sleeping;
  _Atomic int stopping;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  size_t threads;
  worker workers[];
};

static inline void pause_cpu(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void take_chunks(gpi_pool* pool, size_t thread) {
  for (;;) {
    size_t chunk = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    if (chunk >= pool->chunks) return;
    pool->work(pool->args, chunk, thread);
  }
}

static int has_news(gpi_pool* pool, uint64_t seen) {
  uint64_t state = atomic_load(&pool->state);
  return ((state & OPEN) && (state >> 32) != seen) || atomic_load(&pool->stopping);
}

static void wait_for_news(gpi_pool* pool, uint64_t seen) {
  for (int spin = 0; spin < SPINS_BEFORE_SLEEP; spin++) {
    if (has_news(pool, seen)) return;
    pause_cpu();
  }
  pthread_mutex_lock(&pool->lock);
  // The caller opens a job, then looks at `sleeping`; we announce sleep, then look at the job: one of us sees
  // the other.
  atomic_fetch_add(&pool->sleeping, 1);
  while (!has_news(pool, seen)) pthread_cond_wait(&pool->wake, &pool->lock);
  atomic_fetch_sub(&pool->sleeping, 1);
  pthread_mutex_unlock(&pool->lock);
}

static void* worker_main(void* argument) {
  worker* self = argument;
  gpi_pool* pool = self->pool;
  uint64_t seen = 0;
  for (;;) {
    wait_for_news(pool, seen);
    if (atomic_load(&pool->stopping)) return NULL;
    uint64_t state = atomic_load(&pool->state);
    if (!(state & OPEN) || (state >> 32) == seen) continue;
    if (!atomic_compare_exchange_strong(&pool->state, &state, state + 1)) continue;
    seen = state >> 32;
    take_chunks(pool, self->index);
    atomic_fetch_add_explicit(&pool->finished, 1, memory_order_release);
  }
}

void gpi_pool_destroy(gpi_pool* pool) {
  atomic_store(&pool->stopping, 1);
  pthread_mutex_lock(&pool->lock);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
  for (size_t i = 0; i + 1 < pool->threads; i++) pthread_join(pool->workers[i].thread, NULL);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  free(pool);
}

gpi_pool* gpi_pool_create(size_t threads) {
  void* memory = NULL;
  size_t bytes = sizeof(gpi_pool) + threads * sizeof(worker);
  if (posix_memalign(&memory, 64, bytes)) return NULL;
  gpi_pool* pool = memory;
  atomic_init(&pool->state, 0);
  atomic_init(&pool->next, 0);
  atomic_init(&pool->finished, 0);
  atomic_init(&pool->sleeping, 0);
  atomic_init(&pool->stopping, 0);
  pool->threads = threads;
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  for (size_t i = 0; i + 1 < threads; i++) {
    pool->workers[i] = (worker){.pool = pool, .index = i + 1};
    if (pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i])) {
      pool->threads = i + 1;
      break;
    }
  }
  return pool;
}

size_t gpi_pool_threads(const gpi_pool* pool) { return pool->threads; }

void gpi_pool_run(gpi_pool* pool, gpi_work work, const void* args, size_t chunks) {
  if (pool->threads == 1 || chunks <= 1) {
    for (size_t chunk = 0; chunk < chunks; chunk++) work(args, chunk, 0);
    return;
  }
  pool->work = work;
  pool->args = args;
  pool->chunks = chunks;
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
  uint64_t job = ((atomic_load_explicit(&pool->state, memory_order_relaxed) >> 32) + 1) & UINT32_MAX;
  atomic_store(&pool->state, (job << 32) | OPEN);
  if (atomic_load(&pool->sleeping)) {
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
  }
  take_chunks(pool, 0);
  uint64_t joined = atomic_fetch_and(&pool->state, ~OPEN) & JOINED;
  for (int spin = 0; atomic_load_explicit(&pool->finished, memory_order_acquire) != joined; spin++) {
    if (spin < SPINS_BEFORE_YIELD) {
      pause_cpu();
    } else {
      sched_yield();
    }
  }
}
