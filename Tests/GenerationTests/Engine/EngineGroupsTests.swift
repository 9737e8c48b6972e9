import CPUBackend
import Checkpoints
import Compute
import KernelBackend
import Models
import Numerics
import Scheduling
import TestSupport
import Testing

@testable import Generation

/// A model that alternates window and full layers, through the whole engine: the tokens of the same model with one block
/// table for all layers, from a pool that could not hold those tables.
@Suite struct EngineGroupsTests {
  private let model: AlternatingModel

  init() throws { model = try AlternatingModel() }

  private func engine(
    blocks: Int, batch: Int, sequences: Int = 4, groups: Bool = true, cacheType: DataType? = nil,
    drafts: SpeculationSettings.Method? = nil, emulated: Bool = false
  ) throws -> Engine {
    var limits = ModelLimits(
      maxBatchTokens: batch, maxSequences: sequences, maxModelLength: 256, maxLogitRows: 2 * sequences,
      cacheType: cacheType)
    limits.groupsLayers = groups
    var options = EngineOptions()
    options.validateEachStep = true
    switch drafts {
    case .draftModel:
      var settings = SpeculationSettings(.draftModel(path: model.path), maxDrafts: 2)
      settings.adapts = false
      var own = limits
      own.groupsLayers = false
      own.samples = false
      options.speculation = SpeculationOptions(settings) { [path = model.path, own] target in
        let target = try #require(target as? GraphModel)
        return DraftModel(
          try GraphModel(
            checkpoint: try Checkpoint.open(path), backend: target.graph.backend, limits: own, blockCount: 60)
        )
      }
    case .some(let method): options.speculation = .method(method, drafts: 4)
    case nil: break
    }
    return try Engine.start(options) { [path = model.path, limits] in
      let backend: any Backend =
        emulated ? try KernelBackend(.emulated, workers: 1) : CPUBackend(threads: 1)
      return try GraphModel(
        checkpoint: try Checkpoint.open(path), backend: backend, limits: limits, blockCount: blocks)
    }
  }

  private func requests(_ count: Int, prompt: Int, tokens: Int) -> [GenerationRequest] {
    var random = SeededGenerator(seed: 3)
    // The same start for some, so that prefixes are found.
    let base = (0..<200).map { _ in Int32.random(in: 4..<72, using: &random) }
    return (0..<count).map { index in
      let length = prompt + 17 * index
      return GenerationRequest(
        Array((index % 3 == 0 ? base : base.reversed())[..<length]), max: tokens, seed: UInt64(index),
        temperature: index % 2 == 0 ? 0 : 0.9)
    }
  }

  private func answers(_ engine: Engine, _ requests: [GenerationRequest]) throws -> [Answer] {
    let streams = try requests.map { try engine.submit($0) }
    return streams.map { Answer($0) }
  }

  @Test("The windows' memory is freed, and the tokens are the same", arguments: [DataType.float32, .int8])
  func sameTokens(cacheType: DataType) throws {
    let requests = requests(6, prompt: 20, tokens: 60)
    let whole = try engine(blocks: 100, batch: 256, sequences: 6, groups: false, cacheType: cacheType)
    let expected = try answers(whole, requests)
    whole.stop()
    // 164 tokens take 11 blocks of the full group; 23 + 16 tokens touch 4 of either window's. One table for all layers
    // would take 3 · 11 of these blocks, which are a third as large.
    let small = try engine(blocks: 20, batch: 16, cacheType: cacheType)
    #expect(try answers(small, requests) == expected)
    #expect(small.statistics().preemptions > 0)
    #expect(small.statistics().kvCacheUsage == 0)
    small.stop()
  }

  @Test("With drafts, too")
  func drafts() throws {
    let requests = requests(4, prompt: 40, tokens: 40).map { request in
      var request = request
      // So few that lookups find something.
      request.sampling.allowedTokens = [4, 5, 6]
      return request
    }
    let whole = try engine(blocks: 100, batch: 64, groups: false)
    let expected = try answers(whole, requests)
    whole.stop()
    for method in [
      SpeculationSettings.Method.ngram(PromptLookupSettings()), .draftModel(path: model.path),
    ] {
      let engine = try engine(blocks: 60, batch: 64, drafts: method)
      #expect(try answers(engine, requests) == expected)
      let counts = try #require(engine.statistics().speculation)
      #expect(counts.draftTokens > 0)
      #expect(counts.acceptedTokens > 0)
      engine.stop()
    }
  }

  @Test("A prefix is found though the windows' part of its middle is gone")
  func prefix() throws {
    var random = SeededGenerator(seed: 4)
    let first = (0..<150).map { _ in Int32.random(in: 4..<72, using: &random) }
    let engine = try engine(blocks: 19, batch: 16)
    _ = try engine.answer(GenerationRequest(first, max: 1, temperature: 0))
    let again = try engine.answer(GenerationRequest(first + [7, 8], max: 3, temperature: 0))
    #expect(again.prompts.first?.cached == 144)
    engine.stop()
    let fresh = try self.engine(blocks: 60, batch: 256, groups: false)
    #expect(try fresh.answer(GenerationRequest(first + [7, 8], max: 3, temperature: 0)) == again)
    fresh.stop()
  }

  @Test("The same on emulated kernels, steps overlapped and recorded")
  func emulated() throws {
    let requests = requests(3, prompt: 38, tokens: 12)
    let whole = try engine(blocks: 40, batch: 32, groups: false, emulated: true)
    let expected = try answers(whole, requests)
    whole.stop()
    let small = try engine(blocks: 20, batch: 32, emulated: true)
    #expect(try answers(small, requests) == expected)
    small.stop()
  }

  @Test("The pool is planned by what each group needs")
  func planned() throws {
    let checkpoint = try Checkpoint.open(model.path)
    var options = LoadingOptions()
    (options.maxModelLength, options.maxSequences, options.maxBatchTokens) = (512, 4, 64)
    func plan(_ bytes: Int?) throws -> MemoryReservation {
      options.kvCacheBytes = bytes
      return try MemoryReservation.plan(
        try ModelRegistry.configuration(from: checkpoint.configuration), checkpoint: checkpoint,
        device: DeviceProfile(name: "cpu", activationType: .float32, availableBytes: 1 << 30),
        options: options)
    }
    let reservation = try plan(nil)
    let graph = try ModelGraph(
      checkpoint: checkpoint, backend: CPUBackend(threads: 1), limits: reservation.limits)
    let whole = graph.cacheGeometry(blockCount: 1).bytesPerBlock
    #expect(graph.cacheGroups.groups.count == 3 && 3 * reservation.bytesPerBlock == whole)
    // 32 blocks of 512 tokens, and twice the 7 that 23 + 64 tokens touch.
    #expect(reservation.blockCount == 4 * (32 + 2 * 7))
    #expect(reservation.cacheBytes < 4 * 32 * whole / 2)
    // One sequence fits, and not a block less.
    #expect(try plan(46 * reservation.bytesPerBlock).limits.maxModelLength == 512)
    #expect(throws: ModelLoadingError.self) { try plan(45 * reservation.bytesPerBlock) }
    // A length that nobody asked for gives way: 30 blocks are 16 full ones.
    options.maxModelLength = nil
    #expect(try plan(30 * reservation.bytesPerBlock).limits.maxModelLength == 256)
  }
}
