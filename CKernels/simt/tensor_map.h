// The emulation's tensor maps, and the walk over a box.
#pragma once

#include <cstdint>

#include "device/platform.h"

namespace gpu::simt {

class Block;

/// A box of a tensor, wherever it lies: partly or wholly outside is legal.
struct Box {
  TensorMapFields map;
  int at[5];

  /// Innermost rows of the box, and the bytes of one.
  int rows() const;
  int row_bytes() const { return map.box[0] * map.element_bytes; }
  int bytes() const { return rows() * row_bytes(); }

  /// The part of a row that lies inside of the tensor.
  struct Row {
    /// Null when none does.
    const unsigned char* source;
    /// Bytes of the row before the part, and of the part.
    int before;
    int count;
  };
  Row row(int index) const;
};

/// Decodes a map; faults when the words are none, or have another rank.
Box box_of(Block& block, const uint64_t (&map)[16], const int (&at)[5], int rank, Site site);

}  // namespace gpu::simt
