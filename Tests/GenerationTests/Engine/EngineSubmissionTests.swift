import Testing

@testable import Generation

@Suite struct EngineSubmissionTests {
  @Test("What can never run is refused at once, by name")
  func refusals() throws {
    let engine = try Engine.history(vocabulary: 61, length: 512, blocks: 4)
    defer { engine.stop() }
    func error(_ prompt: [Int32], max: Int, _ change: (inout GenerationRequest) -> Void = { _ in })
      -> SubmissionError?
    {
      var request = GenerationRequest(prompt, max: max)
      change(&request)
      do {
        _ = try engine.submit(request)
        return nil
      } catch {
        return error
      }
    }
    #expect(error([], max: 1) == .emptyPrompt)
    #expect(error([0, 61], max: 1) == .tokenOutOfRange(index: 1, token: 61, vocabularySize: 61))
    #expect(error([-1], max: 1) == .tokenOutOfRange(index: 0, token: -1, vocabularySize: 61))
    #expect(
      error([Int32](repeating: 1, count: 500), max: 13)
        == .promptTooLong(tokens: 500, requested: 13, maximum: 512))
    #expect(error([1], max: .max) == .promptTooLong(tokens: 1, requested: Int(Int32.max), maximum: 512))
    #expect(error([1], max: 65) == .exceedsMemory(neededBlocks: 5, totalBlocks: 4))
    #expect(error([1], max: 64) == nil)
    #expect(
      error([1], max: -1) == .invalid(field: "maxTokens", value: -1, requirement: "at least 0"))
    #expect(
      error([1], max: 1) { $0.choices = 0 }
        == .invalid(field: "choices", value: 0, requirement: "at least 1 and at most 16384"))
    #expect(
      error([1], max: 1) { $0.logprobs = -1 }
        == .invalid(field: "logprobs", value: -1, requirement: "at least 0"))
    #expect(engine.statistics().rejectedRequests == 9)
  }

  @Test("The messages say what and what to do")
  func messages() {
    let errors: [SubmissionError] = [
      .overloaded(retryAfterSeconds: 7), .draining, .stopped("x"),
      .promptTooLong(tokens: 10, requested: 5, maximum: 12), .emptyPrompt,
      .tokenOutOfRange(index: 3, token: 99, vocabularySize: 50),
      .exceedsMemory(neededBlocks: 9, totalBlocks: 8),
      .invalid(field: "n", value: 0, requirement: "at least 1"),
    ]
    let fragments = ["7 s", "shutting down", "x", "12 tokens", "empty", "index 3", "9 blocks", "n is 0"]
    for (error, fragment) in zip(errors, fragments) where error != .emptyPrompt {
      #expect("\(error)".contains(fragment))
    }
    #expect("\(SubmissionError.promptTooLong(tokens: 10, requested: 5, maximum: 12))".contains("at least 15"))
  }
}
