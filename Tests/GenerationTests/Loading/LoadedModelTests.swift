import CPUBackend
import Checkpoints
import JSON
import Models
import Numerics
import TestSupport
import Testing
import Tokenizers

@testable import Generation

@Suite struct LoadedModelTests {
  @Test("A directory gives tokenizer, defaults and template, and answers a prompt")
  func directory() throws {
    let model = try LoadedModel.open(Fixtures.path("demo"))
    #expect(model.defaults.temperature == 0.7 && model.defaults.topP == 0.95 && model.defaults.topK == 50)
    #expect(model.defaults.endOfTextTokens == [1, 4])
    #expect(model.chatTemplate?.contains("<|im_start|>") == true)
    #expect(model.configuration.vocabularySize == 4096)

    var options = LoadingOptions()
    options.maxSequences = 4
    options.maxModelLength = 128
    let device = DeviceProfile(name: "cpu", activationType: .float32, availableBytes: 8 << 30)
    let reservation = try model.reservation(on: device, options)
    #expect(reservation.blockCount == 4 * 8)
    let engine = try model.startEngine(reservation, EngineOptions()) { CPUBackend(threads: 1) }
    defer { engine.stop() }
    #expect(engine.information.device == "cpu" && engine.information.maxModelLength == 128)
    var request = GenerationRequest(
      id: "a", prompt: try model.tokenizer.encode("The boy"), stop: StopConditions(maxTokens: 8))
    request.sampling.temperature = 0
    let tokens = Answer(try engine.submit(request)).tokens[0] ?? []
    let expected = try JSONValue.parse(Fixtures.bytes("demo/expected.json"))
    #expect(tokens.map(Int.init) == expected["greedy"]?[0]?["tokens"]?.array?.prefix(8).compactMap(\.int))
  }

  @Test("Sampling defaults can be left aside; the ends of texts cannot")
  func withoutGenerationConfiguration() throws {
    var options = LoadingOptions()
    options.usesGenerationConfiguration = false
    options.chatTemplate = "mine"
    let model = try LoadedModel.open(Fixtures.path("demo"), options)
    #expect(model.defaults.temperature == nil && model.defaults.endOfTextTokens == [1, 4])
    #expect(model.defaults.sampling == SamplingParameters())
    #expect(model.chatTemplate == "mine")
  }

  @Test("Sampling defaults are read with care")
  func defaults() throws {
    func read(_ text: String, _ model: String = "{}") throws -> GenerationDefaults {
      try GenerationDefaults(
        generation: try JSONValue.parse(Array(text.utf8)), model: try JSONValue.parse(Array(model.utf8)),
        tokenizerEnd: 7)
    }
    let all = try read(
      """
      {"temperature": 0.5, "top_k": -1, "top_p": 1, "min_p": 0.1, "repetition_penalty": 1.5, "max_new_tokens": 9,
       "eos_token_id": [3, 7]}
      """, "{\"eos_token_id\": 5}")
    #expect(all.endOfTextTokens == [7, 3, 5])
    #expect(all.sampling.topK == 0 && all.sampling.minP == 0.1 && all.sampling.repetitionPenalty == 1.5)
    #expect(all.maxNewTokens == 9)
    #expect(try read("{\"eos_token_id\": null, \"top_k\": null}").endOfTextTokens == [7])
    for (text, field) in [
      ("{\"temperature\": \"hot\"}", "temperature"), ("{\"top_p\": 1.5}", "top_p"),
      ("{\"top_p\": 0}", "top_p"),
      ("{\"top_k\": 1.5}", "top_k"), ("{\"eos_token_id\": [1, -2]}", "eos_token_id"),
      ("{\"repetition_penalty\": 0}", "repetition_penalty"), ("{\"max_new_tokens\": 0}", "max_new_tokens"),
    ] {
      do {
        _ = try read(text)
        Issue.record("\(text) was taken")
      } catch let error as ModelLoadingError {
        guard case .field("generation_config.json", field, _, _) = error else {
          Issue.record("\(error)")
          continue
        }
      }
    }
  }

  @Test("A missing model and a model without a tokenizer are told apart")
  func missing() throws {
    let error = #expect(throws: ModelLoadingError.self) { try LoadedModel.open("/nonexistent/model") }
    #expect(error?.exitCode == 66)
  }
}

@Suite struct MemoryReservationTests {
  private func plan(
    _ available: Int?, device: String = "cuda", _ change: (inout LoadingOptions) -> Void = { _ in }
  ) throws -> MemoryReservation {
    let checkpoint = try Checkpoint.open(Fixtures.path("tiny/llama"))
    var options = LoadingOptions()
    change(&options)
    return try MemoryReservation.plan(
      try ModelRegistry.configuration(from: checkpoint.configuration), checkpoint: checkpoint,
      device: DeviceProfile(name: device, activationType: .float32, availableBytes: available),
      options: options)
  }

  // One block of tiny/llama: 2 · 2 layers · 16 tokens · 2 heads · 16 · 4 bytes.
  private let block = 8192

  @Test("The pool holds all sequences at full length and no more")
  func useful() throws {
    let plan = try plan(64 << 30)
    #expect(plan.bytesPerBlock == block)
    #expect(plan.limits.maxModelLength == 512 && plan.limits.maxSequences == 256)
    #expect(plan.blockCount == 256 * 32)
    #expect(try self.plan(nil).blockCount == 256 * 32)
  }

  @Test("With little memory the pool shrinks, then the length nobody asked for")
  func shrinking() throws {
    let fixed = try plan(64 << 30)
    let needed = fixed.weightBytes + fixed.workspaceBytes
    let some = try plan(Int(Double(needed + 100 * block) / 0.92) + 1)
    #expect(some.blockCount == 100 && some.limits.maxModelLength == 512)
    let few = try plan(Int(Double(needed + 3 * block) / 0.92) + 1)
    #expect(few.blockCount == 3 && few.limits.maxModelLength == 48)
  }

  @Test("What does not fit is refused with the bytes that are missing")
  func refusal() throws {
    let fixed = try plan(64 << 30) { $0.maxModelLength = 512 }
    let needed = fixed.weightBytes + fixed.workspaceBytes
    let available = Int(Double(needed + 3 * block) / 0.92) + 1
    let error = #expect(throws: ModelLoadingError.self) { try plan(available) { $0.maxModelLength = 512 } }
    guard case .memory(let shortage) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(abs(shortage.missingBytes - 29 * block) <= 2)
    #expect(error?.exitCode == 69 && "\(shortage)".contains("misses the reservation by 1 MiB"))

    let pool = #expect(throws: ModelLoadingError.self) {
      try plan(64 << 30) {
        $0.kvCacheBytes = 10 * block
        $0.maxModelLength = 512
      }
    }
    #expect(pool.map { "\($0)" }?.contains("--kv-cache-memory-bytes") == true)
    let larger = #expect(throws: ModelLoadingError.self) { try plan(1 << 20) { $0.kvCacheBytes = 40 << 20 } }
    #expect(larger.map { "\($0)" }?.contains("1 MiB are available") == true)
  }

  @Test("An explicit pool size counts blocks, whatever is available")
  func explicitPool() throws {
    let plan = try plan(64 << 30) { $0.kvCacheBytes = 50 * 8192 + 5 }
    #expect(plan.blockCount == 50 && plan.cacheBytes == 50 * block)
  }

  @Test("A pool of codes holds more tokens: a byte a component, and a scale a head")
  func codes() throws {
    for type in [DataType.int8, .float8E4M3] {
      let plan = try plan(64 << 30) {
        ($0.kvCacheBytes, $0.cacheType) = (50 * 2560, type)
      }
      #expect(plan.bytesPerBlock == 2 * 2 * 16 * 2 * (16 + 4) && plan.blockCount == 50)
    }
    let bfloat16 = try plan(64 << 30) { ($0.kvCacheBytes, $0.cacheType) = (50 * 2560, .bfloat16) }
    #expect(bfloat16.blockCount == 31)
    let error = #expect(throws: ModelLoadingError.self) { try plan(64 << 30) { $0.cacheType = .float64 } }
    #expect(error.map { "\($0)" }?.contains("int8, fp8") == true)
  }

  @Test("A host keeps its pool within bounds and takes smaller steps")
  func host() throws {
    let plan = try plan(64 << 30, device: "cpu")
    #expect(plan.limits.maxBatchTokens == 128 && plan.limits.maxSequences == 64)
    #expect(plan.blockCount == 64 * 32)
  }

  @Test("Limits that contradict each other are named")
  func contradictions() throws {
    let changes: [(String, @Sendable (inout LoadingOptions) -> Void)] = [
      ("--max-model-len", { $0.maxModelLength = 0 }),
      ("--max-num-seqs", { $0.maxSequences = -1 }),
      (
        "--max-num-batched-tokens",
        {
          $0.maxBatchTokens = 8
          $0.maxSequences = 9
        }
      ),
      ("--kv-cache-memory-bytes", { $0.kvCacheBytes = 0 }),
      ("--gpu-memory-utilization", { $0.memoryUtilization = 1.5 }),
    ]
    for (name, change) in changes {
      let error = #expect(throws: ModelLoadingError.self) { try plan(64 << 30, change) }
      #expect(error.map { "\($0)" }?.hasPrefix(name) == true)
      #expect(error?.exitCode == 64)
    }
    // A batch limit alone takes the number of sequences with it.
    #expect(try plan(64 << 30) { $0.maxBatchTokens = 8 }.limits.maxSequences == 8)
    #expect(try plan(64 << 30) { $0.maxSequences = 4000 }.limits.maxBatchTokens == 4000)
  }
}
