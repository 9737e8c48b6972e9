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
bool elect_one(Site site);

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
void mma_sparse_bf16(float* d, const uint32_t* a, const uint32_t* b, uint32_t metadata, int selector,
                     Site site);
void mma_sparse_f16(float* d, const uint32_t* a, const uint32_t* b, uint32_t metadata, int selector,
                    Site site);
void mma_sparse_s8(int32_t* d, const uint32_t* a, const uint32_t* b, uint32_t metadata, Site site);
void mma_s8(int32_t* d, const uint32_t* a, uint32_t b0, uint32_t b1, Site site);
void mma_e4m3(float* d, const uint32_t* a, uint32_t b0, uint32_t b1, Site site);

// mbarriers. An arrival announces `bytes` as well.
void init_mbarrier(uint32_t barrier, int arrivals, Site site);
void publish_mbarriers(Site site);
void arrive_mbarrier(uint32_t barrier, int bytes, Site site);
void wait_mbarrier(uint32_t barrier, int parity, Site site);
void fence_async_proxy(Site site);

// Bulk copies.
/// What a tensor map says, as the emulation keeps it.
struct TensorMapFields {
  const unsigned char* address;
  int64_t size[5];
  /// Bytes; stride[0] is that of an element.
  int64_t stride[5];
  int box[5];
  int rank;
  int element_bytes;
  /// Swizzle, as an integer.
  int swizzle;
};
void encode_tensor_map(uint64_t (&words)[16], const TensorMapFields& fields);
void load_box(uint32_t destination, const uint64_t (&map)[16], uint32_t barrier, const int (&at)[5], int rank,
              Site site);
void load_bytes(uint32_t destination, const void* source, int bytes, uint32_t barrier, Site site);
void store_box(const uint64_t (&map)[16], uint32_t source, const int (&at)[5], int rank, Site site);
void commit_stores(Site site);
void wait_stores(int pending, Site site);

// Warpgroups.
/// What the elements of a product's operands are. Sums are float, of int8 int32.
enum class MatrixType { bfloat16, float16, int8, float8 };
struct Wgmma {
  MatrixType type;
  bool transposed_b;
  bool accumulate;
  int n;
  /// [n / 8][4] sums.
  void* d;
  /// Null when a lies in shared memory.
  const uint32_t* registers;
  /// Descriptors.
  uint64_t a;
  uint64_t b;
  /// k is 32, a comes from registers, and half of it is stored: `metadata` of the lanes that `selector` names
  /// says which.
  bool sparse;
  int selector;
  uint32_t metadata;
};
void wgmma(const Wgmma& request, Site site);
void fence_wgmma(Site site);
void commit_wgmma(Site site);
void wait_wgmma(int pending, Site site);
void set_registers(int count, bool more, Site site);

// The special function unit, its errors included.
float exp2_approximate(float x);
float tanh_approximate(float x);

struct Stream;
int multiprocessor_count(const Stream* stream);

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
  /// The kernel's own function.
  void (*kernel)();
};

/// Told of each launch that is run.
void note_launch(const Launch& launch);

/// Runs every block; 0, or 1 after a fault, whose text is then in `stream->fault`. A null stream means
/// default options.
int run(Stream* stream, const Launch& launch);

}  // namespace simt
}  // namespace gpu
