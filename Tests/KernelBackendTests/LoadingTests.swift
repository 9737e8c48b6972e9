import Foundation
import KernelBackend
import Testing

/// Libraries that are not what they should be, built here with the C compiler.
@Suite struct LoadingTests {
  /// A shared library of this source, in a folder that the caller removes.
  private func library(_ source: String) throws -> (path: String, folder: URL) {
    let folder = FileManager.default.temporaryDirectory.appending(path: "gpuinfer-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let (file, output) = (folder.appending(path: "table.c"), folder.appending(path: "table.so"))
    try source.write(to: file, atomically: true, encoding: .utf8)
    let compiler = Process()
    compiler.executableURL = URL(filePath: "/usr/bin/env")
    compiler.arguments = ["cc", "-shared", "-fPIC", "-o", output.path, file.path]
    try compiler.run()
    compiler.waitUntilExit()
    #expect(compiler.terminationStatus == 0)
    return (output.path, folder)
  }

  private func error(loading source: String) throws -> (KernelLibraryError?, path: String) {
    let (path, folder) = try library(source)
    defer { try? FileManager.default.removeItem(at: folder) }
    do {
      _ = try KernelLibrary.load(path)
      return (nil, path)
    } catch {
      return (error, path)
    }
  }

  @Test func `another version of the interface`() throws {
    let (error, path) = try error(
      loading: """
        static const struct { int abi, bytes; const char *name; } table = {41, 24, "cuda"};
        const void *gpi_kernels(int abi) { return abi == 41 || abi == 0 ? &table : 0; }
        """)
    guard case .wrongVersion(path, let found, let expected) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(found == 41 && expected > 0 && expected < 41)
    #expect("\(try #require(error))".contains("version 41"))
  }

  @Test func `a library without the function`() throws {
    let (error, path) = try error(loading: "int something_else(void) { return 1; }")
    #expect(error == .notOurs(path: path))
  }

  @Test func `files that are no library`() throws {
    #expect {
      try KernelLibrary.load("/proc/self/status")
    } throws: { error in
      guard case .unloadable(let path, let reason) = error as? KernelLibraryError else { return false }
      return path == "/proc/self/status" && !reason.isEmpty
    }
    #expect {
      try KernelLibrary.load("/nowhere/libgpuinfer_cuda.so")
    } throws: { error in
      "\(error)".contains("/nowhere/libgpuinfer_cuda.so cannot be loaded")
    }
  }
}
