/// How fast a tokenizer works on a text, on one thread.
package struct TokenizerBenchmark: Sendable {
  /// The text's bytes, and the tokens it has.
  package let bytes: Int
  package let tokens: Int
  /// Best time of all rounds, in seconds.
  package let encodeSeconds: Double
  package let decodeSeconds: Double
  /// For the same tokens through `DetokenizerStream`, one by one.
  package let streamSeconds: Double

  package var encodeMegabytesPerSecond: Double { Double(bytes) / encodeSeconds / 1e6 }
  package var decodeMegabytesPerSecond: Double { Double(bytes) / decodeSeconds / 1e6 }
  package var streamMegabytesPerSecond: Double { Double(bytes) / streamSeconds / 1e6 }

  /// Encodes and decodes the whole text `rounds` times.
  package init(_ tokenizer: Tokenizer, text: String, rounds: Int = 5) throws(TokenizerError) {
    let clock = ContinuousClock()
    var ids: [Int32] = []
    var best = (encode: Double.infinity, decode: Double.infinity, stream: Double.infinity)
    for _ in 0..<max(1, rounds) {
      let start = clock.now
      ids = try tokenizer.encode(text, addSpecialTokens: false)
      let encoded = clock.now
      let decoded = tokenizer.decode(ids)
      let end = clock.now
      var stream = DetokenizerStream(tokenizer, skipSpecialTokens: false)
      var streamed = 0
      for id in ids { streamed += stream.append(id).utf8.count }
      streamed += stream.finish().utf8.count
      let streamEnd = clock.now
      precondition(streamed == decoded.utf8.count)
      best.encode = min(best.encode, Self.seconds(encoded - start))
      best.decode = min(best.decode, Self.seconds(end - encoded))
      best.stream = min(best.stream, Self.seconds(streamEnd - end))
    }
    bytes = text.utf8.count
    tokens = ids.count
    encodeSeconds = best.encode
    decodeSeconds = best.decode
    streamSeconds = best.stream
  }

  private static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  }
}
