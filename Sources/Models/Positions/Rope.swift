package import Compute
internal import Glibc

/// Rotary position embedding (Su et al. 2021) and the ways its frequencies are stretched to longer contexts.
package struct Rope: Sendable, Equatable {
  /// The base of the geometric series of wavelengths.
  package var theta: Double
  /// Leading components of each head that are rotated, an even number.
  package var rotaryDimension: Int
  package var pairing: RopeParameters.Pairing = .halves
  package var scaling: Scaling = .none

  package init(theta: Double, rotaryDimension: Int, scaling: Scaling = .none) {
    self.theta = theta
    self.rotaryDimension = rotaryDimension
    self.scaling = scaling
  }

  /// How the frequencies differ from the plain series.
  package enum Scaling: Sendable, Equatable {
    case none
    /// All frequencies divided by the factor.
    case linear(factor: Double)
    /// "Dynamic NTK": the base grows with the length, once that is above `originalLength`.
    case dynamic(factor: Double, originalLength: Int)
    case llama3(Llama3)
    case yarn(Yarn)
    /// Each pair's frequency divided by its own number: the result of a rule that GGUF files store instead of the
    /// rule.
    case factors([Float])
  }

  /// Llama 3.1: long wavelengths are divided by the factor, short ones kept, those between blended.
  package struct Llama3: Sendable, Equatable {
    package var factor: Double
    package var lowFrequencyFactor: Double
    package var highFrequencyFactor: Double
    package var originalLength: Int
  }

  /// YaRN (Peng et al. 2023).
  package struct Yarn: Sendable, Equatable {
    package var factor: Double
    package var originalLength: Int
    /// Multiplies cosines and sines.
    package var attentionFactor: Double
    /// Rotations within `originalLength` above which a pair is kept.
    package var betaFast: Double
    /// Rotations below which a pair is interpolated.
    package var betaSlow: Double
    /// Rounds the ends of the ramp to whole pairs.
    package var truncate: Bool
  }

  /// What scales cosines and sines; 1 but for YaRN.
  package var attentionFactor: Float {
    if case .yarn(let yarn) = scaling { Float(yarn.attentionFactor) } else { 1 }
  }

  /// float32 `[rotaryDimension / 2]`, radians a position, rounded where Hugging Face rounds so that angles agree
  /// to the last bits even far out.
  ///
  /// Dynamic NTK depends on the length of the running sequence in Hugging Face's code, which a key cached before
  /// the sequence grew does not follow. Here the base is fixed by `modelLength`, the longest sequence that will be
  /// served: up to the original length frequencies are unscaled, and above it they are what Hugging Face
  /// computes for a sequence of exactly `modelLength` tokens. (vLLM also fixes one base at start.)
  package func inverseFrequencies(modelLength: Int) -> [Float] {
    switch scaling {
    case .none: return series(theta)
    case .linear(let factor): return series(theta).map { $0 / Float(factor) }
    case .dynamic(let factor, let originalLength):
      let ratio = Double(Swift.max(modelLength, originalLength)) / Double(originalLength)
      let dimension = Double(rotaryDimension)
      return series(theta * pow(factor * ratio - (factor - 1), dimension / (dimension - 2)))
    case .llama3(let parameters): return series(theta).map { parameters.scaled($0) }
    case .yarn(let parameters): return parameters.scaled(theta: theta, dimension: rotaryDimension)
    case .factors(let factors): return zip(series(theta), factors).map(/)
    }
  }

  /// `base^(−2i / rotaryDimension)`.
  private func series(_ base: Double) -> [Float] {
    Self.periods(base: base, dimension: rotaryDimension).map { 1 / $0 }
  }

  /// `base^(2i / dimension)`, the exponent rounded to float32 first.
  static func periods(base: Double, dimension: Int) -> [Float] {
    (0..<dimension / 2).map { pair in
      let exponent = Float(2 * pair) / Float(dimension)
      return Float(pow(Double(Float(base)), Double(exponent)))
    }
  }

  /// The length that `maxPositions` of a configuration stands for once the scaling is applied.
  func stretchedLength(of maxPositions: Int) -> Int {
    switch scaling {
    case .none, .llama3, .factors: maxPositions
    case .linear(let factor), .dynamic(let factor, _): Self.scale(maxPositions, by: factor)
    case .yarn(let yarn): Swift.max(maxPositions, Self.scale(yarn.originalLength, by: yarn.factor))
    }
  }

  private static func scale(_ length: Int, by factor: Double) -> Int {
    Int(Swift.min(Double(length) * factor, Double(ConfigurationRange.positions.upperBound)))
  }
}

extension Rope.Llama3 {
  func scaled(_ frequency: Float) -> Float {
    let length = Double(originalLength)
    let wavelength = Float(2 * Double.pi) / frequency
    if wavelength > Float(length / lowFrequencyFactor) { return frequency / Float(factor) }
    if wavelength < Float(length / highFrequencyFactor) { return frequency }
    let smooth =
      (Float(length) / wavelength - Float(lowFrequencyFactor))
      / Float(highFrequencyFactor - lowFrequencyFactor)
    return (1 - smooth) * frequency / Float(factor) + smooth * frequency
  }
}

extension Rope.Yarn {
  func scaled(theta: Double, dimension: Int) -> [Float] {
    var low = pair(rotations: betaFast, theta: theta, dimension: dimension)
    var high = pair(rotations: betaSlow, theta: theta, dimension: dimension)
    if truncate {
      low = low.rounded(.down)
      high = high.rounded(.up)
    }
    low = Swift.max(low, 0)
    high = Swift.min(high, Double(dimension - 1))
    if low == high { high += 0.001 }
    return Rope.periods(base: theta, dimension: dimension).enumerated().map { index, period in
      let ramp = Swift.min(Swift.max((Float(index) - Float(low)) / Float(high - low), 0), 1)
      let kept = 1 - ramp
      return 1 / (Float(factor) * period) * (1 - kept) + 1 / period * kept
    }
  }

  /// The pair (a fraction) that turns this many times within the original length.
  private func pair(rotations: Double, theta: Double, dimension: Int) -> Double {
    Double(dimension) * log(Double(originalLength) / (rotations * 2 * .pi)) / (2 * log(theta))
  }

  /// The paper's `0.1 · ln(s) + 1`.
  static func magnitude(_ scale: Double, _ multiplier: Double = 1) -> Double {
    scale <= 1 ? 1 : 0.1 * multiplier * log(scale) + 1
  }
}
