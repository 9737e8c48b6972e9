// How decode attention is launched: a kernel for each width of heads, and the narrowest that holds a head.
#pragma once

#include "attention/decode.h"

namespace gpu {

template <class T, int columns>
GPU_KERNEL(DecodeShape<columns>::threads, 2)
decode_kernel(DecodeArguments d) {
  decode<T, columns, false>(d);
}

template <class T, int columns>
GPU_KERNEL(DecodeShape<columns>::threads, 2)
decode_codes_kernel(DecodeArguments d) {
  decode<T, columns, true>(d);
}

template <class T, int columns, bool codes = false>
Status launch_decode(Stream stream, const char* name, const DecodeArguments& d) {
  using Shape = DecodeShape<columns, codes>;
  LaunchShape shape;
  shape.grid = {d.splits, d.attention.key_heads * decode_tiles(d.attention, Shape::rows),
                d.attention.sequences};
  shape.threads = Shape::threads;
  shape.shared_bytes = Shape::shared_bytes(d.attention.sinks > 0);
  if constexpr (codes) {
    return launch(stream, name, shape, decode_codes_kernel<T, columns>, d);
  } else {
    return launch(stream, name, shape, decode_kernel<T, columns>, d);
  }
}

/// The narrowest form that holds the head.
template <class T>
Status run_decode(Stream stream, const DecodeArguments& d) {
  const int dimension = d.attention.head_dimension;
  if (dimension <= 16) return launch_decode<T, 16>(stream, "decode<16>", d);
  if (dimension <= 32) return launch_decode<T, 32>(stream, "decode<32>", d);
  if (dimension <= 64) return launch_decode<T, 64>(stream, "decode<64>", d);
  if (dimension <= 80) return launch_decode<T, 80>(stream, "decode<80>", d);
  if (dimension <= 96) return launch_decode<T, 96>(stream, "decode<96>", d);
  if (dimension <= 128) return launch_decode<T, 128>(stream, "decode<128>", d);
  return launch_decode<T, 256>(stream, "decode<256>", d);
}

/// The same over a cache of codes; fewer widths, as each costs a kernel.
template <class T>
Status run_decode_codes(Stream stream, const DecodeArguments& d) {
  const int dimension = d.attention.head_dimension;
  if (dimension <= 32) return launch_decode<T, 32, true>(stream, "decode_codes<32>", d);
  if (dimension <= 64) return launch_decode<T, 64, true>(stream, "decode_codes<64>", d);
  if (dimension <= 128) return launch_decode<T, 128, true>(stream, "decode_codes<128>", d);
  return launch_decode<T, 256, true>(stream, "decode_codes<256>", d);
}

Status decode_codes_bf16(Stream stream, const DecodeArguments& arguments);
Status decode_codes_f16(Stream stream, const DecodeArguments& arguments);
Status decode_bf16(Stream stream, const DecodeArguments& arguments);
Status decode_f16(Stream stream, const DecodeArguments& arguments);
Status combine_splits(Stream stream, const DecodeArguments& arguments);

}  // namespace gpu
