// What each build supplies in its own way: memory, streams, events, graphs. simt/runtime.cpp and
// cuda/runtime.cpp.
#pragma once

#include <string>

#include "include/gpi_kernels.h"
#include "table/variants.h"

namespace gpu::table {

extern const char* const runtime_name;

/// Sets the functions from `device_count` to `destroy_graph`.
void fill_runtime(gpi_kernel_table& table);

Device device_of(gpi_kernel_context* context);
gpi_kernel_context* context_of(gpi_kernel_stream* stream);
Stream stream_of(gpi_kernel_stream* stream);

/// What a launcher's status means, with its text kept for `last_error`.
gpi_kernel_status finish(gpi_kernel_stream* stream, Status status);

/// Keeps the text for `last_error` and returns the status.
gpi_kernel_status fail(gpi_kernel_status status, const std::string& text);

}  // namespace gpu::table
