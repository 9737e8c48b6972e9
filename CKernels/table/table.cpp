// The table itself: what both builds do alike. What they do each their own way is declared in runtime.h.

#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "device/types.h"
#include "table/figures.h"
#include "table/runtime.h"
#include "table/variants.h"

namespace gpu::table {
namespace {

std::string& error_text() {
  thread_local std::string text;
  return text;
}

void copy_text(const char* from, char* text, int32_t capacity) {
  if (text && capacity > 0) std::snprintf(text, size_t(capacity), "%s", from);
}

void last_error(char* text, int32_t capacity) { copy_text(error_text().c_str(), text, capacity); }

bool is_variant(int32_t index) { return index >= 0 && size_t(index) < variants().size(); }

std::string obstacle(const Device& device, const Variant& variant) {
  const gpi_kernel_variant& d = variant.description;
  if (device.capability < d.first_capability || device.capability > d.last_capability) {
    char text[96];
    std::snprintf(text, sizeof text, "needs compute capability %d.%d", d.first_capability / 10,
                  d.first_capability % 10);
    return text;
  }
  const char* reason = variant.obstacle ? variant.obstacle(device) : nullptr;
  return reason ? reason : "";
}

bool takes(const Device& device, const Variant& variant, const void* arguments) {
  const uint32_t element = element_of(arguments);
  return element < 32 && (variant.description.elements >> element & 1) != 0 &&
         obstacle(device, variant).empty() && variant.accepts(arguments);
}

bool runs(gpi_kernel_context* context, int32_t index, char* text, int32_t capacity) {
  std::string reason =
      is_variant(index) ? obstacle(device_of(context), variants()[size_t(index)]) : "unknown";
  copy_text(reason.c_str(), text, capacity);
  return reason.empty();
}

bool accepts(gpi_kernel_context* context, int32_t index, const void* arguments) {
  return is_variant(index) && takes(device_of(context), variants()[size_t(index)], arguments);
}

int32_t choose(gpi_kernel_context* context, gpi_kernel_op op, const void* arguments) {
  const Device device = device_of(context);
  for (size_t i = 0; i < variants().size(); ++i) {
    const Variant& variant = variants()[i];
    if (variant.description.op != op || !takes(device, variant, arguments)) continue;
    if (!variant.is_preferred || variant.is_preferred(device, arguments)) return int32_t(i);
  }
  return -1;
}

int64_t workspace(gpi_kernel_op op, const void* arguments) {
  int64_t most = 0;
  for (const Variant& variant : variants()) {
    if (variant.description.op != op || !variant.workspace) continue;
    const int64_t bytes = variant.workspace(arguments);
    if (bytes > most) most = bytes;
  }
  return most;
}

gpi_kernel_status launch(gpi_kernel_stream* stream, int32_t index, const void* arguments) {
  if (!is_variant(index)) return fail(GPI_KERNEL_INVALID, "there is no variant " + std::to_string(index));
  const Variant& variant = variants()[size_t(index)];
  const Device device = device_of(context_of(stream));
  if (!takes(device, variant, arguments)) {
    return fail(GPI_KERNEL_INVALID, std::string(variant.description.name) + " does not take these arguments");
  }
  return finish(stream, variant.launch(stream_of(stream), device, arguments));
}

void sparse_floors(int32_t index, int32_t rows, int32_t outputs, int32_t inputs, double dense_bits,
                   double sparse_bits, gpi_kernel_sparse_floors* floors) {
  *floors = {};
  if (index < 0 || size_t(index) >= figures().size()) return;
  const gpi_kernel_figures& f = figures()[size_t(index)];
  const SparseProduct product = {rows, outputs, inputs, sparse_bits};
  *floors = {dense_floor(f, product, dense_bits), sparse_floor(f, product, f.sparse_wgmma > 0),
             expanded_floor(f, product)};
}

template <class From, class To>
void convert_elements(const void* source, void* target, int64_t count) {
  const From* from = static_cast<const From*>(source);
  To* to = static_cast<To*>(target);
  for (int64_t i = 0; i < count; ++i) to[i] = from_float<To>(to_float(from[i]));
}

template <class From>
void convert_from(const void* source, gpi_kernel_element to, void* target, int64_t count) {
  if (to == GPI_KERNEL_BFLOAT16) return convert_elements<From, bf16>(source, target, count);
  if (to == GPI_KERNEL_FLOAT16) return convert_elements<From, f16>(source, target, count);
  convert_elements<From, float>(source, target, count);
}

void convert(gpi_kernel_element from, const void* source, gpi_kernel_element to, void* target,
             int64_t count) {
  if (from == GPI_KERNEL_BFLOAT16) return convert_from<bf16>(source, to, target, count);
  if (from == GPI_KERNEL_FLOAT16) return convert_from<f16>(source, to, target, count);
  convert_from<float>(source, to, target, count);
}

const std::vector<gpi_kernel_variant>& descriptions() {
  static const std::vector<gpi_kernel_variant> all = [] {
    std::vector<gpi_kernel_variant> result;
    for (const Variant& variant : variants()) result.push_back(variant.description);
    return result;
  }();
  return all;
}

gpi_kernel_table made() {
  gpi_kernel_table table = {};
  table.abi = GPI_KERNEL_ABI;
  table.byte_count = int32_t(sizeof table);
  table.name = runtime_name;
  table.last_error = last_error;
  table.device_count = runtime::device_count;
  table.open = runtime::open;
  table.close = runtime::close;
  table.device_info = runtime::device_info;
  table.allocate = runtime::allocate;
  table.release = runtime::release;
  table.allocate_host = runtime::allocate_host;
  table.release_host = runtime::release_host;
  table.create_stream = runtime::create_stream;
  table.destroy_stream = runtime::destroy_stream;
  table.synchronize = runtime::synchronize;
  table.copy = runtime::copy;
  table.fill = runtime::fill;
  table.create_event = runtime::create_event;
  table.destroy_event = runtime::destroy_event;
  table.record = runtime::record;
  table.wait = runtime::wait;
  table.synchronize_event = runtime::synchronize_event;
  table.elapsed = runtime::elapsed;
  table.begin_capture = runtime::begin_capture;
  table.end_capture = runtime::end_capture;
  table.launch_graph = runtime::launch_graph;
  table.destroy_graph = runtime::destroy_graph;
  table.variants = descriptions().data();
  table.variant_count = int32_t(descriptions().size());
  table.runs = runs;
  table.accepts = accepts;
  table.choose = choose;
  table.workspace = workspace;
  table.packed_bytes = packed_bytes;
  table.launch = launch;
  table.figures = figures().data();
  table.figure_count = int32_t(figures().size());
  table.sparse_floors = sparse_floors;
  fill_conformance(table);
  table.convert = convert;
  return table;
}

}  // namespace

gpi_kernel_status fail(gpi_kernel_status status, const std::string& text) {
  error_text() = text;
  return status;
}

const std::vector<Variant>& variants() {
  static const std::vector<Variant> all = [] {
    std::vector<Variant> result;
    for (auto group : {runtime_variants, linear_variants, quantized_variants, lora_variants, sparse_variants,
                       attention_variants, elementwise_variants, sampling_variants}) {
      for (const Variant& variant : group()) result.push_back(variant);
    }
    return result;
  }();
  return all;
}

}  // namespace gpu::table

extern "C" __attribute__((visibility("default"))) const gpi_kernel_table* gpi_kernels(int32_t abi) {
  static const gpi_kernel_table table = gpu::table::made();
  return abi == GPI_KERNEL_ABI || abi == 0 ? &table : nullptr;
}
