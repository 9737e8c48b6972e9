package import JSON

/// What a checkpoint's `generation_config.json` says about sampling; requests override it field by field.
///
/// The fields are those vLLM takes: temperature, top_p, top_k, min_p, repetition_penalty, max_new_tokens and the
/// end-of-text tokens. `do_sample` is not among them: who wants greedy decoding asks for temperature 0.
package struct GenerationDefaults: Sendable, Equatable {
  package var temperature: Float?
  package var topP: Float?
  package var topK: Int?
  package var minP: Float?
  package var repetitionPenalty: Float?
  package var maxNewTokens: Int?
  /// In order of appearance, without repeats.
  package var endOfTextTokens: [Int32] = []

  package init() {}

  /// - Parameters:
  ///   - generation: `generation_config.json`, if there is one.
  ///   - model: `config.json`, whose end-of-text tokens count too.
  ///   - tokenizerEnd: the tokenizer's end-of-text token.
  package init(
    generation: JSONValue?, model: JSONValue, tokenizerEnd: Int32?
  ) throws(ModelLoadingError) {
    let fields = Fields(json: generation ?? .object([:]), file: "generation_config.json")
    temperature = try fields.number("temperature", 0...100).map { Float($0) }
    topP = try fields.number("top_p", 0...1).map { Float($0) }
    topK = try fields.integer("top_k", -1...Int(Int32.max)).map { max($0, 0) }
    minP = try fields.number("min_p", 0...1).map { Float($0) }
    repetitionPenalty = try fields.number("repetition_penalty", 1e-3...1e3).map { Float($0) }
    maxNewTokens = try fields.integer("max_new_tokens", 1...Int(Int32.max))
    if topP == 0 { throw fields.invalid("top_p", "above 0 and at most 1") }

    var tokens = tokenizerEnd.map { [$0] } ?? []
    tokens += try fields.tokens("eos_token_id")
    tokens += try Fields(json: model, file: "config.json").tokens("eos_token_id")
    for token in tokens where !endOfTextTokens.contains(token) { endOfTextTokens.append(token) }
  }

  /// The settings of a request that names none.
  package var sampling: SamplingParameters {
    var parameters = SamplingParameters()
    parameters.temperature = temperature ?? parameters.temperature
    parameters.topP = topP ?? parameters.topP
    parameters.topK = topK ?? parameters.topK
    parameters.minP = minP ?? parameters.minP
    parameters.repetitionPenalty = repetitionPenalty ?? parameters.repetitionPenalty
    return parameters
  }

  private struct Fields {
    let json: JSONValue
    let file: String

    func invalid(_ field: String, _ allowed: String) -> ModelLoadingError {
      let found = json[field]?.serialized() ?? "missing"
      return .field(file: file, field: field, found: String(found.prefix(80)), allowed: allowed)
    }

    private func value(_ field: String) -> JSONValue? {
      guard let value = json[field], !value.isNull else { return nil }
      return value
    }

    func number(_ field: String, _ range: ClosedRange<Double>) throws(ModelLoadingError) -> Double? {
      guard let value = value(field) else { return nil }
      guard let number = value.double, range.contains(number) else {
        throw invalid(field, "a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }

    func integer(_ field: String, _ range: ClosedRange<Int>) throws(ModelLoadingError) -> Int? {
      guard let value = value(field) else { return nil }
      guard let number = value.int, range.contains(number) else {
        throw invalid(field, "an integer from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }

    /// A token id or an array of them.
    func tokens(_ field: String) throws(ModelLoadingError) -> [Int32] {
      guard let value = value(field) else { return [] }
      var tokens: [Int32] = []
      for element in value.array ?? [value] {
        guard let id = element.int.flatMap({ Int32(exactly: $0) }), id >= 0 else {
          throw invalid(field, "a token id or an array of token ids")
        }
        tokens.append(id)
      }
      return tokens
    }
  }
}
