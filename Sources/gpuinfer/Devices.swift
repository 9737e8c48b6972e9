internal import KernelBackend

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

  /// The kernels of this device and what it is; nil for the CPU, which has its own.
  func kernels() throws(KernelLibraryError) -> DeviceKernels? {
    switch self {
    case .auto, .cpu: return nil
    case .simt: return try DeviceKernels(.emulated)
    case .cuda: return try DeviceKernels(.cuda())
    }
  }

  /// The device that will really be used, and its kernels; says on stderr what `auto` came to.
  func resolved() throws(Failure) -> (device: Device, kernels: DeviceKernels?) {
    let wanted = self == .auto ? .cuda : self
    do throws(KernelLibraryError) {
      return (wanted, try wanted.kernels())
    } catch {
      if self == .auto {
        Console.error("running on the CPU: \(error)")
        return (.cpu, nil)
      }
      throw Failure(
        .unavailable, "device \(rawValue) cannot be used: \(error); 'gpuinfer doctor' tells more")
    }
  }
}

/// A library of kernels that can be used here, and the device it would use.
struct DeviceKernels: Sendable {
  let library: KernelLibrary
  let information: DeviceInformation

  init(_ library: KernelLibrary) throws(KernelLibraryError) {
    self.library = library
    information = try library.deviceInformation()
  }
}
