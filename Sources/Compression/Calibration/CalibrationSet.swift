internal import Checkpoints

/// The token sequences that activations are measured on.
package struct CalibrationSet: Sendable, Equatable {
  /// None empty.
  package let samples: [[Int32]]

  package enum Problem: Error, Equatable, Sendable {
    case empty(source: String)
    case shape(source: String, tensor: String, shape: [Int])
    case token(source: String, value: Int64, limit: Int)
    case tooShort(source: String, tokens: Int, needed: Int)
  }

  package init(samples: [[Int32]]) { self.samples = samples.filter { !$0.isEmpty } }

  /// Every integer tensor of a safetensors file: `[T]` is one sequence, `[n, T]` are n.
  ///
  /// - Parameters:
  ///   - count: the first so many sequences; nil for all.
  ///   - vocabulary: ids have to be below.
  package init(
    file path: String, count: Int? = nil, vocabulary: Int
  ) throws {
    let file = try SafetensorsFile(path: path)
    var samples: [[Int32]] = []
    for name in file.names {
      let tensor = try file.tensor(name)
      guard tensor.shape.count == 1 || tensor.shape.count == 2 else {
        throw Problem.shape(source: path, tensor: name, shape: tensor.shape)
      }
      let values = try tensor.integers()
      let length = tensor.shape[tensor.shape.count - 1]
      if let wrong = values.first(where: { $0 < 0 || $0 >= vocabulary }) {
        throw Problem.token(source: path, value: wrong, limit: vocabulary)
      }
      guard length > 0 else { continue }
      for start in stride(from: 0, to: values.count, by: length) {
        samples.append(values[start..<start + length].map { Int32($0) })
      }
    }
    if let count { samples = Array(samples.prefix(count)) }
    guard !samples.isEmpty else { throw Problem.empty(source: path) }
    self.samples = samples
  }

  /// Windows of `length` tokens spread evenly over a text.
  package init(text tokens: [Int32], source: String, count: Int, length: Int) throws(Problem) {
    precondition(count >= 1 && length >= 1, "at least one sample of at least one token")
    guard tokens.count >= length else {
      throw .tooShort(source: source, tokens: tokens.count, needed: length)
    }
    let windows = Swift.min(count, tokens.count / length)
    let room = tokens.count - length
    samples = (0..<windows).map { index in
      let start = windows == 1 ? 0 : room * index / (windows - 1)
      return Array(tokens[start..<start + length])
    }
  }

  package var tokenCount: Int { samples.reduce(0) { $0 + $1.count } }
  package var longest: Int { samples.map(\.count).max() ?? 0 }

  /// Identifies the tokens in a report and a resumed run (FNV-1a, 64 bits).
  package var digest: String {
    var hash = Digest()
    for sample in samples {
      hash.add(UInt64(sample.count))
      for token in sample { hash.add(UInt64(UInt32(bitPattern: token))) }
    }
    return hash.text
  }
}

/// FNV-1a over 64-bit words; tells runs apart, protects against nothing.
struct Digest {
  private var state: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func add(_ word: UInt64) {
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
      state = (state ^ (word >> shift & 0xFF)) &* 0x100_0000_01B3
    }
  }

  mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
  }

  var text: String {
    let digits = String(state, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

extension CalibrationSet.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .empty(let source): "\(source) has no token ids"
    case .shape(let source, let tensor, let shape):
      "\(source): tensor \"\(tensor)\" has shape \(shape), expected [T] or [samples, T]"
    case .token(let source, let value, let limit):
      "\(source) holds token \(value), outside the vocabulary of \(limit)"
    case .tooShort(let source, let tokens, let needed):
      "\(source) has \(tokens) tokens, fewer than one sample of \(needed); give more text or a smaller --sequence-length"
    }
  }
}
