/// An answer: complete bytes, or a body that is produced while it is sent.
package struct HTTPResponse {
  package enum Body {
    case bytes([UInt8])
    case stream(any HTTPBodyProducer)
  }
  package var status: Int
  package var headers: HTTPHeaders
  package var body: Body

  package init(status: Int = 200, headers: HTTPHeaders = [:], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = .bytes(body)
  }

  package init(status: Int = 200, headers: HTTPHeaders = [:], stream: any HTTPBodyProducer) {
    self.status = status
    self.headers = headers
    body = .stream(stream)
  }

  package static func text(_ text: String, status: Int = 200) -> HTTPResponse {
    HTTPResponse(
      status: status, headers: ["Content-Type": "text/plain; charset=utf-8"], body: Array(text.utf8))
  }
}

/// Makes a body piece by piece, always on the thread that sends it.
///
/// The server pulls: it calls `produce` again only when the last piece has left for the client, so a slow client
/// slows its own producer and needs no buffer.
package protocol HTTPBodyProducer: AnyObject {
  /// Blocks until there is something to send. The writer must be given back by `flush`, `end` or `cut`, which
  /// consume it: nothing can be written after the end.
  func produce(into writer: consuming HTTPBodyWriter) -> HTTPBodyPiece
  /// The client left or the server stops before the end came; called at most once, and not after `end` or `cut`.
  func abandon()
}

extension HTTPResponse {
  /// The whole body, pulled to its end; nil when the producer cut it.
  package func collectBody() -> [UInt8]? {
    switch body {
    case .bytes(let bytes): return bytes
    case .stream(let producer):
      var collected: [UInt8] = []
      while true {
        let piece = producer.produce(into: HTTPBodyWriter())
        collected += piece.bytes
        switch piece.continuation {
        case .more: continue
        case .end: return collected
        case .cut: return nil
        }
      }
    }
  }
}
