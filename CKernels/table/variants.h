// The ways of computing each operation, as data.
//
// A file of this folder holds the variants of one group of operations: the conversion of the C arguments into
// the kernels' own, the shapes a variant takes, and its row. A new variant is a new row.
#pragma once

#include <vector>

#include "device/launch.h"
#include "elementwise/arguments.h"
#include "include/gpi_kernels.h"

namespace gpu::table {

/// What a variant may ask of the device.
struct Device {
  /// 10 * major + minor.
  int capability;
  /// Speed is of no account.
  bool is_emulated;
  /// By which kernels are chosen.
  const gpi_kernel_figures* figures;
  /// Of the context; opaque to everything but the runtime's own variants.
  gpi_kernel_context* context;
};

struct Variant {
  gpi_kernel_variant description;
  /// Whether it takes the arguments, beyond their element type.
  bool (*accepts)(const void* arguments);
  Status (*launch)(Stream stream, const Device& device, const void* arguments);
  /// Scratch bytes; null for none.
  int64_t (*workspace)(const void* arguments) = nullptr;
  /// Why the device cannot run it although its capability fits; null when it can. Null for always.
  const char* (*obstacle)(const Device& device) = nullptr;
  /// Whether to choose it for arguments that it takes, when no other is forced. Null for always.
  bool (*is_preferred)(const Device& device, const void* arguments) = nullptr;
};

/// All variants in the order of preference: those of the runtime first, then our own.
const std::vector<Variant>& variants();

/// `gpi_kernel_table.packed_bytes`, and of the formats of 2:4 weights alone.
int64_t packed_bytes(const gpi_kernel_weight_format* format);
int64_t packed_sparse_bytes(const gpi_kernel_weight_format& format);

std::vector<Variant> elementwise_variants();
std::vector<Variant> linear_variants();
std::vector<Variant> quantized_variants();
std::vector<Variant> lora_variants();
std::vector<Variant> sparse_variants();
std::vector<Variant> attention_variants();
std::vector<Variant> sampling_variants();
/// What only this build has, such as a vendor's library.
std::vector<Variant> runtime_variants();

/// Sets the functions of probes.
void fill_conformance(gpi_kernel_table& table);

constexpr uint32_t sixteen_bit = 1u << GPI_KERNEL_BFLOAT16 | 1u << GPI_KERNEL_FLOAT16;
constexpr uint32_t any_element = sixteen_bit | 1u << GPI_KERNEL_FLOAT32;
/// Every device that there are kernels for: sm_80 (8.0 and 8.6), sm_89 and sm_90a.
constexpr int first_capability = 80, last_capability = 90;

inline ElementType element_type(gpi_kernel_element element) {
  return element == GPI_KERNEL_FLOAT16 ? ElementType::float16 : ElementType::bfloat16;
}

inline CacheCodes cache_codes(gpi_kernel_cache_codes codes) {
  return codes == GPI_KERNEL_CACHE_INT8     ? CacheCodes::int8
         : codes == GPI_KERNEL_CACHE_FLOAT8 ? CacheCodes::float8
                                            : CacheCodes::elements;
}

/// The arguments' first member, whatever the operation.
inline uint32_t element_of(const void* arguments) { return *static_cast<const uint32_t*>(arguments); }

}  // namespace gpu::table
