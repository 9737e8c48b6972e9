internal import Server

/// A closed load on a running server, ours or another that speaks the OpenAI completions API.
enum ServeBench: Benchmark {
  static let name = "serve"

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let url = arguments.string("--url") ?? "http://127.0.0.1:8000"
    let (host, port) = try address(of: url)
    let plan = LoadPlan(
      host: host, port: port, model: arguments.string("--model-name"),
      clients: try arguments.integer("--clients", in: 1...4096) ?? 32,
      requests: try arguments.integer("--requests", in: 1...10_000_000) ?? 256,
      prompt: arguments.string("--prompt") ?? "The boy looked up at the old man and said",
      maxTokens: try arguments.integer("--max-tokens", in: 1...1_000_000) ?? 32,
      apiKey: arguments.string("--api-key"))
    let load = LoadGenerator.run(plan)
    guard !load.samples.isEmpty else {
      let reason = load.failures.keys.sorted().first ?? "no request was made"
      throw Failure(.unavailable, "no request to \(url) succeeded: \(reason)")
    }
    var report = BenchReport(name: name)
    report.setting = [
      ("url", url), ("clients", "\(plan.clients)"),
      ("requests", "\(load.samples.count) done, \(load.failures.values.reduce(0, +)) failed"),
    ]
    for (reason, count) in load.failures.sorted(by: { $0.key < $1.key }) {
      report.setting.append(("failed", "\(count): \(reason)"))
    }
    report.add("requests", load.requestsPerSecond, "1/s")
    report.add("output", load.tokensPerSecond, "tokens/s")
    let gaps = load.samples.flatMap(\.gaps)
    for (label, fraction) in [("p50", 0.5), ("p99", 0.99)] {
      let first = LoadReport.quantile(load.samples.map(\.firstToken), fraction)
      if let first { report.add("time to first token, \(label)", first * 1000, "ms") }
      if let gap = LoadReport.quantile(gaps, fraction) {
        report.add("inter-token, \(label)", gap * 1000, "ms")
      }
    }
    return report
  }

  /// Plain HTTP only: what is measured is on this machine or behind a tunnel.
  private static func address(of url: String) throws(UsageError) -> (String, Int) {
    let wrong = UsageError.invalidValue(option: "--url", value: url, expected: "of the form http://HOST:PORT")
    guard url.hasPrefix("http://") else { throw wrong }
    let rest = url.dropFirst("http://".count).prefix { $0 != "/" }
    guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]),
      (1...65535).contains(port), colon != rest.startIndex
    else { throw wrong }
    return (String(rest[..<colon]), port)
  }
}
