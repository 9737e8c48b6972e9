internal import JSON

extension VerificationReport {
  /// One JSON document with every check, for machines. A ratio that is not finite is null.
  package var json: String {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("passed", breaches == 0)
    writer.member("breaches", breaches)
    writer.member("reference", reference)
    writer.member("candidate", candidate)
    writer.member("element_type", elementType)
    if let model { writer.member("model", model) }
    if let first = firstBadActivation { writer.member("first_bad_activation", "\(first.point)") }
    writer.key("primitives")
    writer.beginArray()
    for row in primitives { write(row, to: &writer) }
    writer.endArray()
    if let primitivesNote { writer.member("primitives_note", primitivesNote) }
    writer.key("notes")
    writer.beginArray()
    for note in notes { writer.string(note) }
    writer.endArray()
    writer.key("operations")
    writer.beginArray()
    for row in operations { write(row, to: &writer) }
    writer.endArray()
    writer.key("layers")
    writer.beginArray()
    for row in layers { write(row, to: &writer) }
    writer.endArray()
    writer.key("texts")
    writer.beginArray()
    for row in texts { write(row, to: &writer) }
    writer.endArray()
    writer.endObject()
    return String(decoding: writer.bytes, as: UTF8.self) + "\n"
  }

  private func write(_ row: PrimitiveConformance.Row, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("primitive", row.name)
    writer.member("header", row.header)
    writer.member("compared_by", row.rule)
    writer.member("passed", !row.isBreach)
    switch row.outcome {
    case .agreed(let words, let worst):
      writer.member("words", words)
      finite("error_of_allowed", worst, to: &writer)
    case .differs(let difference):
      writer.member("differing_words", difference.count)
      writer.member("seed", Int(clamping: difference.seed))
      writer.member("word", difference.word)
      writer.member("emulated", Int(difference.emulated))
      writer.member("found", Int(difference.found))
    case .unavailable(let reason): writer.member("unavailable", reason)
    case .failed(let reason): writer.member("failed", reason)
    }
    writer.endObject()
  }

  private func write(_ row: OperationSweep.Row, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("operation", row.operation.rawValue)
    if let variant = row.variant { writer.member("kernel", variant) }
    writer.member("shape", row.shape)
    writer.member("passed", !row.isBreach)
    switch row.outcome {
    case .compared(let comparison): write(comparison, to: &writer)
    case .refused(let reason): writer.member("refused", reason)
    }
    writer.endObject()
  }

  private func write(_ row: LayerTrace.Row, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("activation", "\(row.point)")
    writer.member("step", row.step)
    writer.member("operation", row.operation)
    writer.member("passed", !row.isBreach)
    write(row.comparison, to: &writer)
    writer.endObject()
  }

  private func write(_ row: GreedyComparison.Row, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("prompt_tokens", row.promptTokens)
    writer.member("passed", !row.isBreach)
    writer.key("tokens")
    writer.beginArray()
    for token in row.tokens { writer.integer(token) }
    writer.endArray()
    writer.key("differences")
    writer.beginArray()
    for difference in row.differences {
      writer.beginObject()
      writer.member("position", difference.position)
      writer.member("reference", difference.reference)
      writer.member("candidate", difference.candidate)
      writer.member("gap", difference.gap)
      writer.endObject()
    }
    writer.endArray()
    writer.member("mean_kl", row.meanDivergence)
    writer.member("greatest_kl", row.greatestDivergence)
    writer.member("greatest_logit_error", row.greatestLogitError)
    writer.member("logit_scale", row.logitScale)
    writer.endObject()
  }

  private func write(_ comparison: Comparison, to writer: inout JSONWriter) {
    writer.member("elements", comparison.elements)
    finite("error_of_allowed", comparison.worst, to: &writer)
    finite("greatest_absolute_error", comparison.maxAbsolute, to: &writer)
  }

  private func finite(_ key: String, _ value: Double, to writer: inout JSONWriter) {
    writer.key(key)
    if value.isFinite { writer.double(value) } else { writer.null() }
  }
}
