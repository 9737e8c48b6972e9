// Row-wise operations: one variant each, which takes every shape.

#include "table/rounded_rows.h"
#include "table/variants.h"

namespace gpu::table {
namespace {

template <class Arguments>
const Arguments& of(const void* arguments) {
  return *static_cast<const Arguments*>(arguments);
}

bool takes_norm(const void* arguments) {
  const auto& a = of<gpi_kernel_norm>(arguments);
  return a.rows >= 0 && a.width > 0 && takes_rounding(a.rounded, a.width, a.rows);
}

NormArguments norm(const void* arguments) {
  const auto& a = of<gpi_kernel_norm>(arguments);
  return {element_type(a.element),
          a.rows,
          a.width,
          a.residual,
          a.input,
          a.weight,
          a.bias,
          a.output,
          a.epsilon,
          row_codes(a.rounded, a.width, a.rows)};
}

bool takes_rms_norm(const void* arguments) {
  return takes_norm(arguments) && !of<gpi_kernel_norm>(arguments).bias;
}

Status launch_rms_norm(Stream stream, const Device&, const void* arguments) {
  return rms_norm(stream, norm(arguments));
}

Status launch_layer_norm(Stream stream, const Device&, const void* arguments) {
  return layer_norm(stream, norm(arguments));
}

bool takes_rope(const void* arguments) {
  const auto& a = of<gpi_kernel_rope>(arguments);
  return a.tokens >= 0 && a.query_heads >= 0 && a.key_heads >= 0 && a.rotary >= 0 && a.rotary % 2 == 0 &&
         a.rotary <= a.head_dimension;
}

Status launch_rope(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_rope>(arguments);
  if (a.rotary == 0) return 0;
  RopeArguments rope_arguments = {element_type(a.element),
                                  a.interleaved ? RotaryPairing::interleaved : RotaryPairing::halves,
                                  a.tokens,
                                  a.query_heads,
                                  a.key_heads,
                                  a.head_dimension,
                                  a.rotary,
                                  a.query,
                                  a.key,
                                  a.positions,
                                  a.table,
                                  a.query_stride,
                                  a.key_stride};
  return rope(stream, rope_arguments);
}

bool takes_append(const void* arguments) {
  const auto& a = of<gpi_kernel_append>(arguments);
  return a.tokens >= 0 && a.heads > 0 && a.head_dimension > 0 && a.codes == GPI_KERNEL_CACHE_ELEMENTS;
}

bool takes_append_codes(const void* arguments) {
  const auto& a = of<gpi_kernel_append>(arguments);
  return a.tokens >= 0 && a.heads > 0 && a.head_dimension > 0 && a.head_dimension % 4 == 0 &&
         cache_codes(a.codes) != CacheCodes::elements;
}

AppendArguments append(const void* arguments) {
  const auto& a = of<gpi_kernel_append>(arguments);
  return {element_type(a.element),
          a.tokens,
          a.heads,
          a.head_dimension,
          a.key,
          a.value,
          a.slots,
          a.cache,
          a.key_stride,
          a.value_stride,
          cache_codes(a.codes)};
}

Status launch_append(Stream stream, const Device&, const void* arguments) {
  return append_kv(stream, append(arguments));
}

Status launch_append_codes(Stream stream, const Device&, const void* arguments) {
  return append_codes(stream, append(arguments));
}

bool takes_activation(const void* arguments) {
  const auto& a = of<gpi_kernel_activation>(arguments);
  return a.rows >= 0 && a.width > 0 && takes_rounding(a.rounded, a.width, a.rows);
}

Status launch_activation(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_activation>(arguments);
  return activation(stream, {element_type(a.element), ActivationKind(a.kind), a.rows, a.width, a.gate, a.up,
                             a.input_stride, a.output, row_codes(a.rounded, a.width, a.rows)});
}

bool takes_add(const void* arguments) { return of<gpi_kernel_add>(arguments).count >= 0; }

Status launch_add(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_add>(arguments);
  return add(stream, {element_type(a.element), a.count, a.accumulator, a.input});
}

bool takes_embedding(const void* arguments) {
  const auto& a = of<gpi_kernel_embedding>(arguments);
  return a.count >= 0 && a.width > 0 && !a.positions == !a.position_table;
}

Status launch_embedding(Stream stream, const Device&, const void* arguments) {
  const auto& a = of<gpi_kernel_embedding>(arguments);
  return embedding(stream, {element_type(a.element), a.count, a.width, a.rows, a.table, a.positions,
                            a.position_table, a.output, a.table_stride});
}

Variant row(const char* name, gpi_kernel_op op, bool (*accepts)(const void*),
            Status (*launch)(Stream, const Device&, const void*), const char* takes = "every shape") {
  return {{name, op, first_capability, last_capability, sixteen_bit, takes}, accepts, launch};
}

}  // namespace

std::vector<Variant> elementwise_variants() {
  return {
      row("rms_norm", GPI_KERNEL_RMS_NORM, takes_rms_norm, launch_rms_norm),
      row("layer_norm", GPI_KERNEL_LAYER_NORM, takes_norm, launch_layer_norm),
      row("rope", GPI_KERNEL_ROPE, takes_rope, launch_rope),
      row("append_kv", GPI_KERNEL_APPEND, takes_append, launch_append),
      row("append_codes", GPI_KERNEL_APPEND, takes_append_codes, launch_append_codes,
          "codes of 8 bits, heads a multiple of 4"),
      row("activation", GPI_KERNEL_ACTIVATION, takes_activation, launch_activation),
      row("add", GPI_KERNEL_ADD, takes_add, launch_add),
      row("embedding", GPI_KERNEL_EMBEDDING, takes_embedding, launch_embedding),
  };
}

}  // namespace gpu::table
