import CPUBackend
import Compute
import Numerics
import Testing

@Suite("Attention")
struct AttentionTests {
  static let cases = [
    AttentionCase(name: "decode", sequences: [(1, 1), (1, 16), (1, 17), (1, 70)]),
    AttentionCase(name: "prefill", sequences: [(1, 1), (15, 15), (33, 33), (64, 64)]),
    AttentionCase(name: "chunks after a cached prefix", sequences: [(5, 20), (17, 49), (1, 31), (0, 9)]),
    AttentionCase(name: "window", sequences: [(1, 100), (40, 60), (3, 3)], window: 19),
    AttentionCase(name: "window of one", sequences: [(20, 20), (1, 33)], window: 1),
    AttentionCase(
      name: "sinks", sequences: [(1, 100), (40, 60), (3, 3), (1, 23), (1, 24)], window: 19, sinks: 4),
    AttentionCase(name: "sinks over two tiles", sequences: [(1, 100), (70, 90)], window: 17, sinks: 20),
    AttentionCase(name: "sinks beside the window", sequences: [(30, 40)], window: 5, sinks: 9),
    AttentionCase(name: "sinks and a window of one", sequences: [(20, 20), (1, 33)], window: 1, sinks: 1),
    AttentionCase(
      name: "sinks with alibi", sequences: [(1, 90), (30, 50)], window: 16, sinks: 4, alibi: true),
    AttentionCase(
      name: "sinks with many heads", sequences: [(3, 60)], queryHeads: 40, keyValueHeads: 2,
      headDimension: 24,
      window: 20, sinks: 17),
    AttentionCase(
      name: "sinks in a bfloat16 cache", sequences: [(9, 80)], window: 33, sinks: 5, type: .bfloat16,
      blockSize: 32),
    AttentionCase(
      name: "learned sinks", sequences: [(1, 40), (30, 50)], queryHeads: 6, hasSinkLogits: true),
    AttentionCase(
      name: "learned sinks in a stream", sequences: [(1, 90), (30, 50)], window: 16, sinks: 4,
      hasSinkLogits: true),
    AttentionCase(name: "alibi", sequences: [(1, 40), (30, 50)], alibi: true),
    AttentionCase(name: "softcap", sequences: [(1, 40), (30, 30)], softcap: 1.5),
    AttentionCase(
      name: "softcap, alibi and window", sequences: [(1, 40), (30, 50)], window: 24, alibi: true, softcap: 20),
    AttentionCase(name: "one key head", sequences: [(9, 40), (1, 20)], queryHeads: 5, keyValueHeads: 1),
    AttentionCase(name: "as many key heads", sequences: [(9, 40)], queryHeads: 3, keyValueHeads: 3),
    AttentionCase(
      name: "more query heads than a task has rows", sequences: [(3, 20)], queryHeads: 40, keyValueHeads: 2),
    AttentionCase(name: "head of 1", sequences: [(9, 40)], headDimension: 1),
    AttentionCase(name: "head of 20", sequences: [(9, 40), (1, 33)], headDimension: 20),
    AttentionCase(name: "head of 80", sequences: [(9, 40)], headDimension: 80),
    AttentionCase(name: "head of 256", sequences: [(3, 20), (1, 50)], headDimension: 256),
    AttentionCase(name: "bfloat16 cache", sequences: [(9, 40), (1, 17)], headDimension: 40, type: .bfloat16),
    AttentionCase(name: "float16 cache", sequences: [(9, 40), (1, 17)], headDimension: 24, type: .float16),
    AttentionCase(
      name: "int8 cache", sequences: [(9, 40), (1, 17)], keyValueHeads: 4, headDimension: 40, type: .int8),
    AttentionCase(
      name: "float8 cache", sequences: [(9, 40), (1, 17)], keyValueHeads: 4, headDimension: 24,
      type: .float8E4M3),
    AttentionCase(name: "int8 cache, head of 1", sequences: [(9, 40)], headDimension: 1, type: .int8),
    AttentionCase(
      name: "int8 cache, blocks of 32 and a window", sequences: [(30, 70), (1, 31)], headDimension: 20,
      window: 19, type: .int8, blockSize: 32),
    AttentionCase(
      name: "float8 cache with sinks", sequences: [(9, 80), (1, 90)], headDimension: 64, window: 33, sinks: 5,
      type: .float8E4M3),
    AttentionCase(
      name: "int8 cache with sinks and alibi", sequences: [(9, 80)], window: 33, sinks: 17, alibi: true,
      type: .int8),
    AttentionCase(name: "blocks of 32", sequences: [(9, 70), (1, 31)], blockSize: 32),
    AttentionCase(name: "nothing to do", sequences: [(0, 5)]),
  ]

  @Test("equals the definition in double precision", arguments: cases)
  func definition(_ shape: AttentionCase) throws {
    var expected: [Double] = []
    for set in InstructionSet.available {
      let bench = Workbench(seed: 3, instructionSet: set)
      let data = AttentionData(shape, bench)
      let run = try AttentionRun(data, bench)
      let found = try run.attend(
        shape.sequences.enumerated().map { ($0.offset, $0.element.queries, $0.element.context) })
      if expected.isEmpty {
        for (index, sequence) in shape.sequences.enumerated() {
          for position in sequence.context - sequence.queries..<sequence.context {
            expected += data.expected(sequence: index, position: position)
          }
        }
      }
      // Scores up to 3·D·scale are rounded at D terms; an error in a score is a relative error in its weight.
      let dimension = Double(shape.headDimension)
      let allowed = 0x1p-23 * (8 + 3 * dimension.squareRoot() * max(1, dimension / 32).squareRoot())
      #expect(worst(found, expected) { _ in allowed } <= 1, "\(set)")
    }
  }

  @Test("a row has the same bits in any chunking, alone or in a batch", arguments: cases)
  func chunking(_ shape: AttentionCase) throws {
    var reference: [[UInt32]] = []
    for (set, threads) in InstructionSet.available.flatMap({ set in [1, 3].map { (set, $0) } }) {
      let bench = Workbench(seed: 5, threads: threads, instructionSet: set)
      let run = try AttentionRun(AttentionData(shape, bench), bench)
      // Everything at once, then each sequence in chunks of several sizes, then token by token.
      let all = try run.attend(
        shape.sequences.enumerated().map { ($0.offset, $0.element.context, $0.element.context) })
      var whole: [[UInt32]] = []
      var offset = 0
      for sequence in shape.sequences {
        let end = offset + sequence.context * shape.queryColumns
        whole.append(bits(Array(all[offset..<end])))
        offset = end
      }
      if reference.isEmpty { reference = whole }
      #expect(whole == reference, "\(set), \(threads) threads")
      for chunk in set == .best ? [1, 5, 16, 23] : [7] {
        for (index, sequence) in shape.sequences.enumerated() {
          var pieces: [UInt32] = []
          var done = 0
          while done < sequence.context {
            let count = min(chunk, sequence.context - done)
            pieces += bits(try run.attend([(index, count, done + count)]))
            done += count
          }
          #expect(pieces == reference[index], "\(set), chunks of \(chunk)")
        }
      }
    }
  }
}
