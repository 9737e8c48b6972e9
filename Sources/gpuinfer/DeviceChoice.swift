internal import CPUBackend
internal import Checkpoints
internal import Compute
internal import Generation
internal import KernelBackend
internal import Models
internal import Numerics

/// Where and in what arithmetic a command computes: `--device`, `--threads` and `--dtype`.
struct DeviceChoice: Sendable {
  /// `--dtype`, under vLLM's names.
  enum ComputeType: String, CaseIterable, Sendable {
    /// float32 on the CPU, which is the reference; elsewhere the checkpoint's own 16-bit type.
    case auto
    case float32
    case bfloat16
    case float16
  }

  /// Never `auto`.
  let device: Device
  /// nil on the CPU.
  let kernels: DeviceKernels?
  let threads: Int?
  let computeType: ComputeType

  static let threadsOption = OptionSpecification.value(
    "--threads", "N", default: "one per core", "Threads of the CPU backend, and of the emulation.")

  static let options: [OptionSpecification] = [
    Device.option,
    threadsOption,
    .value(
      "--dtype", "TYPE", default: "auto",
      "Arithmetic of the matrix products: float32 or bfloat16 on the CPU, bfloat16 or float16 elsewhere; "
        + "auto is float32 on the CPU, elsewhere float16 for float16 checkpoints and bfloat16 for others."),
  ]

  /// A device that has been resolved, with its usual arithmetic.
  init(_ resolved: (device: Device, kernels: DeviceKernels?), threads: Int?) {
    (device, kernels) = resolved
    self.threads = threads
    computeType = .auto
  }

  /// Says on stderr what `--device auto` came to.
  init(_ arguments: ParsedArguments) throws {
    (device, kernels) = try Device.chosen(arguments).resolved()
    threads = try arguments.integer("--threads", in: 1...1024)
    computeType = try arguments.choice("--dtype", as: ComputeType.self) ?? .auto
    let refused: ComputeType = device == .cpu ? .float16 : .float32
    if computeType == refused {
      throw UsageError.invalidValue(
        option: "--dtype", value: refused.rawValue,
        expected: "\(device == .cpu ? "float32 or bfloat16" : "bfloat16 or float16") on the device "
          + device.rawValue)
    }
    if computeType == .bfloat16, device == .cpu { Self.sayWhetherBFloat16IsEmulated() }
  }

  /// On stderr.
  static func sayWhetherBFloat16IsEmulated() {
    if InstructionSet.best.multipliesBFloat16 { return }
    Console.error(
      "--dtype bfloat16: this processor has no bfloat16 dot products (avx512_bf16); they are emulated, slower than float32"
    )
  }

  /// Must be called on the thread that will use the backend. Without a checkpoint `auto` is bfloat16.
  func makeBackend(for checkpoint: Checkpoint?) throws -> any Backend {
    guard let kernels else {
      return CPUBackend(
        threads: threads, productType: computeType == .bfloat16 ? .bfloat16 : .float32)
    }
    return try KernelBackend(
      kernels.library, activationType: activationType(for: checkpoint),
      workers: threads ?? ProcessorCount.available)
  }

  /// What planning has to know of the device.
  func profile(for checkpoint: Checkpoint) -> DeviceProfile {
    guard let kernels else {
      return DeviceProfile(
        name: "cpu", activationType: .float32,
        held: HeldTypes(matrices: computeType == .bfloat16 ? .bfloat16 : nil),
        availableBytes: AvailableMemory.bytes)
    }
    let type = activationType(for: checkpoint)
    let capability = kernels.information.capability
    return DeviceProfile(
      name: device.rawValue, activationType: type,
      held: HeldTypes(matrices: type) {
        KernelBackend.widening(of: $0, capability: capability) == nil ? nil : type
      },
      availableBytes: kernels.information.freeBytes)
  }

  private func activationType(for checkpoint: Checkpoint?) -> DataType {
    switch computeType {
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .auto, .float32: checkpoint?.sixteenBitType ?? .bfloat16
    }
  }
}
