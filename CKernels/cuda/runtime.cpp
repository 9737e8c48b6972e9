// Devices, memory, streams, events and graphs of the CUDA runtime, for the table of functions.

#include "table/runtime.h"

#include <cuda_runtime.h>

#include <cstdio>
#include <memory>
#include <new>
#include <string>

#include "cuda/context.h"
#include "table/figures.h"

namespace gpu::table {
namespace runtime {

/// Status and text of a failure; the runtime forgets it.
static gpi_kernel_status check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return GPI_KERNEL_OK;
  (void)cudaGetLastError();
  const std::string text =
      std::string(what) + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")";
  switch (error) {
    case cudaErrorMemoryAllocation:
      return fail(GPI_KERNEL_OUT_OF_MEMORY, text);
    case cudaErrorNoDevice:
      return fail(GPI_KERNEL_NO_DEVICE, text);
    case cudaErrorNoKernelImageForDevice:
      return fail(GPI_KERNEL_UNSUPPORTED_DEVICE, text);
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorNotSupported:
      return fail(GPI_KERNEL_INVALID, text);
    default:
      return fail(GPI_KERNEL_FAULT, text);
  }
}

static std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// The runtime has one error for no driver and for one that is too old.
static gpi_kernel_status no_driver() {
  int driver = 0;
  (void)cudaDriverGetVersion(&driver);
  if (driver == 0) {
    return fail(
        GPI_KERNEL_NO_DRIVER,
        "libcuda.so.1 was not found; install the NVIDIA driver, or run the container with access to the GPU");
  }
  return fail(GPI_KERNEL_NO_DRIVER, "the driver supports CUDA " + version_text(driver) + ", and CUDA " +
                                        version_text(CUDART_VERSION) + " is needed; install a newer driver");
}

gpi_kernel_status device_count(int32_t* count) {
  int found = 0;
  const cudaError_t error = cudaGetDeviceCount(&found);
  if (error == cudaErrorInsufficientDriver || error == cudaErrorSystemDriverMismatch ||
      error == cudaErrorCallRequiresNewerDriver) {
    (void)cudaGetLastError();
    return no_driver();
  }
  if (error == cudaErrorNoDevice || (error == cudaSuccess && found == 0)) {
    (void)cudaGetLastError();
    return fail(GPI_KERNEL_NO_DEVICE,
                "the driver finds none that this process may use (CUDA_VISIBLE_DEVICES?)");
  }
  if (error == cudaSuccess) *count = found;
  return check(error, "cudaGetDeviceCount");
}

/// Machine code runs on the same major version from its own minor version on: sm_80 on 8.0 to 8.7, sm_89
/// on 8.9, and sm_90a on 9.0 alone.
static bool is_supported(int capability) {
  return (capability >= 80 && capability <= 89) || capability == 90;
}

gpi_kernel_status open(int32_t device, int32_t, gpi_kernel_context** context) {
  int32_t count = 0;
  gpi_kernel_status status = device_count(&count);
  if (status != GPI_KERNEL_OK) return status;
  cudaDeviceProp properties;
  status = check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  if (status != GPI_KERNEL_OK) return status;
  const int capability = 10 * properties.major + properties.minor;
  if (!is_supported(capability)) {
    return fail(GPI_KERNEL_UNSUPPORTED_DEVICE,
                std::string(properties.name) + " has compute capability " + std::to_string(properties.major) +
                    "." + std::to_string(properties.minor) + "; there are kernels for 8.0 to 8.9 and 9.0");
  }
  status = check(cudaSetDevice(device), "cudaSetDevice");
  if (status != GPI_KERNEL_OK) return status;
  auto* made = new (std::nothrow) gpi_kernel_context;
  if (!made) return fail(GPI_KERNEL_OUT_OF_MEMORY, "no memory for a context");
  made->device = device;
  made->capability = capability;
  made->figures = &figures_of(properties.name, capability);
  *context = made;
  return GPI_KERNEL_OK;
}

void close(gpi_kernel_context* context) { delete context; }

gpi_kernel_status device_info(gpi_kernel_context* context, gpi_kernel_device_info* info) {
  *info = {};
  cudaDeviceProp properties;
  gpi_kernel_status status =
      check(cudaGetDeviceProperties(&properties, context->device), "cudaGetDeviceProperties");
  if (status != GPI_KERNEL_OK) return status;
  size_t free_bytes = 0, total_bytes = 0;
  status = check(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
  if (status != GPI_KERNEL_OK) return status;
  std::snprintf(info->name, sizeof info->name, "%.255s", properties.name);
  info->capability = context->capability;
  info->figures = int32_t(context->figures - figures().data());
  info->multiprocessors = properties.multiProcessorCount;
  info->memory_bytes = int64_t(total_bytes);
  info->free_bytes = int64_t(free_bytes);
  (void)cudaDriverGetVersion(&info->driver_version);
  (void)cudaRuntimeGetVersion(&info->runtime_version);
  if (context->blas.obstacle().empty()) {
    const size_t version = context->blas.version();
    std::snprintf(info->notes, sizeof info->notes, "cuBLASLt %zu.%zu.%zu multiplies large dense matrices",
                  version / 10000, version / 100 % 100, version % 100);
  } else {
    std::snprintf(info->notes, sizeof info->notes,
                  "without cuBLASLt (%s): our own kernels multiply dense matrices",
                  context->blas.obstacle().c_str());
  }
  return GPI_KERNEL_OK;
}

gpi_kernel_status allocate(gpi_kernel_context*, int64_t byte_count, void** memory) {
  if (byte_count <= 0) return fail(GPI_KERNEL_INVALID, "an allocation of no bytes");
  return check(cudaMalloc(memory, size_t(byte_count)), "cudaMalloc");
}

void release(gpi_kernel_context* context, void* memory) {
  // The owner may end on another thread.
  (void)cudaSetDevice(context->device);
  (void)cudaFree(memory);
}

gpi_kernel_status allocate_host(gpi_kernel_context*, int64_t byte_count, void** memory) {
  if (byte_count <= 0) return fail(GPI_KERNEL_INVALID, "an allocation of no bytes");
  // Mapped for kernels at this address wherever addresses are unified, as on all devices of 64-bit systems
  // (CUDA Programming Guide, "Automatic Mapping of Host Allocated Host Memory").
  return check(cudaMallocHost(memory, size_t(byte_count)), "cudaMallocHost");
}

void release_host(gpi_kernel_context*, void* memory) { (void)cudaFreeHost(memory); }

gpi_kernel_status create_stream(gpi_kernel_context* context, gpi_kernel_stream** stream) {
  auto made = std::unique_ptr<gpi_kernel_stream>(new (std::nothrow) gpi_kernel_stream{context, nullptr});
  if (!made) return fail(GPI_KERNEL_OUT_OF_MEMORY, "no memory for a stream");
  gpi_kernel_status status =
      check(cudaStreamCreateWithFlags(&made->stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  if (status == GPI_KERNEL_OK) *stream = made.release();
  return status;
}

void destroy_stream(gpi_kernel_stream* stream) {
  (void)cudaStreamSynchronize(stream->stream);
  (void)cudaStreamDestroy(stream->stream);
  delete stream;
}

gpi_kernel_status synchronize(gpi_kernel_stream* stream) {
  return check(cudaStreamSynchronize(stream->stream), "cudaStreamSynchronize");
}

gpi_kernel_status copy(gpi_kernel_stream* stream, void* target, int64_t target_pitch, const void* source,
                       int64_t source_pitch, int64_t row_bytes, int64_t rows) {
  if (row_bytes < 0 || rows < 0) return fail(GPI_KERNEL_INVALID, "a copy of a negative size");
  if (row_bytes == 0 || rows == 0) return GPI_KERNEL_OK;
  if (rows == 1 || (target_pitch == row_bytes && source_pitch == row_bytes)) {
    return check(cudaMemcpyAsync(target, source, size_t(row_bytes * rows), cudaMemcpyDefault, stream->stream),
                 "cudaMemcpyAsync");
  }
  return check(cudaMemcpy2DAsync(target, size_t(target_pitch), source, size_t(source_pitch),
                                 size_t(row_bytes), size_t(rows), cudaMemcpyDefault, stream->stream),
               "cudaMemcpy2DAsync");
}

gpi_kernel_status fill(gpi_kernel_stream* stream, void* target, uint8_t value, int64_t byte_count) {
  if (byte_count < 0) return fail(GPI_KERNEL_INVALID, "a fill of a negative size");
  return check(cudaMemsetAsync(target, value, size_t(byte_count), stream->stream), "cudaMemsetAsync");
}

gpi_kernel_status create_event(gpi_kernel_context*, gpi_kernel_event** event) {
  auto made = std::unique_ptr<gpi_kernel_event>(new (std::nothrow) gpi_kernel_event{});
  if (!made) return fail(GPI_KERNEL_OUT_OF_MEMORY, "no memory for an event");
  gpi_kernel_status status = check(cudaEventCreate(&made->event), "cudaEventCreate");
  if (status == GPI_KERNEL_OK) *event = made.release();
  return status;
}

void destroy_event(gpi_kernel_event* event) {
  (void)cudaEventDestroy(event->event);
  delete event;
}

gpi_kernel_status record(gpi_kernel_event* event, gpi_kernel_stream* stream) {
  event->recorded = true;
  return check(cudaEventRecord(event->event, stream->stream), "cudaEventRecord");
}

gpi_kernel_status wait(gpi_kernel_stream* stream, gpi_kernel_event* event) {
  return check(cudaStreamWaitEvent(stream->stream, event->event, 0), "cudaStreamWaitEvent");
}

gpi_kernel_status synchronize_event(gpi_kernel_event* event) {
  if (!event->recorded) return GPI_KERNEL_OK;
  return check(cudaEventSynchronize(event->event), "cudaEventSynchronize");
}

gpi_kernel_status elapsed(gpi_kernel_event* start, gpi_kernel_event* end, float* milliseconds) {
  if (!start->recorded || !end->recorded) return fail(GPI_KERNEL_INVALID, "an event was not recorded");
  return check(cudaEventElapsedTime(milliseconds, start->event, end->event), "cudaEventElapsedTime");
}

gpi_kernel_status begin_capture(gpi_kernel_stream* stream) {
  return check(cudaStreamBeginCapture(stream->stream, cudaStreamCaptureModeThreadLocal),
               "cudaStreamBeginCapture");
}

gpi_kernel_status end_capture(gpi_kernel_stream* stream, gpi_kernel_graph** graph) {
  cudaGraph_t recorded = nullptr;
  gpi_kernel_status status = check(cudaStreamEndCapture(stream->stream, &recorded), "cudaStreamEndCapture");
  if (status != GPI_KERNEL_OK) return status;
  auto made = std::unique_ptr<gpi_kernel_graph>(new (std::nothrow) gpi_kernel_graph{});
  status = made ? check(cudaGraphInstantiate(&made->executable, recorded, 0), "cudaGraphInstantiate")
                : fail(GPI_KERNEL_OUT_OF_MEMORY, "no memory for a graph");
  (void)cudaGraphDestroy(recorded);
  if (status == GPI_KERNEL_OK) *graph = made.release();
  return status;
}

gpi_kernel_status launch_graph(gpi_kernel_graph* graph, gpi_kernel_stream* stream) {
  return check(cudaGraphLaunch(graph->executable, stream->stream), "cudaGraphLaunch");
}

void destroy_graph(gpi_kernel_graph* graph) {
  (void)cudaGraphExecDestroy(graph->executable);
  delete graph;
}

}  // namespace runtime

const char* const runtime_name = "cuda";

Device device_of(gpi_kernel_context* context) {
  return {context->capability, false, context->figures, context};
}
gpi_kernel_context* context_of(gpi_kernel_stream* stream) { return stream->context; }
Stream stream_of(gpi_kernel_stream* stream) { return stream->stream; }

gpi_kernel_status finish(gpi_kernel_stream*, Status status) {
  return runtime::check(cudaError_t(status), "launch");
}

}  // namespace gpu::table
