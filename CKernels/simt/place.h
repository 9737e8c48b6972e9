// A place in a kernel's source, in one word: a Site of a primitive call, or the address of a plain load or
// store.
#pragma once

#include <cstdint>
#include <string>

#include "device/platform.h"

namespace gpu::simt {

class Place {
 public:
  Place() = default;
  /// User addresses have at most 48 bits, which leaves room for a line number above the file's name.
  Place(Site site) : word_(uint64_t(site.line) << 48 | reinterpret_cast<uint64_t>(site.file)) {}
  /// `return_address` is that of the call which the compiler put behind a load or store.
  static Place of_code(const void* return_address) {
    Place place;
    place.word_ = reinterpret_cast<uint64_t>(return_address);
    return place;
  }

  /// "attention/prefill.cu:42".
  std::string text() const;

 private:
  uint64_t word_ = 0;
};

/// The part of a source path that a reader needs: what follows `CKernels/`, or the last component.
const char* short_path(const char* file);

}  // namespace gpu::simt
