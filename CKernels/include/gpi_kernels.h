// The C interface of the kernels, and all that Swift sees of them: one table of functions, which the emulated
// build and libgpuinfer_cuda.so fill alike.
//
// Functions return a status; the text of the calling thread's last failure is `last_error`. Nothing here
// aborts, prints or throws. A context and all that was made with it belong to one thread at a time.
#pragma once

#include "gpi_kernel_arguments.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Counts up with every change of a struct or of the table.
#define GPI_KERNEL_ABI 9

typedef enum {
  GPI_KERNEL_OK = 0,
  /// The arguments, or their combination with the variant, are not legal.
  GPI_KERNEL_INVALID = 1,
  GPI_KERNEL_OUT_OF_MEMORY = 2,
  /// There is no driver, or it is older than this library needs.
  GPI_KERNEL_NO_DRIVER = 3,
  GPI_KERNEL_NO_DEVICE = 4,
  /// The device's compute capability is not one that this library has kernels for.
  GPI_KERNEL_UNSUPPORTED_DEVICE = 5,
  /// A kernel or the runtime failed. The context is not usable afterwards.
  GPI_KERNEL_FAULT = 6,
} gpi_kernel_status;

/// One device, opened.
typedef struct gpi_kernel_context gpi_kernel_context;
/// Work in order.
typedef struct gpi_kernel_stream gpi_kernel_stream;
/// A moment in a stream.
typedef struct gpi_kernel_event gpi_kernel_event;
/// Work that was recorded, to be launched again with the same arguments.
typedef struct gpi_kernel_graph gpi_kernel_graph;

typedef struct {
  /// Ends with a zero byte.
  char name[256];
  /// 10 * major + minor, as in sm_90.
  int32_t capability;
  int32_t multiprocessors;
  int64_t memory_bytes;
  int64_t free_bytes;
  /// 1000 * major + 10 * minor; 0 where there is none.
  int32_t driver_version;
  int32_t runtime_version;
  /// Row of `gpi_kernel_table.figures` that choices go by.
  int32_t figures;
  /// What else was found or not, such as cuBLASLt: one line a fact. Ends with a zero byte.
  char notes[512];
} gpi_kernel_device_info;

/// One way of computing an operation. Earlier ones are preferred.
typedef struct {
  /// Unique, such as "linear.sm80".
  const char* name;
  gpi_kernel_op op;
  /// Devices it runs on, in the unit of `gpi_kernel_device_info.capability`.
  int32_t first_capability;
  int32_t last_capability;
  /// Bit `1 << element` for each element type it takes.
  uint32_t elements;
  /// One sentence about the shapes it takes.
  const char* takes;
} gpi_kernel_variant;

/// What a device does at most in a second, for choosing between kernels. `source` says how it is known.
typedef struct {
  /// A part of the device's name, such as "H200".
  const char* name;
  int32_t capability;
  /// Bytes from and to memory.
  double bandwidth;
  /// Multiplications and additions of 16-bit products: of dense ones, and of 2:4 ones with zeros counted, by
  /// mma.sp, and by wgmma.sp (0 where there is none).
  double dense;
  double sparse;
  double sparse_wgmma;
  const char* source;
} gpi_kernel_figures;

/// Seconds that a product takes at least by a device's figures: the slower of moving bytes and multiplying.
typedef struct {
  /// With the weight as it is without zeros left out.
  double dense;
  /// With the 2:4 weight as it is stored, by mma.sp or, where there is one, wgmma.sp.
  double stored;
  /// With the 2:4 weight written out as a dense matrix first.
  double expanded;
} gpi_kernel_sparse_floors;

/// How a probe's results on hardware may differ from the emulation's.
typedef enum {
  /// Not at all.
  GPI_PROBE_BITS = 0,
  /// float32; |difference| <= tolerance * |value|.
  GPI_PROBE_RELATIVE = 1,
  /// float32, and as many magnitudes behind them; |difference| <= tolerance * magnitude.
  GPI_PROBE_SUM = 2,
} gpi_probe_comparison;

/// A small kernel around one primitive, for comparing hardware with the emulation.
typedef struct {
  /// Unique, such as "mma.bf16".
  const char* name;
  /// The primitive's file.
  const char* header;
  /// Devices of this and later ones have the primitive.
  int32_t first_capability;
  /// Sizes of the one input and the one output, in words of 32 bits.
  int32_t input_words;
  int32_t output_words;
  gpi_probe_comparison comparison;
  float tolerance;
  /// Why it is compared so.
  const char* reason;
} gpi_kernel_probe;

typedef struct gpi_kernel_table {
  /// GPI_KERNEL_ABI, and the size of this struct.
  int32_t abi;
  int32_t byte_count;
  /// "simt" or "cuda"
  const char* name;
  /// Into `text`, cut to `capacity` with its final zero byte.
  void (*last_error)(char* text, int32_t capacity);

  // Devices
  gpi_kernel_status (*device_count)(int32_t* count);
  /// `workers`: operating system threads of the emulation, at least 1; ignored by GPUs.
  gpi_kernel_status (*open)(int32_t device, int32_t workers, gpi_kernel_context** context);
  /// Gives back what the context itself holds; memory, streams, events and graphs must be gone before.
  void (*close)(gpi_kernel_context* context);
  gpi_kernel_status (*device_info)(gpi_kernel_context* context, gpi_kernel_device_info* info);

  // Memory. Device memory is aligned to 256 bytes; `byte_count` is above 0.
  gpi_kernel_status (*allocate)(gpi_kernel_context* context, int64_t byte_count, void** memory);
  void (*release)(gpi_kernel_context* context, void* memory);
  /// Host memory that copies reach without passing through another buffer, and kernels at the same address,
  /// over the bus.
  gpi_kernel_status (*allocate_host)(gpi_kernel_context* context, int64_t byte_count, void** memory);
  void (*release_host)(gpi_kernel_context* context, void* memory);

  // Streams. `destroy_stream` waits for the work.
  gpi_kernel_status (*create_stream)(gpi_kernel_context* context, gpi_kernel_stream** stream);
  void (*destroy_stream)(gpi_kernel_stream* stream);
  gpi_kernel_status (*synchronize)(gpi_kernel_stream* stream);
  /// `rows` rows of `row_bytes`, from `source_pitch` to `target_pitch` bytes apart; between host and device
  /// in any direction. Host memory must live, and stay unchanged, until the stream has passed the copy.
  gpi_kernel_status (*copy)(gpi_kernel_stream* stream, void* target, int64_t target_pitch, const void* source,
                            int64_t source_pitch, int64_t row_bytes, int64_t rows);
  gpi_kernel_status (*fill)(gpi_kernel_stream* stream, void* target, uint8_t value, int64_t byte_count);

  // Events
  gpi_kernel_status (*create_event)(gpi_kernel_context* context, gpi_kernel_event** event);
  void (*destroy_event)(gpi_kernel_event* event);
  gpi_kernel_status (*record)(gpi_kernel_event* event, gpi_kernel_stream* stream);
  /// The stream goes on when the event has passed.
  gpi_kernel_status (*wait)(gpi_kernel_stream* stream, gpi_kernel_event* event);
  /// The caller goes on when the event has passed; at once when it was never recorded.
  gpi_kernel_status (*synchronize_event)(gpi_kernel_event* event);
  gpi_kernel_status (*elapsed)(gpi_kernel_event* start, gpi_kernel_event* end, float* milliseconds);

  // Graphs. Between `begin_capture` and `end_capture` the stream records copies between device addresses,
  // fills and launches, and runs none of them; nothing may be allocated or waited for.
  gpi_kernel_status (*begin_capture)(gpi_kernel_stream* stream);
  /// Ends the recording even when it fails.
  gpi_kernel_status (*end_capture)(gpi_kernel_stream* stream, gpi_kernel_graph** graph);
  gpi_kernel_status (*launch_graph)(gpi_kernel_graph* graph, gpi_kernel_stream* stream);
  void (*destroy_graph)(gpi_kernel_graph* graph);

  // Operations
  const gpi_kernel_variant* variants;
  int32_t variant_count;
  /// Whether the context's device can run a variant; if not, `text` says why.
  bool (*runs)(gpi_kernel_context* context, int32_t variant, char* text, int32_t capacity);
  /// Whether a variant takes these arguments on this device.
  bool (*accepts)(gpi_kernel_context* context, int32_t variant, const void* arguments);
  /// The first variant that takes them and is worth it on this device; -1 when none takes them.
  int32_t (*choose)(gpi_kernel_context* context, gpi_kernel_op op, const void* arguments);
  /// Scratch memory that any variant of the operation needs, for these sizes and any smaller number of rows.
  int64_t (*workspace)(gpi_kernel_op op, const void* arguments);
  /// Bytes of a weight in the layout of GPI_KERNEL_REPACK; -1 for a form that there are no kernels for.
  int64_t (*packed_bytes)(const gpi_kernel_weight_format* format);
  gpi_kernel_status (*launch)(gpi_kernel_stream* stream, int32_t variant, const void* arguments);

  // Figures that choices between kernels go by, none of them measured with these kernels
  const gpi_kernel_figures* figures;
  int32_t figure_count;
  /// Of one row of the figures, with weights of so many bits for each element.
  void (*sparse_floors)(int32_t figures, int32_t rows, int32_t outputs, int32_t inputs, double dense_bits,
                        double sparse_bits, gpi_kernel_sparse_floors* floors);

  // Conformance
  const gpi_kernel_probe* probes;
  int32_t probe_count;
  /// Writes a probe's inputs, which are a function of the seed, to host memory.
  void (*fill_probe)(int32_t probe, uint64_t seed, uint32_t* input);
  /// Input and output are device memory, aligned to 256 bytes.
  gpi_kernel_status (*launch_probe)(gpi_kernel_stream* stream, int32_t probe, const uint32_t* input,
                                    uint32_t* output);

  /// Host memory to host memory, rounding to nearest even.
  void (*convert)(gpi_kernel_element from, const void* source, gpi_kernel_element to, void* target,
                  int64_t count);
} gpi_kernel_table;

/// The table, or null when this library's version is not `abi`: then `gpi_kernels(0)`, which is never null,
/// has nothing valid in it but `abi`, `byte_count` and `name`.
const gpi_kernel_table* gpi_kernels(int32_t abi);

#ifdef __cplusplus
}
#endif
