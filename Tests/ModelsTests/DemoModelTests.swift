import Checkpoints
import JSON
import Models
import TestSupport
import Testing

internal import Foundation

/// The trained models that come with the tests: real text, real margins.
@Suite struct DemoModelTests {
  @Test(arguments: ["demo", "demo-draft"])
  func `greedy continuations and last logits are those of transformers`(_ model: String) throws {
    let expected = try JSONValue.parse(Fixtures.bytes("\(model)/expected.json"))
    let runner = try ModelRunner(model)
    let tensors = try SafetensorsText("\(model)/expected.safetensors")
    let cases = try #require(expected["greedy"]?.array)
    for (index, entry) in cases.enumerated() {
      let prompt = try tokens(entry["input_ids"])
      if index < 2 {
        let logits = try runner.logits(prompt).suffix(runner.vocabulary)
        let reference = try tensors.floats("logits_\(index)")
        let deviation = Deviation(Array(logits), reference, vocabulary: runner.vocabulary)
        #expect(deviation.relative < 1e-4, "prompt \(index)")
        #expect(deviation.differingArgmax.isEmpty, "prompt \(index)")
      }
      let greedy = try tokens(entry["tokens"])
      #expect(try runner.greedy(prompt, count: greedy.count) == greedy, "prompt \(index)")
    }
    let chat = try tokens(expected["chat"]?["greedy_tokens_until_eos"])
    let prompt = try tokens(expected["chat"]?["input_ids"])
    #expect(try runner.greedy(prompt, count: chat.count) == chat)
  }

  @Test(arguments: ["demo", "demo-draft"])
  func `the likelihood of held-out text is that of transformers`(_ model: String) throws {
    let expected = try JSONValue.parse(Fixtures.bytes("\(model)/expected.json"))
    let references = try #require(expected["perplexity"]?["first_8_window_nll"]?.array)
    let text = try SafetensorsText("families/demo-windows.safetensors").integers("windows")
    let runner = try ModelRunner(model)
    try #require(references.count * 256 == text.count)
    for (window, reference) in references.enumerated() {
      let tokens = Array(text[(window * 256)..<((window + 1) * 256)])
      let nll = meanNegativeLogLikelihood(try runner.logits(tokens), tokens, runner.vocabulary)
      // References are rounded to six digits.
      #expect(abs(nll - (try #require(reference.double))) < 1e-5, "window \(window)")
    }
  }

  private func tokens(_ value: JSONValue?) throws -> [Int32] {
    try #require(value?.array).map { Int32(try #require($0.int)) }
  }

  /// Of tokens 1… given those before.
  private func meanNegativeLogLikelihood(_ logits: [Float], _ tokens: [Int32], _ vocabulary: Int) -> Double {
    var sum = 0.0
    unsafe logits.withUnsafeBufferPointer { logits in
      for position in 0..<tokens.count - 1 {
        let row = position * vocabulary
        var greatest = -Float.infinity
        for index in row..<row + vocabulary { greatest = unsafe max(greatest, logits[index]) }
        var total = 0.0
        for index in row..<row + vocabulary { total += unsafe exp(Double(logits[index] - greatest)) }
        let chosen = unsafe Double(logits[row + Int(tokens[position + 1])] - greatest)
        sum -= chosen - log(total)
      }
    }
    return sum / Double(tokens.count - 1)
  }
}
