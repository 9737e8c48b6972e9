#include "simt/tensor_map.h"

#include <algorithm>
#include <cstring>

#include "simt/block.h"

namespace gpu::simt {
namespace {

/// Ends the words, so that memory which holds no map is told from one.
constexpr uint64_t mark = 0x70616d726f736e74u;

// What the hardware asks for, and TensorMap's own alignment has. g++ for aarch64 copies a kernel's parameters
// to multiples of 16 only, whatever their type asks for.
#if defined(__aarch64__) && !defined(__clang__)
constexpr uintptr_t alignment = 16;
#else
constexpr uintptr_t alignment = 64;
#endif

}  // namespace

void encode_tensor_map(uint64_t (&words)[16], const TensorMapFields& fields) {
  static_assert(sizeof fields <= 15 * sizeof(uint64_t), "the last word is the mark");
  std::memset(words, 0, sizeof words);
  std::memcpy(words, &fields, sizeof fields);
  words[15] = mark;
}

Box box_of(Block& block, const uint64_t (&map)[16], const int (&at)[5], int rank, Site site) {
  Box box = {};
  if (map[15] != mark) block.fail(site, "%p holds no tensor map", static_cast<const void*>(map));
  if (reinterpret_cast<uintptr_t>(map) % alignment != 0) {
    block.fail(site, "the tensor map at %p is not aligned to 64 bytes", static_cast<const void*>(map));
  }
  std::memcpy(&box.map, map, sizeof box.map);
  if (box.map.rank != rank) {
    block.fail(site, "%d coordinates for a tensor map of rank %d", rank, box.map.rank);
  }
  std::copy(at, at + 5, box.at);
  return box;
}

int Box::rows() const {
  int count = 1;
  for (int i = 1; i < map.rank; ++i) count *= map.box[i];
  return count;
}

Box::Row Box::row(int index) const {
  const unsigned char* source = map.address;
  for (int i = 1; i < map.rank; ++i) {
    const int64_t position = int64_t(at[i]) + index % map.box[i];
    index /= map.box[i];
    if (position < 0 || position >= map.size[i]) return {nullptr, 0, 0};
    source += position * map.stride[i];
  }
  const int64_t first = std::max<int64_t>(at[0], 0);
  const int64_t end = std::min<int64_t>(int64_t(at[0]) + map.box[0], map.size[0]);
  if (first >= end) return {nullptr, 0, 0};
  return {source + first * map.element_bytes, int(first - at[0]) * map.element_bytes,
          int(end - first) * map.element_bytes};
}

}  // namespace gpu::simt
