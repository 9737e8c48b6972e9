/// What a reader accepts of a text it does not trust.
package struct JSONLimits: Sendable, Equatable {
  package enum DuplicateKeys: Sendable, Equatable {
    /// The value that comes last counts, at the place of the first, as in Python and most libraries.
    case lastWins
    case refuse
  }

  /// Containers inside containers; at most `deepest`, because values are freed recursively.
  package var maxDepth: Int {
    didSet { maxDepth = min(maxDepth, Self.deepest) }
  }
  package var maxBytes: Int
  package var duplicateKeys: DuplicateKeys

  package init(maxDepth: Int = 512, maxBytes: Int = 1 << 31, duplicateKeys: DuplicateKeys = .lastWins) {
    self.maxDepth = min(maxDepth, Self.deepest)
    self.maxBytes = maxBytes
    self.duplicateKeys = duplicateKeys
  }

  package static let `default` = JSONLimits()
  package static let deepest = 2048
}
