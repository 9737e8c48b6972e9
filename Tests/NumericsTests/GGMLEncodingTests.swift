import Numerics
import TestSupport
import Testing

/// Root mean square errors on normally distributed rows, beside figures computed apart from this code (in double
/// precision, from ggml's description).
@Suite struct GGMLEncodingTests {
  private func normal(_ count: Int) -> [Float] {
    var random = SeededGenerator(seed: 20)
    // Sums of twelve uniform numbers have variance 1 and no logarithm.
    return (0..<count).map { _ in (0..<12).reduce(Float(-6)) { sum, _ in sum + random.float(0, 1) } }
  }

  private func error(_ type: GGMLType, _ values: [Float]) throws -> Double {
    let bytes = try #require(type.encode(values))
    #expect(bytes.count == values.count / type.blockElements * type.blockBytes)
    let decoded = try #require(type.decode(bytes))
    let sum = zip(values, decoded).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    return (sum / Double(values.count)).squareRoot()
  }

  @Test(arguments: [(GGMLType.q80, 0.00535), (.q4K, 0.0718), (.q40, 0.0860)])
  func `error on normal rows`(_ type: GGMLType, _ expected: Double) throws {
    let found = try error(type, normal(256 * 400))
    // The sum of uniforms has thinner tails than the normal rows of those figures.
    #expect(abs(found / expected - 1) < 0.04, "\(found)")
  }

  /// Two bits more halve the error twice.
  @Test func `Q6_K is four times as exact as Q4_K`() throws {
    let values = normal(256 * 100)
    let ratio = try error(.q4K, values) / error(.q6K, values)
    #expect(ratio > 3.3 && ratio < 5.5, "\(ratio)")
  }

  @Test(arguments: [GGMLType.q4K, .q6K]) func `zeros, constants and spikes`(_ type: GGMLType) throws {
    let zero = try #require(type.encode([Float](repeating: 0, count: 256)))
    #expect(type.decode(zero) == [Float](repeating: 0, count: 256))
    var spike = [Float](repeating: 0, count: 256)
    spike[77] = -3
    let back = try #require(type.encode(spike).flatMap { type.decode($0) })
    #expect(abs(back[77] + 3) < 0.01)
    #expect(back.indices.allSatisfy { $0 == 77 || abs(back[$0]) < 0.01 })
    let constant = try #require(
      type.encode([Float](repeating: 0.7, count: 256)).flatMap { type.decode($0) })
    #expect(constant.allSatisfy { abs($0 - 0.7) < 0.01 })
  }

  /// NaN and infinity have no code, and must not end the program either.
  @Test(arguments: [GGMLType.q4K, .q6K]) func `what is no number is written as something`(_ type: GGMLType)
    throws
  {
    var values = [Float](repeating: 1, count: 256)
    values[3] = .nan
    values[9] = .infinity
    #expect(type.encode(values)?.count == type.blockBytes)
  }
}
