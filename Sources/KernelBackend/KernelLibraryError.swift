/// Why kernels for a device cannot be used.
package enum KernelLibraryError: Error, Sendable, Equatable {
  /// No library in any of the places that were looked at.
  case notFound(searched: [String])
  /// The dynamic linker refused it, with its reason.
  case unloadable(path: String, reason: String)
  /// It does not export `gpi_kernels`.
  case notOurs(path: String)
  case wrongVersion(path: String, found: Int, expected: Int)
  /// A driver that is missing or too old; the runtime's own words.
  case noDriver(String)
  case noDevice(String)
  /// A device of a compute capability that the library has no kernels for.
  case unsupportedDevice(String)
  case failed(String)
}

extension KernelLibraryError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .notFound(let searched):
      "there is no libgpuinfer_cuda.so; looked for \(searched.joined(separator: ", ")); "
        + "build it with Scripts/build-cuda, or set GPUINFER_CUDA_LIBRARY to its path"
    case .unloadable(let path, let reason): "\(path) cannot be loaded: \(reason)"
    case .notOurs(let path): "\(path) is no kernel library of gpuinfer: it has no function gpi_kernels"
    case .wrongVersion(let path, let found, let expected):
      "\(path) has version \(found) of the kernel interface and this gpuinfer needs \(expected); "
        + "build both from one commit"
    case .noDriver(let text): "no usable NVIDIA driver: \(text)"
    case .noDevice(let text): "no CUDA device: \(text)"
    case .unsupportedDevice(let text): "unsupported device: \(text)"
    case .failed(let text): text
    }
  }
}
