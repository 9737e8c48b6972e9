internal import CPUBackend
internal import Compute
internal import Generation
internal import Numerics

/// Where and in what arithmetic a command computes: `--device`, `--threads` and `--dtype`.
struct DeviceChoice: Sendable {
  /// `--dtype`, under vLLM's names.
  enum ComputeType: String, CaseIterable, Sendable {
    /// float32 on the CPU, which is the reference.
    case auto
    case float32
    case bfloat16
  }

  /// Never `auto`.
  let device: Device
  let threads: Int?
  let computeType: ComputeType

  static let threadsOption = OptionSpecification.value(
    "--threads", "N", default: "one per core", "Threads of the CPU backend.")

  static let options: [OptionSpecification] = [
    Device.option,
    threadsOption,
    .value(
      "--dtype", "TYPE", default: "auto",
      "Arithmetic of the matrix products: float32 or bfloat16; auto is float32 on the CPU."),
  ]

  /// - Precondition: not `auto`.
  init(_ device: Device, threads: Int?) {
    self.device = device
    self.threads = threads
    computeType = .auto
  }

  /// Says on stderr what `--device auto` came to.
  init(_ arguments: ParsedArguments) throws {
    device = try Device.chosen(arguments).resolved()
    threads = try arguments.integer("--threads", in: 1...1024)
    computeType = try arguments.choice("--dtype", as: ComputeType.self) ?? .auto
    if computeType == .bfloat16, device == .cpu, !InstructionSet.best.multipliesBFloat16 {
      Console.error(
        "--dtype bfloat16: this processor has no bfloat16 dot products (avx512_bf16); they are emulated, slower than float32"
      )
    }
  }

  private var multipliesBFloat16: Bool { computeType == .bfloat16 }

  /// Must be called on the thread that will use the backend.
  func makeBackend() throws(Failure) -> any Backend {
    switch device {
    case .cpu, .auto: CPUBackend(threads: threads, productType: multipliesBFloat16 ? .bfloat16 : .float32)
    case .cuda, .simt: throw Failure(.unavailable, "device \(device.rawValue) cannot be used")
    }
  }

  /// What planning has to know of the device.
  var profile: DeviceProfile {
    DeviceProfile(
      name: "cpu", activationType: .float32, matrixType: multipliesBFloat16 ? .bfloat16 : nil,
      availableBytes: AvailableMemory.bytes)
  }
}
