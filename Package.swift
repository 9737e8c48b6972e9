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

    library("JSON"),
    library("Numerics"),
    library("Compute", ["Numerics"]),
    library("CPUBackend", ["Compute", "Numerics", "CCPUBackend"]),
    library("Checkpoints", ["JSON", "Numerics", "Compute"]),
    library("Tokenizers", ["JSON", "CPCRE2"]),
    library("Scheduling"),
    library("Models", ["JSON", "Numerics", "Compute", "Checkpoints", "Scheduling"]),
    library(
      "Generation",
      ["JSON", "Numerics", "Compute", "Checkpoints", "Tokenizers", "Scheduling", "Models"]),
    library(
      "Verification", ["JSON", "Numerics", "Compute", "Scheduling", "Models", "Generation"]),
    library("Server", ["JSON", "Tokenizers", "Generation", "CMicrohttpd"]),
    .executableTarget(
      name: "gpuinfer",
      dependencies: [
        "JSON", "Numerics", "Compute", "CPUBackend", "Checkpoints", "Tokenizers", "Scheduling", "Models",
        "Generation", "Verification", "Server",
      ],
      swiftSettings: strict),

    .target(
      name: "TestSupport", dependencies: ["JSON", "Numerics", "Checkpoints"],
      path: "Tests/TestSupport", swiftSettings: strict),
    tests("JSON", ["JSON"]),
    tests("Numerics", ["Numerics"]),
    tests("Compute", ["Compute", "Numerics"]),
    tests("CPUBackend", ["CPUBackend", "Compute", "Numerics"]),
    tests("Checkpoints", ["Checkpoints", "JSON", "Numerics"]),
    tests("Tokenizers", ["Tokenizers", "JSON"]),
    tests("Scheduling", ["Scheduling"]),
    tests("Models", ["Models", "CPUBackend", "Checkpoints", "Compute", "Scheduling", "JSON", "Numerics"]),
    tests(
      "Generation",
      [
        "Generation", "Models", "CPUBackend", "Checkpoints", "Tokenizers", "Scheduling", "Compute",
        "Numerics", "JSON",
      ]),
    tests(
      "Verification",
      ["Verification", "CPUBackend", "Models", "Checkpoints", "Compute", "Generation", "Numerics", "JSON"]),
    tests("Server", ["Server", "Generation", "Tokenizers", "JSON"]),
    tests("Command", ["gpuinfer"]),
  ]
)
