// Barriers that live in shared memory, and that asynchronous copies can complete (PTX ISA, mbarrier; sm_90).
//
// A barrier is 8 bytes, aligned to 8. It counts its phases. A phase ends when `arrivals` threads have arrived
// and all bytes that were announced have been written; then the next one begins with the same count.
//
//   phase      0               1               2
//   parity     0               1               0
//   a wait for parity 0 passes ^ here, and one for parity 1 at once in phase 0
//
// In a ring of stages, the producer's first wait for an empty stage is therefore one for parity 1.
// An arrival releases what the thread wrote, and a wait acquires it.
#pragma once

#include "device/shared.h"

namespace gpu {

constexpr int mbarrier_bytes = 8;

/// By one thread, before anybody uses it; `publish_mbarriers` and a barrier of the block must follow.
GPU_DEVICE void init_mbarrier(SharedAddress barrier, int arrivals, Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
#else
  simt::init_mbarrier(barrier, arrivals, site);
#endif
}

/// Makes the calling thread's initialisations visible to asynchronous copies (PTX fence.mbarrier_init).
GPU_DEVICE void publish_mbarriers(Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#else
  simt::publish_mbarriers(site);
#endif
}

GPU_DEVICE void arrive_mbarrier(SharedAddress barrier, Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
#else
  simt::arrive_mbarrier(barrier, 0, site);
#endif
}

/// Arrives, and announces `bytes` that copies will write in this phase.
GPU_DEVICE void arrive_mbarrier_expecting(SharedAddress barrier, int bytes, Site site = Site::here()) {
#if GPU_ON_DEVICE
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
#else
  simt::arrive_mbarrier(barrier, bytes, site);
#endif
}

/// Waits for the end of the phase of this parity.
GPU_DEVICE void wait_mbarrier(SharedAddress barrier, int parity, Site site = Site::here()) {
#if GPU_ON_DEVICE
  uint32_t done;
  do {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
        "selp.u32 %0, 1, 0, done;\n"
        "}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (done == 0);
#else
  simt::wait_mbarrier(barrier, parity, site);
#endif
}

/// Where a thread stands in a ring of stages that are used in turn.
template <int stages>
struct RingPosition {
  int stage = 0;
  /// Parity of the phase that the stage's barriers are in when this thread comes to it.
  int parity = 0;

  GPU_DEVICE void advance() {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

}  // namespace gpu
