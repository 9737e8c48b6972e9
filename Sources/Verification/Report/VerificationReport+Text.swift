extension VerificationReport {
  /// A table for people. Errors are given as parts of what is allowed: 1 is the limit.
  package var text: String {
    var text = "verify \(candidate) (\(elementType)) against \(reference)"
    if let model { text += ", \(model)" }
    text += "\nErrors are parts of what rounding allows; above 1 is a breach.\n"
    if !primitives.isEmpty { text += "\n" + primitiveTable }
    if let primitivesNote { text += "\nprimitives: " + primitivesNote + "\n" }
    if !operations.isEmpty { text += "\n" + operationTable }
    if !notes.isEmpty { text += "\n" + notes.map { $0 + "\n" }.joined() }
    if !layers.isEmpty { text += "\n" + layerTable }
    if !texts.isEmpty { text += "\n" + tokenTable }
    text += "\n" + verdict + "\n"
    return text
  }

  private var verdict: String {
    let checks = primitives.count + operations.count + layers.count + texts.count
    guard breaches > 0 else { return checks == 0 ? "nothing was checked" : "passed: \(checks) checks" }
    return "FAILED: \(breaches) of \(checks) checks"
  }

  private var primitiveTable: String {
    var rows = [["primitive", "header", "against the emulation", "compared by"]]
    for row in primitives { rows.append([row.name, row.header, Self.describe(row.outcome), row.rule]) }
    return Self.aligned(rows)
  }

  static func describe(_ outcome: PrimitiveConformance.Row.Outcome) -> String {
    switch outcome {
    case .agreed(let words, let worst):
      worst == 0 ? "equal, \(words) words" : "\(ratio(worst)) of what is allowed, \(words) words"
    case .differs(let difference):
      "DIFFERS in \(difference.count) words with seed \(difference.seed): word \(difference.word) is "
        + "0x\(String(difference.found, radix: 16)), emulated 0x\(String(difference.emulated, radix: 16))"
    case .unavailable(let reason): reason
    case .failed(let reason): "FAILED: \(reason)"
    }
  }

  private var operationTable: String {
    var rows = [["operation", "kernel", "cases", "worst", "where"]]
    for summary in operationSummaries {
      rows.append([
        summary.operation.rawValue, summary.variant ?? "-", "\(summary.cases)", Self.ratio(summary.worst),
        summary.worstShape,
      ])
    }
    var text = Self.aligned(rows)
    for row in operations where row.isBreach {
      let kernel = row.variant.map { " (\($0))" } ?? ""
      text += "  breach: \(row.operation.rawValue)\(kernel), \(row.shape): \(Self.describe(row.outcome))\n"
    }
    return text
  }

  private var layerTable: String {
    var rows = [["activation", "computed by", "checks", "worst", "where"]]
    for summary in activationSummaries {
      rows.append([
        summary.name, summary.operation, "\(summary.count)", Self.ratio(summary.worst), summary.worstPoint,
      ])
    }
    var text = Self.aligned(rows)
    if let first = firstBadActivation {
      text += "  first bad activation: \(first.point) (\(first.step)), computed by \(first.operation): "
      text += Self.describe(first.comparison) + "\n"
    }
    return text
  }

  private var tokenTable: String {
    var rows = [["prompt", "written", "differ", "gap", "mean KL", "logit error"]]
    for row in texts {
      rows.append([
        "\(row.promptTokens)", "\(row.tokens.count)", "\(row.differences.count)",
        Self.short(row.greatestGap), Self.short(row.meanDivergence),
        Self.short(row.greatestLogitError) + " of " + Self.short(row.logitScale),
      ])
    }
    var text = Self.aligned(rows)
    for (index, row) in texts.enumerated() where row.isBreach {
      if !row.isFinite { text += "  breach: text \(index): a logit is not finite\n" }
      for difference in row.differences where difference.gap > GreedyComparison.allowedGap {
        text += "  breach: text \(index), token \(difference.position): \(difference.candidate) instead of "
        text +=
          "\(difference.reference), which the reference holds \(Self.short(difference.gap)) nats likelier "
        text += "(\(GreedyComparison.allowedGap) allowed)\n"
      }
    }
    return text
  }

  private static func describe(_ outcome: OperationSweep.Row.Outcome) -> String {
    switch outcome {
    case .compared(let comparison): describe(comparison)
    case .refused(let reason): "refused: \(reason)"
    }
  }

  private static func describe(_ comparison: Comparison) -> String {
    guard let element = comparison.worstElement else { return "the number of elements differs" }
    return
      "element \(element.index) is \(element.candidate), expected \(element.reference) (\(ratio(comparison.worst)) of what is allowed)"
  }

  /// Three significant digits.
  static func short(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : "inf" }
    guard value != 0 else { return "0" }
    var exponent = 0
    var scaled = abs(value)
    while scaled >= 1000 {
      scaled /= 10
      exponent += 1
    }
    while scaled < 100 {
      scaled *= 10
      exponent -= 1
    }
    let digits = Int(scaled.rounded())
    let sign = value < 0 ? "-" : ""
    if exponent >= 0 { return sign + "\(digits)" + String(repeating: "0", count: exponent) }
    if exponent >= -2 {
      let text = "\(digits)"
      let point = text.index(text.endIndex, offsetBy: exponent)
      return sign + text[..<point] + "." + text[point...]
    }
    if exponent >= -6 { return sign + "0." + String(repeating: "0", count: -exponent - 3) + "\(digits)" }
    let text = "\(digits)"
    return sign + text.prefix(1) + "." + text.dropFirst() + "e\(exponent + 2)"
  }

  private static func ratio(_ value: Double) -> String { short(value) }

  /// Columns as wide as their widest entry, two spaces apart; the last one ragged.
  private static func aligned(_ rows: [[String]]) -> String {
    let columns = rows.first?.count ?? 0
    let widths = (0..<columns).map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      var line = ""
      for (column, entry) in row.enumerated() {
        line += entry
        if column < columns - 1 {
          line += String(repeating: " ", count: widths[column] - entry.count + 2)
        }
      }
      return line + "\n"
    }
    .joined()
  }
}
