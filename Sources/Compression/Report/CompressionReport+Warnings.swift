internal import Checkpoints
internal import JSON

extension CompressionReport {
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
    if scheme.activations != .none, summary.recipe.options.outlierThreshold != nil {
      warnings.append(
        "LLM.int8 saves memory, not time: each product looks for outliers and rounds its rows first, so that small "
          + "models and single requests are slower than in 16 bits")
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
    warnings += deviceWarnings + speedWarnings
    return warnings + sites.flatMap { site in site.notes.map { "\(site.module): \($0)" } }
  }

  /// Layers that no kernel multiplies as they are stored, by reason.
  private var deviceWarnings: [String] {
    func count(_ reason: (SiteReport) -> String?) -> [(reason: String, layers: Int)] {
      var found: [(reason: String, layers: Int)] = []
      for site in summary.compressed {
        guard let text = reason(site) else { continue }
        if let place = found.firstIndex(where: { $0.reason == text }) {
          found[place].layers += 1
        } else {
          found.append((text, 1))
        }
      }
      return found
    }
    let all = summary.compressed.count
    return count(\.widening).map { reason, layers in
      "no GPU kernel takes \(layers) of \(all) layers as they are stored (\(reason)): a GPU holds them in 16 bits, as "
        + "large and as fast as the original"
    }
      + count { $0.widening == nil ? $0.wideningOnOldest : nil }.map { reason, layers in
        "some GPUs have no kernel for \(layers) of \(all) layers (\(reason)): they hold them in 16 bits"
      }
  }

  /// Where what was measured is no gain.
  private var speedWarnings: [String] {
    ["prefill", "decode"].compactMap { kind in
      guard let before = speed?["source"]?[kind]?.double, let after = speed?["output"]?[kind]?.double,
        after < before
      else { return nil }
      return "\(kind) is slower than the original's on \(speed?["device"]?.string ?? "this device"): "
        + "\(Self.fixed(after, 1)) against \(Self.fixed(before, 1)) tokens/s"
    }
  }
}
