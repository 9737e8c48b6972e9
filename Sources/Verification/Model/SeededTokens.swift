/// Prompts of token ids that are the same on every machine.
package enum SeededTokens {
  /// One prompt a length; ids are drawn evenly from the vocabulary.
  package static func prompts(lengths: [Int], vocabulary: Int, seed: UInt64) -> [[Int32]] {
    let values = CaseValues(seed: seed)
    return lengths.enumerated().map { index, length in
      values.integers(length, UInt32(truncatingIfNeeded: index) &+ 1000, below: vocabulary)
    }
  }
}
