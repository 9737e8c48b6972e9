import Compute
import KernelBackend
import Testing
import Verification

/// The comparison of primitives with their emulation; the emulation itself is held to plain computations by
/// Scripts/test-kernels.
@Suite("Primitive conformance", .serialized)
struct PrimitiveConformanceTests {
  private func probe(_ name: String) throws -> KernelProbe {
    try #require(KernelLibrary.emulated.probes.first { $0.name == name })
  }

  @Test
  func `equal devices agree in every primitive, and other inputs give other results`() throws {
    let (first, second) = (try KernelBackend(.emulated), try KernelBackend(.emulated))
    let rows = PrimitiveConformance(emulation: first, device: second).run(seeds: 1..<3)
    #expect(rows.count == KernelLibrary.emulated.probes.count)
    for row in rows {
      guard case .agreed(let words, 0) = row.outcome else {
        Issue.record("\(row)")
        continue
      }
      #expect(words > 0)
    }
    let exempt: Set = ["convert.from_bf16", "convert.from_f16", "warp.elect"]
    for probe in KernelLibrary.emulated.probes where !exempt.contains(probe.name) {
      #expect(try first.run(probe, seed: 1) != second.run(probe, seed: 2), "\(probe.name)")
    }
  }

  /// A device whose results are changed before they are compared.
  private func rows(
    of names: [String], capability: Int = 90, change: @escaping (inout [UInt32]) -> Void
  ) throws -> [PrimitiveConformance.Row] {
    let backend = try KernelBackend(.emulated)
    return PrimitiveConformance(
      probes: try names.map(probe), capability: capability,
      emulated: { probe, seed in try backend.run(probe, seed: seed) },
      measured: { probe, seed in
        var words = try backend.run(probe, seed: seed)
        change(&words)
        return words
      }
    ).run(seeds: 1..<3)
  }

  @Test(arguments: [
    "warp.shuffle", "mma.bf16", "mma.sp.s8", "ldmatrix.x2", "tma.load.128", "wgmma.bf16.64.32",
  ])
  func `one wrong bit is found where every bit is specified`(_ name: String) throws {
    let row = try rows(of: [name]) { $0[17] ^= 1 }[0]
    guard case .differs(let difference) = row.outcome else {
      Issue.record("\(row)")
      return
    }
    #expect(difference.word == 17 && difference.count == 1 && difference.seed == 1)
    #expect(difference.found == difference.emulated ^ 1)
    #expect(row.isBreach && row.rule == "bits")
  }

  @Test
  func `approximations and sums may differ by what is said, and by no more`() throws {
    func scaled(_ factor: Float) -> (inout [UInt32]) -> Void {
      { words in words[0] = (Float(bitPattern: words[0]) * factor).bitPattern }
    }
    for (name, tolerance) in [("math.tanh", Float(0x1.1p-10)), ("math.rsqrt", 3 * 0x1p-23)] {
      #expect(!(try rows(of: [name], change: scaled(1 + 0.7 * tolerance))[0].isBreach), "\(name)")
      #expect(try rows(of: [name], change: scaled(1 + 2 * tolerance))[0].isBreach, "\(name)")
      #expect(try rows(of: [name]) { $0[3] = Float.nan.bitPattern }[0].isBreach)
    }
    for name in ["mma.f16.real", "wgmma.bf16.128.128.real"] {
      let half = try probe(name).comparedWords
      func moved(_ part: Float) -> (inout [UInt32]) -> Void {
        { words in
          let magnitude = Float(bitPattern: words[half])
          words[0] = (Float(bitPattern: words[0]) + part * magnitude).bitPattern
        }
      }
      guard case .sum(let tolerance) = try probe(name).comparison else {
        Issue.record("\(name)")
        return
      }
      #expect(!(try rows(of: [name], change: moved(0.5 * Float(tolerance)))[0].isBreach), "\(name)")
      #expect(try rows(of: [name], change: moved(2 * Float(tolerance)))[0].isBreach, "\(name)")
    }
  }

  @Test
  func `what a device lacks is said, and a failed launch is a breach`() throws {
    let lacking = try rows(of: ["wgmma.bf16.64.32", "mma.bf16"], capability: 80) { _ in }
    #expect(lacking[0].outcome == .unavailable("needs compute capability 9.0"))
    #expect(!lacking[0].isBreach && !lacking[1].isBreach)
    let failing = PrimitiveConformance(
      probes: [try probe("barrier")], capability: 90,
      emulated: { _, _ in [] },
      measured: { _, _ throws(KernelError) in
        throw .unsupported(operation: "barrier", reason: "no such kernel")
      }
    ).run()
    #expect(failing[0].isBreach)
    var report = VerificationReport(reference: "cpu", candidate: "cuda", elementType: "bfloat16")
    report.primitives = lacking + failing
    #expect(report.breaches == 1)
    #expect(report.text.contains("wgmma.bf16.64.32") && report.text.contains("needs compute capability 9.0"))
    #expect(report.text.contains("FAILED: 1 of 3 checks"))
    #expect(report.json.contains("\"primitive\":\"barrier\""))
  }
}
