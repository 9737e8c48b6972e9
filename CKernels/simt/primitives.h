// The host bodies of the device primitives, for device/*.h. Included by device/platform.h only.
//
// All of them live out of line: kernel sources stay quick to compile, and can be instrumented for the checker
// without instrumenting the emulation itself. Nothing here may be inline or a template of the standard
// library, because such code would be merged between instrumented and plain object files.
#pragma once

#include <cstdint>

namespace gpu {
namespace simt {

// Where the running thread stands.
int thread_index();
int thread_count();
int block_index(int axis);
int grid_size(int axis);

// Warp collectives.
enum class Shuffle { index, exclusive_or, up, down };
void sync_warp(uint32_t mask, Site site);
uint32_t shuffle(Shuffle kind, uint32_t value, int operand, uint32_t mask, Site site);
uint32_t ballot(bool predicate, uint32_t mask, Site site);

// Block barriers; `id` 0 is sync_block's.
void sync_block(Site site);
void named_barrier(int id, int threads, bool waits, Site site);

// Shared memory.
uint64_t add_atomically(void* target, int bytes, uint64_t value, Site site);
unsigned char* shared_memory();
uint32_t shared_address(const void* pointer, Site site);
void copy_async(uint32_t destination, const void* source, int valid, Site site);
void commit_copies(Site site);
void wait_copies(int pending, Site site);

// Matrices.
void load_matrices(uint32_t* registers, int count, bool transposed, uint32_t row, Site site);
void mma_bf16(float* d, const uint32_t* a, uint32_t b0, uint32_t b1, Site site);
void mma_f16(float* d, const uint32_t* a, uint32_t b0, uint32_t b1, Site site);
void mma_s8(int32_t* d, const uint32_t* a, uint32_t b0, uint32_t b1, Site site);

// The special function unit, its errors included.
float exp2_approximate(float x);
float tanh_approximate(float x);

struct Stream;

/// One launch, as device/launch.h describes it.
struct Launch {
  const char* name;
  int grid[3];
  int threads;
  int shared_bytes;
  /// Whether the kernel's translation unit was built for the checker.
  bool reports_accesses;
  const void* arguments;
  int argument_bytes;
  void (*entry)(const void* arguments);
};

/// Runs every block; 0, or 1 after a fault, whose text is then in `stream->fault`. A null stream means
/// default options.
int run(Stream* stream, const Launch& launch);

}  // namespace simt
}  // namespace gpu
