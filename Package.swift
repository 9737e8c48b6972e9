// swift-tools-version: 6.2
import PackageDescription

// A target may import only the targets listed above it; `Docs/architecture.md` says what each one holds.
// No package dependencies: what lies outside our purpose comes from system C libraries through module maps.

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

// The hot CPU loops are compiled with optimisation in debug builds too: the tests run whole models through them.
let hotC: [CSetting] = [
  .unsafeFlags(["-O3", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fno-math-errno"])
]

// The kernels under their emulation: CUDA sources that are compiled as C++. SwiftPM knows no .cu and would pass over a
// file that is not named here; a test compares this list with the folder. Optimised in debug builds too, without
// contraction (bits must not depend on the processor), and never instrumented: a sanitizer does not know fibers.
let kernelFlags: [CXXSetting] = [
  .headerSearchPath("."),
  .unsafeFlags([
    "-x", "c++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fno-sanitize=all",
    // Launch bounds are for nvcc; on the host nothing is left of them.
    "-Wno-unused-const-variable",
  ]),
]
let kernelSources = [
  "attention/combine.cu",
  "attention/decode_bf16.cu",
  "attention/decode_codes_bf16.cu",
  "attention/decode_codes_f16.cu",
  "attention/decode_f16.cu",
  "attention/plain.cu",
  "attention/prefill_bf16.cu",
  "attention/prefill_codes_bf16.cu",
  "attention/prefill_codes_f16.cu",
  "attention/prefill_f16.cu",
  "attention/sm90/prefill.cu",
  "attention/sm90/prefill_bf16.cu",
  "attention/sm90/prefill_f16.cu",
  "conformance/copies.cu",
  "conformance/matrices.cu",
  "conformance/numbers.cu",
  "conformance/sm89/matrices.cu",
  "conformance/sm90/bulk.cu",
  "conformance/sm90/products.cu",
  "conformance/sm90/sparse_products.cu",
  "conformance/warp.cu",
  "elementwise/activation.cu",
  "elementwise/add.cu",
  "elementwise/append_codes.cu",
  "elementwise/append_kv.cu",
  "elementwise/embedding.cu",
  "elementwise/gather_columns.cu",
  "elementwise/layer_norm.cu",
  "elementwise/rms_norm.cu",
  "elementwise/rope.cu",
  "gemm/dequantize.cu",
  "gemm/lora.cu",
  "gemm/lora_expand.cu",
  "gemm/lora_shrink.cu",
  "gemm/quantize_rows.cu",
  "gemm/repack.cu",
  "gemm/sm80.cu",
  "gemm/sm80_bf16.cu",
  "gemm/sm80_f16.cu",
  "gemm/sm89/w8a8_float8_bf16.cu",
  "gemm/sm89/w8a8_float8_f16.cu",
  "gemm/sm90/gemm.cu",
  "gemm/sm90/gemm_bf16.cu",
  "gemm/sm90/gemm_f16.cu",
  "gemm/sm90/w8a8.cu",
  "gemm/sm90/w8a8_bf16.cu",
  "gemm/sm90/w8a8_f16.cu",
  "gemm/sm90/wna16.cu",
  "gemm/sm90/wna16_bf16.cu",
  "gemm/sm90/wna16_f16.cu",
  "gemm/sum_parts.cu",
  "gemm/w8a8.cu",
  "gemm/w8a8_bf16.cu",
  "gemm/w8a8_f16.cu",
  "gemm/wna16.cu",
  "gemm/wna16_float8_bf16.cu",
  "gemm/wna16_float8_f16.cu",
  "gemm/wna16_int2_bf16.cu",
  "gemm/wna16_int2_f16.cu",
  "gemm/wna16_int3_bf16.cu",
  "gemm/wna16_int3_f16.cu",
  "gemm/wna16_int4_bf16.cu",
  "gemm/wna16_int4_f16.cu",
  "gemm/wna16_int8_bf16.cu",
  "gemm/wna16_int8_f16.cu",
  "sampling/feed.cu",
  "sampling/logprobs.cu",
  "sampling/process.cu",
  "sampling/sample.cu",
  "simt/approximations.cpp",
  "simt/atomics.cpp",
  "simt/barriers.cpp",
  "simt/block.cpp",
  "simt/bulk_copies.cpp",
  "simt/checker/accesses.cpp",
  "simt/checker/checker.cpp",
  "simt/checker/global_shadow.cpp",
  "simt/checker/shared_shadow.cpp",
  "simt/copies.cpp",
  "simt/device_memory.cpp",
  "simt/exchange.cpp",
  "simt/fiber.cpp",
  "simt/grid.cpp",
  "simt/matrices.cpp",
  "simt/mbarriers.cpp",
  "simt/place.cpp",
  "simt/registers.cpp",
  "simt/runtime.cpp",
  "simt/scheduler.cpp",
  "simt/shared_memory.cpp",
  "simt/sparse_matrices.cpp",
  "simt/tensor_map.cpp",
  "simt/wgmma.cpp",
  "sparse/compress_sparse24.cu",
  "sparse/expand_sparse24.cu",
  "sparse/reorder_sparse24.cu",
  "sparse/reorder_sparse24_int8.cu",
  "sparse/sm90/sparse24.cu",
  "sparse/sm90/sparse24_bf16.cu",
  "sparse/sm90/sparse24_f16.cu",
  "sparse/sparse24.cu",
  "sparse/sparse24_bf16.cu",
  "sparse/sparse24_f16.cu",
  "sparse/sparse24_int4_bf16.cu",
  "sparse/sparse24_int4_f16.cu",
  "sparse/sparse24_int8_bf16.cu",
  "sparse/sparse24_int8_f16.cu",
  "sparse/sparse24_w8a8.cu",
  "sparse/sparse24_w8a8_bf16.cu",
  "sparse/sparse24_w8a8_f16.cu",
  "table/attention.cpp",
  "table/conformance.cpp",
  "table/elementwise.cpp",
  "table/figures.cpp",
  "table/linear.cpp",
  "table/lora.cpp",
  "table/quantized.cpp",
  "table/sampling.cpp",
  "table/sparse.cpp",
  "table/table.cpp",
]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: dependencies + ["TestSupport"], swiftSettings: strict)
}

let package = Package(
  name: "gpuinfer",
  products: [.executable(name: "gpuinfer", targets: ["gpuinfer"])],
  targets: [
    .systemLibrary(name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
    .systemLibrary(
      name: "CMicrohttpd", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
    .target(name: "CCPUBackend", cSettings: hotC),
    .target(
      name: "CKernels", path: "CKernels", sources: kernelSources, publicHeadersPath: "include",
      cxxSettings: kernelFlags),

    library("JSON"),
    library("Numerics"),
    library("Compute", ["Numerics"]),
    library("CPUBackend", ["Compute", "Numerics", "CCPUBackend"]),
    library("KernelBackend", ["Compute", "Numerics", "CKernels"]),
    library("Checkpoints", ["JSON", "Numerics", "Compute"]),
    library("Tokenizers", ["JSON", "CPCRE2"]),
    library("Grammars", ["JSON"]),
    library("Scheduling"),
    library("Models", ["JSON", "Numerics", "Compute", "Checkpoints", "Scheduling"]),
    library(
      "Generation",
      ["JSON", "Numerics", "Compute", "Checkpoints", "Tokenizers", "Grammars", "Scheduling", "Models"]),
    library(
      "Compression",
      ["JSON", "Numerics", "Compute", "CPUBackend", "KernelBackend", "Checkpoints", "Scheduling", "Models"]),
    library(
      "Verification",
      ["JSON", "Numerics", "Compute", "KernelBackend", "Scheduling", "Models", "Generation"]),
    library("Server", ["JSON", "Tokenizers", "Grammars", "Generation", "CMicrohttpd"]),
    .executableTarget(
      name: "gpuinfer",
      dependencies: [
        "JSON", "Numerics", "Compute", "CPUBackend", "KernelBackend", "Checkpoints", "Tokenizers",
        "Grammars", "Scheduling", "Models", "Generation", "Compression", "Verification", "Server",
      ],
      swiftSettings: strict),

    .target(
      name: "TestSupport", dependencies: ["JSON", "Numerics", "Checkpoints"],
      path: "Tests/TestSupport", swiftSettings: strict),
    tests("JSON", ["JSON"]),
    tests("Numerics", ["Numerics"]),
    tests("Compute", ["Compute", "Numerics"]),
    tests("CPUBackend", ["CPUBackend", "Compute", "Numerics"]),
    tests("KernelBackend", ["KernelBackend", "CPUBackend", "Compute", "Numerics"]),
    tests("Checkpoints", ["Checkpoints", "JSON", "Numerics"]),
    tests("Tokenizers", ["Tokenizers", "JSON"]),
    tests("Grammars", ["Grammars", "Tokenizers", "JSON", "CPCRE2"]),
    tests("Scheduling", ["Scheduling"]),
    tests(
      "Models",
      ["Models", "CPUBackend", "KernelBackend", "Checkpoints", "Compute", "Scheduling", "JSON", "Numerics"]),
    tests(
      "Generation",
      [
        "Generation", "Grammars", "Models", "CPUBackend", "KernelBackend", "Checkpoints", "Tokenizers",
        "Scheduling",
        "Compute", "Numerics", "JSON",
      ]),
    tests(
      "Compression",
      [
        "Compression", "Generation", "Models", "CPUBackend", "KernelBackend", "Checkpoints", "Compute",
        "Numerics", "JSON",
      ]),
    tests(
      "Verification",
      [
        "Verification", "CPUBackend", "KernelBackend", "Models", "Checkpoints", "Compute", "Generation",
        "Numerics", "JSON",
      ]),
    tests("Server", ["Server", "Generation", "Grammars", "Tokenizers", "JSON"]),
    tests("Command", ["gpuinfer"]),
  ]
)
