import Foundation
import KernelBackend
import TestSupport
import Testing

/// SwiftPM passes over a `.cu` that the manifest does not name.
@Suite struct SourceListTests {
  @Test func `the manifest names every kernel and every source of the emulation`() throws {
    let manifest = try String(contentsOfFile: Fixtures.root + "/Package.swift", encoding: .utf8)
    let folder = Fixtures.root + "/CKernels"
    var sources: [String] = []
    for case let path as String in try #require(FileManager.default.enumerator(atPath: folder)) {
      guard path.hasSuffix(".cu") || path.hasSuffix(".cpp") else { continue }
      // Tests have a program of their own, `cuda` is nvcc's, and the hooks are the checker's flavour.
      if path.hasPrefix("tests/") || path.hasPrefix("cuda/") || path == "simt/checker/hooks.cpp" { continue }
      sources.append(path)
    }
    #expect(sources.count > 30)
    for path in sources { #expect(manifest.contains("\"\(path)\""), "add \(path) to kernelSources") }
  }

  /// A primitive without a probe would never be compared with hardware.
  @Test func `every header with code of its own for hardware has a probe`() throws {
    let probes = KernelLibrary.emulated.probes
    // What the probes of other headers cannot do without.
    let through = [
      "platform.h": "warp.shuffle", "launch.h": "warp.shuffle", "indices.h": "warp.shuffle",
      "shared.h": "cp.async", "proxy.h": "tma.store.128", "tensor_map.h": "tma.load.128",
      "registers.h": "mbarrier.ring",
    ]
    let folder = Fixtures.root + "/CKernels/device"
    var found = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name != "wgmma_operands.h" {
      let text = try String(contentsOfFile: folder + "/" + name, encoding: .utf8)
      guard text.contains("GPU_ON_DEVICE") || text.contains("__CUDA_ARCH__") else { continue }
      found += 1
      let isProbed = probes.contains { $0.header == name || $0.name == through[name] }
      #expect(isProbed, "CKernels/conformance has no probe of device/\(name)")
    }
    #expect(found > 15)
  }
}
