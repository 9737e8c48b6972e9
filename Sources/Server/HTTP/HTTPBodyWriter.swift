/// Collects the next piece of a streamed body.
package struct HTTPBodyWriter: ~Copyable {
  private var bytes: [UInt8]

  package init() { bytes = [] }

  /// Takes over a used buffer's memory, not its contents.
  package init(reusing buffer: consuming [UInt8]) {
    bytes = buffer
    bytes.removeAll(keepingCapacity: true)
  }

  package var isEmpty: Bool { bytes.isEmpty }

  package mutating func write(_ text: String) { bytes.append(contentsOf: text.utf8) }

  package mutating func write(_ more: [UInt8]) { bytes.append(contentsOf: more) }

  /// Lets a serializer append in place.
  package mutating func append(_ body: (inout [UInt8]) -> Void) { body(&bytes) }

  /// Sends what was written; more will follow.
  package consuming func flush() -> HTTPBodyPiece { HTTPBodyPiece(bytes: bytes, continuation: .more) }

  /// Sends what was written and ends the body.
  package consuming func end() -> HTTPBodyPiece { HTTPBodyPiece(bytes: bytes, continuation: .end) }

  /// Closes the connection so that the client sees that the body is incomplete.
  package consuming func cut() -> HTTPBodyPiece { HTTPBodyPiece(bytes: [], continuation: .cut) }
}

/// What a producer hands back; only a writer can make one.
package struct HTTPBodyPiece {
  package enum Continuation: Sendable { case more, end, cut }

  package let bytes: [UInt8]
  package let continuation: Continuation

  fileprivate init(bytes: [UInt8], continuation: Continuation) {
    self.bytes = bytes
    self.continuation = continuation
  }
}
