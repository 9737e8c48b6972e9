internal import Compute
package import KernelBackend

/// Compares what a device's primitives give with what their emulation gives, on the same inputs.
///
/// The emulation is what every other test of the kernels stands on, so a primitive that differs is either a mistake in our
/// reading of the PTX manual or a broken device.
package struct PrimitiveConformance {
  /// What a probe gives for the inputs of a seed.
  package typealias Run = (KernelProbe, UInt64) throws -> [UInt32]

  let probes: [KernelProbe]
  /// 10 · major + minor of the device.
  let capability: Int
  let emulated: Run
  let measured: Run

  package init(probes: [KernelProbe], capability: Int, emulated: @escaping Run, measured: @escaping Run) {
    self.probes = probes
    self.capability = capability
    self.emulated = emulated
    self.measured = measured
  }

  /// Probes that the two libraries do not have alike fail.
  package init(emulation: KernelBackend, device: KernelBackend) {
    let known = device.library.probes
    self.init(
      probes: emulation.library.probes, capability: device.device.capability,
      emulated: { probe, seed in try emulation.run(probe, seed: seed) },
      measured: { probe, seed in
        guard known.contains(probe) else {
          throw KernelError.unsupported(
            operation: probe.name, reason: "the library of the device is of another build")
        }
        return try device.run(probe, seed: seed)
      })
  }

  /// One probe over all seeds.
  package struct Row: Sendable, Equatable {
    package enum Outcome: Sendable, Equatable {
      /// All words that the probe compares, and the greatest error over what is allowed.
      case agreed(words: Int, worst: Double)
      case differs(Difference)
      /// The device does not have the primitive.
      case unavailable(String)
      /// The launch failed; its words.
      case failed(String)
    }
    package var name: String
    package var header: String
    /// How it was compared.
    package var rule: String
    package var outcome: Outcome

    package var isBreach: Bool {
      switch outcome {
      case .agreed, .unavailable: false
      case .differs, .failed: true
      }
    }
  }

  /// The first word that is not as it should be.
  package struct Difference: Sendable, Equatable {
    package var seed: UInt64
    package var word: Int
    package var count: Int
    package var emulated: UInt32
    package var found: UInt32
  }

  package func run(seeds: Range<UInt64> = 1..<5) -> [Row] {
    probes.map { probe in
      Row(name: probe.name, header: probe.header, rule: probe.rule, outcome: outcome(probe, seeds))
    }
  }

  private func outcome(_ probe: KernelProbe, _ seeds: Range<UInt64>) -> Row.Outcome {
    guard capability >= probe.firstCapability else {
      return .unavailable(
        "needs compute capability \(probe.firstCapability / 10).\(probe.firstCapability % 10)")
    }
    var (words, worst) = (0, 0.0)
    for seed in seeds {
      do {
        let wanted = try emulated(probe, seed)
        let found = try measured(probe, seed)
        switch probe.compare(found, with: wanted) {
        case .success(let ratio): worst = max(worst, ratio)
        case .failure(let mismatch):
          return .differs(
            Difference(
              seed: seed, word: mismatch.word, count: mismatch.count, emulated: wanted[mismatch.word],
              found: found[mismatch.word]))
        }
        words += probe.comparedWords
      } catch { return .failed("\(error)") }
    }
    return .agreed(words: words, worst: worst)
  }
}

extension KernelProbe {
  /// Words that are not what they should be.
  package struct Mismatch: Error, Equatable {
    package var word: Int
    /// How many there are.
    package var count: Int
  }

  /// In words, for reports.
  package var rule: String {
    switch comparison {
    case .bits: "bits"
    case .relative(let tolerance): "\(tolerance.scientific) of the value: \(reason)"
    case .sum(let tolerance): "\(tolerance.scientific) of the magnitude: \(reason)"
    }
  }

  package var comparedWords: Int {
    if case .sum = comparison { outputWords / 2 } else { outputWords }
  }

  /// The greatest difference over what is allowed, or what differs by more.
  ///
  /// - Precondition: both have `outputWords`.
  package func compare(_ found: [UInt32], with wanted: [UInt32]) -> Result<Double, Mismatch> {
    precondition(found.count == outputWords && wanted.count == outputWords, "outputs of another probe")
    var (worst, first, count) = (0.0, -1, 0)
    for word in 0..<comparedWords where found[word] != wanted[word] {
      let (new, old) = (Double(Float(bitPattern: found[word])), Double(Float(bitPattern: wanted[word])))
      let allowed: Double =
        switch comparison {
        case .bits: 0
        case .relative(let tolerance): tolerance * abs(old)
        case .sum(let tolerance): tolerance * Double(Float(bitPattern: wanted[comparedWords + word]))
        }
      let ratio = abs(new - old) / allowed
      // A NaN on either side is a mismatch too.
      if comparison != .bits, allowed.isFinite, ratio <= 1 {
        worst = max(worst, ratio)
        continue
      }
      if first < 0 { first = word }
      count += 1
    }
    return count == 0 ? .success(worst) : .failure(Mismatch(word: first, count: count))
  }
}

extension Double {
  /// A few digits, as in 2.38e-07.
  fileprivate var scientific: String { VerificationReport.short(self) }
}
