internal import Tokenizers

/// Encoding and decoding of a text, on one thread.
enum TokenizerBench: Benchmark {
  static let name = "tokenizer"

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let path = try ModelPath.resolve(arguments.positional(1))
    let demo = try ModelPath.resolve(nil)
    let text = try Files.read(arguments.string("--text") ?? demo + "/valid.txt")
    let repetitions = try arguments.integer("--repetitions", in: 1...1000) ?? 3
    let loading = ContinuousClock.now
    let tokenizer = try LoadedTokenizer.load(path)
    let loadSeconds = loading.duration(to: .now) / .seconds(1)
    var report = BenchReport(name: name)
    report.add("load", loadSeconds * 1000, "ms")
    var ids: [Int32] = []
    let encode = try fastest(repetitions) { ids = try tokenizer.encode(text, addSpecialTokens: false) }
    var decoded = ""
    let decode = fastest(repetitions) { decoded = tokenizer.decode(ids) }
    let megabytes = Double(text.count) / 1e6
    report.setting = [
      ("tokenizer", path), ("text", "\(text.count) bytes, \(ids.count) tokens"),
      ("round trip", decoded.utf8.elementsEqual(text) ? "exact" : "not exact"),
    ]
    report.add("encode", megabytes / encode, "MB/s")
    report.add("decode", megabytes / decode, "MB/s")
    return report
  }

  /// Seconds of the fastest run.
  static func fastest(_ repetitions: Int, _ body: () throws -> Void) rethrows -> Double {
    var best = Double.infinity
    for _ in 0..<repetitions {
      let started = ContinuousClock.now
      try body()
      best = min(best, started.duration(to: .now) / .seconds(1))
    }
    return best
  }
}
