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

  // MARK: Warnings

  /// What may go wrong with this model, each with the figure that says so (the review's failure modes).
  package var warnings: [String] {
    var warnings: [String] = []
    let sites = summary.compressed
    let scheme = summary.recipe.scheme
    let outlying = sites.filter { ($0.outlierRatio ?? 0) > 20 }.sorted {
      ($0.outlierRatio ?? 0) > ($1.outlierRatio ?? 0)
    }
    if scheme.activations != .none, summary.recipe.options.outlierThreshold == nil, let worst = outlying.first
    {
      warnings.append(
        "activations of \(outlying.count) layers have outliers (\(worst.module): the largest channel is "
          + "\(Int(worst.outlierRatio ?? 0)) times the median); where quality is lost use llm.int8 or smoothquant"
      )
    }
    if let bits = scheme.bits, bits < 4 {
      warnings.append(
        "below 4 bits the loss grows fast, and newer, longer trained models lose about twice as much")
    }
    if let bits = scheme.bits, bits == 8, scheme.activations == .none {
      warnings.append(
        "int8 weights alone save memory; on a fast GPU they are no faster than 16 bits at any batch size")
    }
    if let sparsity = scheme.sparsity { warnings += sparsityWarnings(sparsity) }
    if summary.recipe.method == "structured" {
      warnings.append("structured pruning without fine-tuning costs much beyond 20 %; look at the perplexity")
    } else if summary.format == .dense {
      warnings.append("written dense: as large and as fast as the original")
    }
    let low = sites.filter { ($0.outputError ?? 0) > 0.01 }
    if !low.isEmpty, let worst = low.max(by: { ($0.outputError ?? 0) < ($1.outputError ?? 0) }) {
      warnings.append(
        "\(low.count) of \(sites.count) layers keep less than 20 dB (\(worst.module): "
          + "\(Self.decibels(worst.outputError)) dB)")
    }
    if let ratio = quality?["perplexity_ratio"]?.double, ratio > 1.2 {
      warnings.append(
        "perplexity rose by \(Int(((ratio - 1) * 100).rounded())) %: do not use this without fine-tuning, or spend more bits"
      )
    }
    if summary.calibrationTokens > 0, let widest = sites.map(\.inputs).max(),
      summary.calibrationTokens < widest
    {
      warnings.append(
        "\(summary.calibrationTokens) calibration tokens are fewer than the \(widest) inputs of the widest layer: "
          + "its statistics are rank-deficient")
    }
    return warnings + sites.flatMap { site in site.notes.map { "\(site.module): \($0)" } }
  }

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
      lines += ["", "Quality was measured on \(qualityText); ± is one standard error over windows."]
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
    return fixed(mean, 5) + (value?["standard_error"]?.double.map { " ± " + fixed($0, 5) } ?? "")
  }

  private static func decibels(_ error: Double?) -> String {
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
