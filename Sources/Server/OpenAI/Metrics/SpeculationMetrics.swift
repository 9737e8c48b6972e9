internal import Generation

extension EngineMetrics {
  /// vLLM's counters of speculative decoding, and what it brings.
  static func write(
    _ speculation: SpeculationStatistics, _ labels: PrometheusText.Labels, to text: inout PrometheusText
  ) {
    for (name, help, value) in [
      ("drafts", "Verified drafts: one a sequence and step.", speculation.verifications),
      ("draft_tokens", "Proposed tokens.", speculation.draftTokens),
      ("accepted_tokens", "Proposed tokens that were right.", speculation.acceptedTokens),
    ] {
      text.family("vllm:spec_decode_num_\(name)_total", .counter, help)
      text.sample("vllm:spec_decode_num_\(name)_total", labels, Double(value))
    }
    let byPosition = "vllm:spec_decode_num_accepted_tokens_per_pos_total"
    text.family(byPosition, .counter, "Proposed tokens that were right, by their place in the draft.")
    for (position, count) in speculation.acceptedByPosition.enumerated() {
      text.sample(byPosition, labels + [("position", "\(position)")], Double(count))
    }
    text.family(
      "gpuinfer:spec_decode_draft_length", .gauge, "Tokens proposed at most now; 0: speculation is off.")
    text.sample("gpuinfer:spec_decode_draft_length", labels, Double(speculation.draftLength))
    text.family(
      "gpuinfer:spec_decode_speedup", .gauge,
      "Tokens a second over those expected without speculation, smoothed over steps.")
    text.sample("gpuinfer:spec_decode_speedup", labels, speculation.speedUp)
  }
}
