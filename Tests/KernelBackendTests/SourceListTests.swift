import Foundation
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
}
