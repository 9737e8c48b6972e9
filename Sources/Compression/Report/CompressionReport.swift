internal import Checkpoints
internal import Glibc
package import JSON
internal import Models

/// The report beside the weights, as JSON and as Markdown from it.
package struct CompressionReport {
  package let summary: CompressionSummary
  /// What `ModelComparison` found, and on which text; nil where it was not measured.
  package var quality: JSONValue?
  package var qualityText: String?
  /// Tokens a second of the original and the output on this device; nil where they were not measured.
  package var speed: JSONValue?
  package var outputBytes = 0
  package var residentBytes: Int?
  package var sourceResidentBytes: Int?

  package init(_ summary: CompressionSummary) { self.summary = summary }

  // MARK: JSON

  package var json: JSONValue {
    let sites = summary.compressed
    var object: JSONObject = [
      "gpuinfer": "compression report", "source": .string(summary.sourcePath), "recipe": summary.recipe.json,
      "format": .string(summary.format.rawValue),
      "bytes": [
        "source": .integer(Int64(summary.sourceBytes)), "output": .integer(Int64(outputBytes)),
        "compressed_layers": .integer(Int64(sites.reduce(0) { $0 + ($1.bytes ?? 0) })),
        "source_resident": sourceResidentBytes.map { .integer(Int64($0)) } ?? .null,
        "resident": residentBytes.map { .integer(Int64($0)) } ?? .null,
      ],
      "average_bits": summary.averageBits.map { .double($0) } ?? .null,
      "calibration": [
        "samples": .integer(Int64(summary.calibrationSamples)),
        "tokens": .integer(Int64(summary.calibrationTokens)),
        "digest": summary.calibrationDigest.map { .string($0) } ?? .null,
      ],
      "quality": quality ?? .string("not measured"),
      "quality_text": qualityText.map { .string($0) } ?? .null,
      "speed": speed ?? .string("not measured"),
      "warnings": .array(warnings.map { .string($0) }),
    ]
    object["layers"] = .array(summary.sites.map(\.json))
    return .object(object)
  }

  // MARK: Markdown

  package var markdown: String {
    var lines = ["# Compression report", ""]
    lines.append(
      "`\(summary.recipe.method)` of `\(summary.sourcePath)`, written as \(summary.format.rawValue).")
    lines += ["", "| | original | compressed |", "|---|---|---|"]
    lines.append("| bytes on disk | \(summary.sourceBytes) | \(outputBytes) |")
    if let sourceResidentBytes, let residentBytes {
      lines.append("| bytes of weights in memory | \(sourceResidentBytes) | \(residentBytes) |")
    }
    if let bits = summary.averageBits {
      lines.append("| bits a weight in compressed layers, all included | | \(Self.fixed(bits, 3)) |")
    }
    if let quality {
      lines.append(
        "| perplexity | \(Self.fixed(quality["reference_perplexity"]?.double, 4)) | \(Self.fixed(quality["perplexity"]?.double, 4)) |"
      )
      lines.append(
        "| perplexity over the original's | | \(Self.fixed(quality["perplexity_ratio"]?.double, 4))\(Self.range(quality["perplexity_ratio_interval_95"], 4)) |"
      )
      lines.append("| loss difference, nats a token | | \(Self.mean(quality["nll_difference"])) |")
      lines.append("| mean KL divergence, nats | | \(Self.mean(quality["kl_divergence"])) |")
      lines.append(
        "| 99 % of tokens diverge less than | | \(Self.fixed(quality["kl_divergence_99"]?.double, 5)) |")
      lines.append("| same most likely token | | \(Self.mean(quality["top1_agreement"])) |")
    } else {
      lines.append("| quality | | not measured |")
    }
    if let speed {
      for kind in ["prefill", "decode"] {
        lines.append(
          "| \(kind), tokens/s on \(speed["device"]?.string ?? "this device") | \(Self.fixed(speed["source"]?[kind]?.double, 1)) | \(Self.fixed(speed["output"]?[kind]?.double, 1)) |"
        )
      }
    } else {
      lines.append("| speed | | not measured |")
    }
    if let qualityText {
      lines += [
        "",
        "Quality was measured on \(qualityText); ±, and the range in brackets, hold 95 % of such texts, by the spread of windows.",
      ]
    }
    let warnings = self.warnings
    if !warnings.isEmpty { lines += ["", "## Warnings", ""] + warnings.map { "- " + $0 } }
    lines += [
      "", "## Layers", "", "| layer | stored as | bytes | output error | dB | outliers |",
      "|---|---|---|---|---|---|",
    ]
    for site in summary.sites {
      let ratio = site.outlierRatio.map { Self.fixed($0, 1) } ?? ""
      lines.append(
        "| \(site.module) | \(site.store ?? "left alone") | \(site.bytes.map(String.init) ?? "") | "
          + "\(Self.scientific(site.outputError ?? site.weightError)) | \(Self.decibels(site.outputError ?? site.weightError)) | \(ratio) |"
      )
    }
    let measured = summary.compressed.contains { $0.outputError != nil }
    lines += [
      "",
      measured
        ? "Errors are relative squared errors of the layer's outputs over the calibration tokens; outliers, the largest channel over the median one."
        : "Errors are relative squared errors of the weights: there was no calibration data.",
      "", "Recipe: `\(summary.recipe.json.serialized())`", "",
    ]
    return lines.joined(separator: "\n")
  }

  private static func mean(_ value: JSONValue?) -> String {
    guard let mean = value?["value"]?.double else { return "" }
    let highest = value?["interval_95"]?.array?.last?.double
    return fixed(mean, 5) + (highest.map { " ± " + fixed($0 - mean, 5) } ?? "")
  }

  private static func range(_ value: JSONValue?, _ digits: Int) -> String {
    guard let low = value?.array?.first?.double, let high = value?.array?.last?.double else { return "" }
    return " [\(fixed(low, digits)), \(fixed(high, digits))]"
  }

  static func decibels(_ error: Double?) -> String {
    guard let error, error > 0 else { return error == nil ? "" : "exact" }
    return fixed(-10 * log10(error), 1)
  }

  private static func scientific(_ value: Double?) -> String {
    guard let value, value > 0 else { return value == nil ? "" : "0" }
    let exponent = Int(log10(value).rounded(.down))
    return fixed(value / pow(10, Double(exponent)), 2) + "e\(exponent)"
  }

  static func fixed(_ value: Double?, _ digits: Int) -> String {
    guard let value, value.isFinite, value.magnitude < 1e15 else { return value == nil ? "" : "inf" }
    let scale = (0..<digits).reduce(1.0) { result, _ in result * 10 }
    let scaled = Int64((value.magnitude * scale).rounded())
    let (whole, fraction) = scaled.quotientAndRemainder(dividingBy: Int64(scale))
    let text = String(fraction)
    let sign = value < 0 && scaled != 0 ? "-" : ""
    guard digits > 0 else { return sign + String(whole) }
    return sign + String(whole) + "." + String(repeating: "0", count: digits - text.count) + text
  }
}
