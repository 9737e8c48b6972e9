// Writes the step's keys and values into a paged cache of 8-bit codes: one block a token, one warp a head's
// key or value.

#include "device/codes8.h"
#include "elementwise/arguments.h"
#include "elementwise/vectors.h"

namespace gpu {
namespace {

constexpr int block_threads = 128;
constexpr int page_tokens = 16;

/// ```
/// cache [block][0 key, 1 value][head] | codes [16 places][head_dimension] | float scales [16 places] |
/// ```
/// Two codes of neighbouring components are one store.
template <class T>
GPU_KERNEL(block_threads, 8)
append_codes_kernel(AppendArguments p) {
  const bool is_float8 = p.codes == CacheCodes::float8;
  const int64_t token = block_x();
  const int slot = p.slots[token];
  if (slot < 0) return;
  const int place = slot % page_tokens;
  const int64_t record = int64_t(page_tokens) * (p.head_dimension + 4);
  unsigned char* page = static_cast<unsigned char*>(p.cache) + slot / page_tokens * 2 * p.heads * record;
  for (int row = warp_index(); row < 2 * p.heads; row += block_threads / warp_size) {
    const int head = row % p.heads;
    const T* source = row < p.heads ? static_cast<const T*>(p.key) + token * p.key_stride
                                    : static_cast<const T*>(p.value) + token * p.value_stride;
    source += head * p.head_dimension;
    // Sizes as bits: greater ones are greater numbers, and what is not finite is greater than all.
    uint32_t largest = 0;
    for (int i = lane_index(); i < p.head_dimension; i += warp_size) {
      const uint32_t size = bits_of(to_float(source[i])) & 0x7fffffffu;
      largest = size > largest ? size : largest;
    }
    GPU_UNROLL
    for (int distance = warp_size / 2; distance > 0; distance /= 2) {
      const uint32_t other = shuffle_xor(largest, distance);
      largest = other > largest ? other : largest;
    }
    const bool is_finite = largest < 0x7f800000u;
    const float scale =
        is_finite ? divide_rn(float_of(largest), largest_code(is_float8)) : float_of(0x7fc00000u);
    unsigned char* head_page = page + row * record;
    unsigned char* codes = head_page + place * p.head_dimension;
    for (int i = 2 * lane_index(); i < p.head_dimension; i += 2 * warp_size) {
      // Sizes so small that their scale is 0 are 0.
      const float low = scale > 0.0f ? divide_rn(to_float(source[i]), scale) : 0.0f;
      const float high = scale > 0.0f ? divide_rn(to_float(source[i + 1]), scale) : 0.0f;
      *reinterpret_cast<uint16_t*>(codes + i) =
          uint16_t(code_of(low, is_float8) | code_of(high, is_float8) << 8);
    }
    if (lane_index() == 0) {
      reinterpret_cast<float*>(head_page + page_tokens * p.head_dimension)[place] = scale;
    }
  }
}

}  // namespace

Status append_codes(Stream stream, const AppendArguments& given) {
  if (given.codes == CacheCodes::elements || given.head_dimension % 4 != 0) return invalid_arguments;
  if (given.tokens == 0) return 0;
  AppendArguments a = given;
  if (a.key_stride == 0) a.key_stride = int64_t(a.heads) * a.head_dimension;
  if (a.value_stride == 0) a.value_stride = int64_t(a.heads) * a.head_dimension;
  LaunchShape shape;
  shape.grid.x = a.tokens;
  shape.threads = block_threads;
  return a.type == ElementType::bfloat16 ? launch(stream, "append_codes", shape, append_codes_kernel<bf16>, a)
                                         : launch(stream, "append_codes", shape, append_codes_kernel<f16>, a);
}

}  // namespace gpu
