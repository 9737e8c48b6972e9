// What each build supplies in its own way: memory, streams, events, graphs. simt/runtime.cpp and
// cuda/runtime.cpp.
#pragma once

#include <string>

#include "include/gpi_kernels.h"
#include "table/variants.h"

namespace gpu::table {

extern const char* const runtime_name;

/// The table's functions of these names; see gpi_kernels.h.
namespace runtime {

gpi_kernel_status device_count(int32_t* count);
gpi_kernel_status open(int32_t device, int32_t workers, gpi_kernel_context** context);
void close(gpi_kernel_context* context);
gpi_kernel_status device_info(gpi_kernel_context* context, gpi_kernel_device_info* info);
gpi_kernel_status allocate(gpi_kernel_context* context, int64_t byte_count, void** memory);
void release(gpi_kernel_context* context, void* memory);
gpi_kernel_status allocate_host(gpi_kernel_context* context, int64_t byte_count, void** memory);
void release_host(gpi_kernel_context* context, void* memory);
gpi_kernel_status create_stream(gpi_kernel_context* context, gpi_kernel_stream** stream);
void destroy_stream(gpi_kernel_stream* stream);
gpi_kernel_status synchronize(gpi_kernel_stream* stream);
gpi_kernel_status copy(gpi_kernel_stream* stream, void* target, int64_t target_pitch, const void* source,
                       int64_t source_pitch, int64_t row_bytes, int64_t rows);
gpi_kernel_status fill(gpi_kernel_stream* stream, void* target, uint8_t value, int64_t byte_count);
gpi_kernel_status create_event(gpi_kernel_context* context, gpi_kernel_event** event);
void destroy_event(gpi_kernel_event* event);
gpi_kernel_status record(gpi_kernel_event* event, gpi_kernel_stream* stream);
gpi_kernel_status wait(gpi_kernel_stream* stream, gpi_kernel_event* event);
gpi_kernel_status synchronize_event(gpi_kernel_event* event);
gpi_kernel_status elapsed(gpi_kernel_event* start, gpi_kernel_event* end, float* milliseconds);
gpi_kernel_status begin_capture(gpi_kernel_stream* stream);
gpi_kernel_status end_capture(gpi_kernel_stream* stream, gpi_kernel_graph** graph);
gpi_kernel_status launch_graph(gpi_kernel_graph* graph, gpi_kernel_stream* stream);
void destroy_graph(gpi_kernel_graph* graph);

}  // namespace runtime

Device device_of(gpi_kernel_context* context);
gpi_kernel_context* context_of(gpi_kernel_stream* stream);
Stream stream_of(gpi_kernel_stream* stream);

/// What a launcher's status means, with its text kept for `last_error`.
gpi_kernel_status finish(gpi_kernel_stream* stream, Status status);

/// Keeps the text for `last_error` and returns the status.
gpi_kernel_status fail(gpi_kernel_status status, const std::string& text);

}  // namespace gpu::table
