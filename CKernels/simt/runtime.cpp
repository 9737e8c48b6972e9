// Memory, streams, events and graphs of the emulated device, for the table of functions.
//
// Everything is done when it is enqueued, so events and waiting are bookkeeping only; but a stream that is
// being captured records, and what has to be refused on a GPU is refused here too.

#include "table/runtime.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "simt/device_memory.h"
#include "simt/stream.h"
#include "table/figures.h"

struct gpi_kernel_context {
  int workers;
};

struct gpi_kernel_stream {
  gpi_kernel_context* context;
  gpu::simt::Stream stream;
  std::unique_ptr<gpu::simt::Recording> recording;
};

struct gpi_kernel_event {
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
};

struct gpi_kernel_graph {
  gpu::simt::Recording recording;
};

namespace gpu::table {

/// The emulation has the primitives of sm_90a.
constexpr int emulated_capability = 90;

namespace runtime {

/// What the system could hand out without swapping, from /proc/meminfo; -1 when it does not say.
static int64_t available_memory() {
  std::FILE* file = std::fopen("/proc/meminfo", "r");
  if (!file) return -1;
  char line[128];
  long long kibibytes = -1;
  while (kibibytes < 0 && std::fgets(line, sizeof line, file))
    std::sscanf(line, "MemAvailable: %lld", &kibibytes);
  std::fclose(file);
  return kibibytes < 0 ? -1 : int64_t(kibibytes) * 1024;
}

gpi_kernel_status device_count(int32_t* count) {
  *count = 1;
  return GPI_KERNEL_OK;
}

gpi_kernel_status open(int32_t device, int32_t workers, gpi_kernel_context** context) {
  if (device != 0) return fail(GPI_KERNEL_NO_DEVICE, "the emulation has one device, number 0");
  if (workers < 1) return fail(GPI_KERNEL_INVALID, "the emulation needs at least one worker");
  *context = new (std::nothrow) gpi_kernel_context{workers};
  return *context ? GPI_KERNEL_OK : fail(GPI_KERNEL_OUT_OF_MEMORY, "no memory for a context");
}

void close(gpi_kernel_context* context) { delete context; }

gpi_kernel_status device_info(gpi_kernel_context* context, gpi_kernel_device_info* info) {
  *info = {};
  std::snprintf(info->name, sizeof info->name, "SIMT emulation");
  info->capability = emulated_capability;
  info->multiprocessors = context->workers;
  const int64_t available = available_memory();
  info->memory_bytes = info->free_bytes = available < 0 ? 0 : available;
  return GPI_KERNEL_OK;
}

/// The system hands out more than it has and ends the process later; so large requests are compared first.
static bool is_too_large(int64_t byte_count) {
  constexpr int64_t always_tried = int64_t(64) << 20;
  if (byte_count < always_tried) return false;
  const int64_t available = available_memory();
  return available >= 0 && byte_count > available;
}

gpi_kernel_status allocate(gpi_kernel_context*, int64_t byte_count, void** memory) {
  if (byte_count <= 0) return fail(GPI_KERNEL_INVALID, "an allocation of no bytes");
  if (is_too_large(byte_count)) return fail(GPI_KERNEL_OUT_OF_MEMORY, "out of memory");
  try {
    *memory = simt::DeviceMemory::allocate(size_t(byte_count), "device memory");
  } catch (const std::bad_alloc&) {
    return fail(GPI_KERNEL_OUT_OF_MEMORY, "out of memory");
  }
  return GPI_KERNEL_OK;
}

void release(gpi_kernel_context*, void* memory) { simt::DeviceMemory::release(memory); }

gpi_kernel_status allocate_host(gpi_kernel_context*, int64_t byte_count, void** memory) {
  if (byte_count <= 0) return fail(GPI_KERNEL_INVALID, "an allocation of no bytes");
  try {
    *memory = simt::DeviceMemory::allocate(size_t(byte_count), "pinned host memory");
  } catch (const std::bad_alloc&) {
    return fail(GPI_KERNEL_OUT_OF_MEMORY, "out of host memory");
  }
  return GPI_KERNEL_OK;
}

void release_host(gpi_kernel_context*, void* memory) { simt::DeviceMemory::release(memory); }

gpi_kernel_status create_stream(gpi_kernel_context* context, gpi_kernel_stream** stream) {
  auto* made = new (std::nothrow) gpi_kernel_stream{context, {}, nullptr};
  if (!made) return fail(GPI_KERNEL_OUT_OF_MEMORY, "no memory for a stream");
  made->stream.options.workers = context->workers;
  *stream = made;
  return GPI_KERNEL_OK;
}

void destroy_stream(gpi_kernel_stream* stream) { delete stream; }

static gpi_kernel_status refuse_capture(const gpi_kernel_stream* stream, const char* what) {
  if (!stream->recording) return GPI_KERNEL_OK;
  return fail(GPI_KERNEL_INVALID, std::string(what) + " while the stream is captured");
}

gpi_kernel_status synchronize(gpi_kernel_stream* stream) { return refuse_capture(stream, "synchronize"); }

/// Now, or when the recording is replayed.
template <class Step>
static gpi_kernel_status perform(gpi_kernel_stream* stream, Step step) {
  if (stream->recording) {
    stream->recording->push_back([step](simt::Stream*) {
      step();
      return 0;
    });
  } else {
    step();
  }
  return GPI_KERNEL_OK;
}

gpi_kernel_status copy(gpi_kernel_stream* stream, void* target, int64_t target_pitch, const void* source,
                       int64_t source_pitch, int64_t row_bytes, int64_t rows) {
  if (row_bytes < 0 || rows < 0) return fail(GPI_KERNEL_INVALID, "a copy of a negative size");
  return perform(stream, [=] {
    for (int64_t row = 0; row < rows && row_bytes > 0; ++row) {
      std::memcpy(static_cast<char*>(target) + row * target_pitch,
                  static_cast<const char*>(source) + row * source_pitch, size_t(row_bytes));
    }
  });
}

gpi_kernel_status fill(gpi_kernel_stream* stream, void* target, uint8_t value, int64_t byte_count) {
  if (byte_count < 0) return fail(GPI_KERNEL_INVALID, "a fill of a negative size");
  return perform(stream, [=] {
    if (byte_count > 0) std::memset(target, value, size_t(byte_count));
  });
}

gpi_kernel_status create_event(gpi_kernel_context*, gpi_kernel_event** event) {
  *event = new (std::nothrow) gpi_kernel_event;
  return *event ? GPI_KERNEL_OK : fail(GPI_KERNEL_OUT_OF_MEMORY, "no memory for an event");
}

void destroy_event(gpi_kernel_event* event) { delete event; }

gpi_kernel_status record(gpi_kernel_event* event, gpi_kernel_stream* stream) {
  if (refuse_capture(stream, "record") != GPI_KERNEL_OK) return GPI_KERNEL_INVALID;
  event->recorded = true;
  event->time = std::chrono::steady_clock::now();
  return GPI_KERNEL_OK;
}

gpi_kernel_status wait(gpi_kernel_stream* stream, gpi_kernel_event*) {
  return refuse_capture(stream, "wait");
}

gpi_kernel_status synchronize_event(gpi_kernel_event*) { return GPI_KERNEL_OK; }

gpi_kernel_status elapsed(gpi_kernel_event* start, gpi_kernel_event* end, float* milliseconds) {
  if (!start->recorded || !end->recorded) return fail(GPI_KERNEL_INVALID, "an event was not recorded");
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return GPI_KERNEL_OK;
}

gpi_kernel_status begin_capture(gpi_kernel_stream* stream) {
  if (refuse_capture(stream, "begin_capture") != GPI_KERNEL_OK) return GPI_KERNEL_INVALID;
  stream->recording = std::make_unique<simt::Recording>();
  stream->stream.recording = stream->recording.get();
  return GPI_KERNEL_OK;
}

gpi_kernel_status end_capture(gpi_kernel_stream* stream, gpi_kernel_graph** graph) {
  if (!stream->recording) return fail(GPI_KERNEL_INVALID, "the stream is not captured");
  *graph = new (std::nothrow) gpi_kernel_graph{std::move(*stream->recording)};
  stream->recording = nullptr;
  stream->stream.recording = nullptr;
  return *graph ? GPI_KERNEL_OK : fail(GPI_KERNEL_OUT_OF_MEMORY, "no memory for a graph");
}

gpi_kernel_status launch_graph(gpi_kernel_graph* graph, gpi_kernel_stream* stream) {
  if (refuse_capture(stream, "launch_graph") != GPI_KERNEL_OK) return GPI_KERNEL_INVALID;
  for (const auto& step : graph->recording) {
    gpi_kernel_status status = finish(stream, step(&stream->stream));
    if (status != GPI_KERNEL_OK) return status;
  }
  return GPI_KERNEL_OK;
}

void destroy_graph(gpi_kernel_graph* graph) { delete graph; }

}  // namespace runtime

const char* const runtime_name = "simt";

Device device_of(gpi_kernel_context* context) {
  return {emulated_capability, true, &figures().front(), context};
}
gpi_kernel_context* context_of(gpi_kernel_stream* stream) { return stream->context; }
Stream stream_of(gpi_kernel_stream* stream) { return &stream->stream; }

gpi_kernel_status finish(gpi_kernel_stream* stream, Status status) {
  if (status == 0) return GPI_KERNEL_OK;
  if (stream->stream.fault.empty()) return fail(GPI_KERNEL_INVALID, "a kernel refused its arguments");
  return fail(GPI_KERNEL_FAULT, stream->stream.fault);
}

std::vector<Variant> runtime_variants() { return {}; }

}  // namespace gpu::table
