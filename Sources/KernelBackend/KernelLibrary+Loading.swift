internal import CKernels
internal import Glibc

extension KernelLibrary {
  /// The file name of the CUDA kernels, made by Scripts/build-cuda.
  package static let fileName = "libgpuinfer_cuda.so"
  /// The variable that names a library to use instead of looking for one.
  package static let pathVariable = "GPUINFER_CUDA_LIBRARY"

  /// Loads the CUDA kernels: the file that `GPUINFER_CUDA_LIBRARY` names and no other; else the first there is beside the
  /// executable, in `../lib` and on the system's path.
  ///
  /// - Throws: what is wrong with the first file found; a driver or a device is not looked for.
  package static func cuda() throws(KernelLibraryError) -> KernelLibrary {
    if let chosen = unsafe getenv(pathVariable) {
      let path = unsafe String(cString: chosen)
      if !path.isEmpty { return try load(path) }
    }
    var searched: [String] = []
    if let folder = executableFolder {
      for path in [folder + "/" + fileName, folder + "/../lib/" + fileName] {
        searched.append(path)
        if unsafe access(path, F_OK) == 0 { return try load(path) }
      }
    }
    searched.append("the system's library path")
    guard let handle = unsafe dlopen(fileName, RTLD_NOW | RTLD_LOCAL) else {
      throw .notFound(searched: searched)
    }
    return try unsafe library(handle, fileName)
  }

  /// Loads one file.
  package static func load(_ path: String) throws(KernelLibraryError) -> KernelLibrary {
    guard let handle = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw .unloadable(
        path: path, reason: unsafe dlerror().map { unsafe String(cString: $0) } ?? "unknown reason")
    }
    return try unsafe library(handle, path)
  }

  /// The table of an open library, which stays open for good: its threads and memory cannot be taken back.
  private static func library(
    _ handle: UnsafeMutableRawPointer, _ path: String
  ) throws(KernelLibraryError) -> KernelLibrary {
    guard let symbol = unsafe dlsym(handle, "gpi_kernels") else { throw .notOurs(path: path) }
    typealias Function = @convention(c) (Int32) -> UnsafePointer<gpi_kernel_table>?
    let tables = unsafe unsafeBitCast(symbol, to: Function.self)
    guard let table = unsafe tables(GPI_KERNEL_ABI), unsafe table.pointee.abi == GPI_KERNEL_ABI else {
      let found = unsafe tables(0).map { unsafe Int($0.pointee.abi) }
      throw .wrongVersion(path: path, found: found ?? 0, expected: Int(GPI_KERNEL_ABI))
    }
    return unsafe KernelLibrary(table, path: path)
  }

  private static var executableFolder: String? {
    guard let path = unsafe realpath("/proc/self/exe", nil) else { return nil }
    defer { unsafe free(path) }
    let full = unsafe String(cString: path)
    return full.lastIndex(of: "/").map { String(full[..<$0]) }
  }

  /// Opens a device and says what it is; throws what makes it unusable.
  package func deviceInformation(index: Int = 0) throws(KernelLibraryError) -> DeviceInformation {
    guard index < (try deviceCount()) else { throw .noDevice("there is no device \(index)") }
    return try KernelDevice(self, index: index, workers: 1).information()
  }
}
