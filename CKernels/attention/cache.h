// Rows of the paged KV cache.
#pragma once

#include "attention/arguments.h"
#include "device/device.h"

namespace gpu {

enum class CachePart : int { keys, values };

/// One key head of one sequence in the cache [block][0 key, 1 value][key_heads][16 tokens][head_dimension].
template <class T>
class CacheHead {
 public:
  GPU_DEVICE CacheHead(const AttentionArguments& p, int sequence, int key_head)
      : page_(kv_block_tokens * p.head_dimension),
        half_block_(int64_t(p.key_heads) * page_),
        head_dimension_(p.head_dimension),
        first_(static_cast<const T*>(p.cache) + key_head * int64_t(page_)),
        table_(p.block_tables + int64_t(sequence) * p.table_stride) {}

  /// The components of a position's key or value; null outside of `begin ..< end`. Blocks that no query sees
  /// any more may have been given away: their numbers stand for any block, and what lies there may be NaN.
  GPU_DEVICE const T* row(int position, int begin, int end, CachePart part) const {
    if (position < begin || position >= end) return nullptr;
    const int64_t block = table_[position / kv_block_tokens];
    return first_ + (block * 2 + int(part)) * half_block_ + position % kv_block_tokens * head_dimension_;
  }

 private:
  /// Elements of one head of one block, and of all heads of its keys or values.
  int page_;
  int64_t half_block_;
  int head_dimension_;
  const T* first_;
  const int32_t* table_;
};

}  // namespace gpu
