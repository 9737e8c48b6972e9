// A paged KV cache of 8-bit codes: where a head's rows lie, and tiles of them in shared memory.
//
// ```
// cache   [block][0 key, 1 value][key_heads] | codes [16 tokens][head_dimension] | float scales [16 tokens] |
// ```
// A component is code · scale. Tiles come as they are, by cp.async, and are widened there: keys to their
// codes alone, which bf16 and f16 hold exactly, so that a score is scaled once, in float; values to code ·
// scale, rounded once.
#pragma once

#include "attention/arguments.h"
#include "attention/cache.h"
#include "device/codes8.h"
#include "device/device.h"
#include "device/tile.h"

namespace gpu {

/// One key head of one sequence.
class CodeCacheHead {
 public:
  GPU_DEVICE CodeCacheHead(const AttentionArguments& p, int sequence, int key_head)
      : record_(kv_block_tokens * (p.head_dimension + 4)),
        half_block_(int64_t(p.key_heads) * record_),
        head_dimension_(p.head_dimension),
        first_(static_cast<const unsigned char*>(p.cache) + key_head * int64_t(record_)),
        table_(p.block_tables + int64_t(sequence) * p.table_stride) {}

  /// The codes of a position's key or value; null outside of `begin ..< end`.
  GPU_DEVICE const unsigned char* row(int position, int begin, int end, CachePart part) const {
    if (position < begin || position >= end) return nullptr;
    return block(position, part) + position % kv_block_tokens * head_dimension_;
  }

  /// The scales of the four positions from `position`, a multiple of 4, on.
  GPU_DEVICE const unsigned char* scales(int position, CachePart part) const {
    return block(position, part) + kv_block_tokens * head_dimension_ + position % kv_block_tokens * 4;
  }

 private:
  GPU_DEVICE const unsigned char* block(int position, CachePart part) const {
    return first_ + (int64_t(table_[position / kv_block_tokens]) * 2 + int(part)) * half_block_;
  }

  /// Bytes of one head of one block, and of all heads of its keys or values.
  int record_;
  int64_t half_block_;
  int head_dimension_;
  const unsigned char* first_;
  const int32_t* table_;
};

/// `rows` rows of a part of the cache in shared memory, as codes:
///
/// ```
/// shared   [rows][columns] codes | float scales [rows]
/// ```
template <class T, int columns, int rows, int threads>
struct CodeTile {
  static constexpr int chunks = columns / 16;
  static constexpr int code_bytes = rows * columns;
  static constexpr int bytes = code_bytes + rows * 4;

  /// Starts the copy of the positions from `first`, a multiple of 16, on; those outside of `begin ..< end`
  /// are zeros. `fallback` is any readable, aligned address.
  GPU_DEVICE static void copy(SharedAddress target, const CodeCacheHead& cache, int head_dimension, int first,
                              int begin, int end, CachePart part, const void* fallback) {
    GPU_UNROLL
    for (int step = 0; step < (rows * chunks + threads - 1) / threads; ++step) {
      const int i = step * threads + thread_index();
      if (rows * chunks % threads != 0 && i >= rows * chunks) break;
      const unsigned char* row = cache.row(first + i / chunks, begin, end, part);
      const int column = i % chunks * 16;
      const bool present = row != nullptr && column < head_dimension;
      copy_async(target + SharedAddress(i * 16), present ? row + column : fallback, present ? 16 : 0);
    }
    if (thread_index() < rows / 4) {
      const int position = first + thread_index() * 4;
      const int left = end - position < 4 ? end - position : 4;
      const bool present = left > 0 && position + 4 > begin;
      copy_async(target + SharedAddress(code_bytes + thread_index() * 16),
                 present ? cache.scales(position, part) : fallback, present ? left * 4 : 0);
    }
  }

  /// Keys, without their scales, which go to `scales` `[rows]` for positions in `begin ..< end`.
  GPU_DEVICE static void widen_keys(const unsigned char* source, unsigned char* tile, float* scales,
                                    int first, int begin, int end, bool is_float8) {
    each_chunk([&](int row, int chunk) {
      const Packed codes = *reinterpret_cast<const Packed*>(source + (row * chunks + chunk) * 16);
      put(tile, row, chunk, codes, 1.0f, is_float8);
      if (chunk != 0) return;
      scales[row] = is_inside(first + row, begin, end) ? scale(source, row) : 0.0f;
    });
  }

  GPU_DEVICE static void widen_values(const unsigned char* source, unsigned char* tile, int first, int begin,
                                      int end, bool is_float8) {
    each_chunk([&](int row, int chunk) {
      const Packed codes = *reinterpret_cast<const Packed*>(source + (row * chunks + chunk) * 16);
      put(tile, row, chunk, codes, is_inside(first + row, begin, end) ? scale(source, row) : 0.0f, is_float8);
    });
  }

 private:
  /// What lies outside may be anything: 0 · NaN is NaN.
  GPU_DEVICE static bool is_inside(int position, int begin, int end) {
    return position >= begin && position < end;
  }
  GPU_DEVICE static float scale(const unsigned char* source, int row) {
    return reinterpret_cast<const float*>(source + code_bytes)[row];
  }

  template <class Body>
  GPU_DEVICE static void each_chunk(Body body) {
    [[maybe_unused]] constexpr int unrolled = 2;
    GPU_UNROLL_SOME
    for (int step = 0; step < (rows * chunks + threads - 1) / threads; ++step) {
      const int i = step * threads + thread_index();
      if (rows * chunks % threads != 0 && i >= rows * chunks) break;
      body(i / chunks, i % chunks);
    }
  }

  /// Sixteen codes become two chunks of eight elements.
  GPU_DEVICE static void put(unsigned char* tile, int row, int chunk, const Packed& codes, float factor,
                             bool is_float8) {
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      Packed wide;
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        const uint32_t word = codes.word[2 * half + i / 2] >> (16 * (i % 2));
        const float low = code_value(word & 255u, is_float8) * factor;
        const float high = code_value(word >> 8 & 255u, is_float8) * factor;
        wide.word[i] = pack<T>(low, high);
      }
      *reinterpret_cast<Packed*>(tile + Tile<columns>::offset(row, 2 * chunk + half)) = wide;
    }
  }
};

}  // namespace gpu
