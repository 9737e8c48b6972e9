/// How much sampling one step may ask of a device; memory is reserved for exactly this.
package struct SamplingCapacity: Sendable, Equatable {
  package var vocabularySize: Int
  /// Rows of logits.
  package var rows: Int
  /// Logits changed by themselves (biases, bad words), over all rows.
  package var edits: Int
  /// Tokens that penalties count, over all rows.
  package var seenTokens: Int
  /// Rows with a mask of allowed tokens.
  package var masks: Int
  /// Most likely tokens to report, over all rows.
  package var alternatives: Int

  package init(
    vocabularySize: Int, rows: Int, edits: Int, seenTokens: Int, masks: Int, alternatives: Int
  ) {
    self.vocabularySize = vocabularySize
    self.rows = rows
    self.edits = edits
    self.seenTokens = seenTokens
    self.masks = masks
    self.alternatives = alternatives
  }

  /// What serves a model of these limits: every sequence may have a mask and 32 alternatives, and sequences share
  /// room for biases and for the histories of penalties. What does not fit is sampled on the host.
  package init(vocabularySize: Int, rows: Int, sequences: Int, modelLength: Int) {
    let history = min(modelLength, vocabularySize)
    self.init(
      vocabularySize: vocabularySize, rows: rows, edits: max(4096, 32 * sequences),
      seenTokens: max(4 * history, 64 * sequences), masks: sequences, alternatives: 32 * sequences)
  }

  /// Words of a mask: bit `i % 32` of word `i / 32` allows token i.
  package var maskWords: Int { (vocabularySize + 31) / 32 }

  /// Rows whose logits are changed at one time; more are computed one lot after the other in the same memory.
  package var changedRows: Int { min(rows, 64) }
  /// Floats of a changed row, so that each starts at a multiple of 16 bytes.
  package var changedStride: Int { (vocabularySize + 3) & ~3 }

  /// Bytes of the settings that a step sends, all but the masks: at most 96 for a row, and 8 for an edit or a token.
  package var inputBytes: Int { 96 * rows + 8 * edits + 8 * seenTokens + 256 }
  /// Bytes of the results that a step gives: token, failure, and a log-probability with failure and rank a row.
  package var resultBytes: Int { 20 * rows + 8 * alternatives }

  /// Device memory in all, but for the settings.
  package var byteCount: Int { resultBytes + 4 * changedRows * (changedStride + 1) + 3 * 256 }

  /// Longer vocabularies are sampled on the host: sums of a row's weights would leave 64 bits.
  package static let vocabularyLimit = 1 << 20
}
