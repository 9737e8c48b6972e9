/// Where a model can run.
enum Device: String, CaseIterable, Sendable {
  /// The best there is: a GPU if one can be used, else the CPU.
  case auto
  case cuda
  case cpu
  /// The GPU kernels, emulated thread by thread on the CPU: for checking, not for speed.
  case simt

  static let option = OptionSpecification.value(
    "--device", "DEVICE", default: "auto", "Where to run: auto, cuda, cpu or simt.")

  static func chosen(_ arguments: ParsedArguments) throws(UsageError) -> Device {
    try arguments.choice(option.name, as: Device.self) ?? .auto
  }

  /// Why this device cannot be used here; nil when it can.
  var reasonUnavailable: String? {
    switch self {
    case .auto, .cpu: nil
    case .cuda: "this build has no CUDA kernels (libgpuinfer_cuda.so is not part of it)"
    case .simt: "this build has no emulated kernels"
    }
  }

  /// The device that will really be used; says on stderr what `auto` came to.
  func resolved() throws(Failure) -> Device {
    if let reason = reasonUnavailable {
      throw Failure(
        .unavailable, "device \(rawValue) cannot be used: \(reason); 'gpuinfer doctor' tells more")
    }
    guard self == .auto else { return self }
    if let reason = Device.cuda.reasonUnavailable { Console.error("running on the CPU: \(reason)") }
    return .cpu
  }
}
