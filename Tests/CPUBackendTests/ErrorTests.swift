import CPUBackend
import Compute
import Numerics
import Testing

@Suite("Operands that do not fit are refused before anything is written")
struct ErrorTests {
  let bench = Workbench(seed: 21)

  private func zeros(_ rows: Int, _ columns: Int, type: DataType = .float32) throws -> TensorView {
    try bench.matrix([Float](repeating: 0, count: rows * columns), rows, columns, type: type)
  }

  private func mismatch(_ operation: String, _ operand: String) -> (any Error) -> Bool {
    { error in
      if case .shapeMismatch(operation, operand, _, _)? = error as? KernelError { return true }
      return false
    }
  }

  private func refuses(
    _ matches: (any Error) -> Bool, location: SourceLocation = #_sourceLocation, _ body: () throws -> Void
  ) {
    do {
      try body()
      Issue.record("nothing was thrown", sourceLocation: location)
    } catch {
      #expect(matches(error), "\(error)", sourceLocation: location)
    }
  }

  @Test("linear names the operand whose shape or type is wrong")
  func linear() throws {
    let weight = LinearWeight(
      dense: try bench.tensor(bench.random(12), Shape(3, 4), type: .float32),
      bias: try bench.tensor(bench.random(3), Shape(3), type: .float32))
    refuses(mismatch("linear", "input")) {
      try bench.backend.linear(try zeros(2, 5), weight, accumulate: false, into: try zeros(2, 3))
    }
    refuses(mismatch("linear", "output")) {
      try bench.backend.linear(try zeros(2, 4), weight, accumulate: false, into: try zeros(1, 3))
    }
    let short = LinearWeight(
      dense: try bench.tensor(bench.random(12), Shape(3, 4), type: .float32),
      bias: try bench.tensor(bench.random(4), Shape(4), type: .float32))
    refuses(mismatch("linear", "bias")) {
      try bench.backend.linear(try zeros(2, 4), short, accumulate: false, into: try zeros(2, 3))
    }
    let storage = try bench.backend.allocate(byteCount: 96)
    let wide = LinearWeight(dense: Tensor(storage: storage, shape: Shape(3, 4), dataType: .float64))
    #expect(
      throws: KernelError.unsupportedDataType(
        operation: "linear", operand: "weight", found: .float64, supported: [.float32, .float16, .bfloat16])
    ) {
      try bench.backend.linear(try zeros(2, 4), wide, accumulate: false, into: try zeros(2, 3))
    }
    #expect(
      throws: KernelError.unsupportedDataType(
        operation: "place", operand: "weight", found: .float64, supported: [.float32, .float16, .bfloat16])
    ) { _ = try bench.backend.place(wide) }
    #expect(
      throws: KernelError.unsupportedDataType(
        operation: "linear", operand: "input", found: .bfloat16, supported: [.float32])
    ) {
      try bench.backend.linear(
        try zeros(2, 4, type: .bfloat16), weight, accumulate: false, into: try zeros(2, 3))
    }
  }

  @Test("an index outside its table is named with its place", arguments: [Int32(4), -1, .max, .min])
  func indices(_ bad: Int32) throws {
    let output = try zeros(2, 3)
    let table = try zeros(4, 3)
    let ids = try bench.integers([3, bad])
    func error(_ operation: String, _ operand: String) -> KernelError {
      .indexOutOfRange(operation: operation, operand: operand, index: 1, value: Int(bad), limit: 4)
    }
    #expect(throws: error("embed", "tokens")) {
      try bench.backend.embed(tokens: ids, table: table, positions: nil, positionTable: nil, into: output)
    }
    let good = try bench.integers([0, 1])
    #expect(throws: error("embed", "positions")) {
      try bench.backend.embed(tokens: good, table: table, positions: ids, positionTable: table, into: output)
    }
    #expect(throws: error("gatherRows", "rows")) {
      try bench.backend.gatherRows(table, rows: ids, into: output)
    }
    let rope = RopeParameters(
      pairing: .halves, headDimension: 4, rotaryDimension: 4, table: try zeros(4, 4))
    #expect(throws: error("rope", "positions")) {
      try bench.backend.rope(rope, positions: ids, query: try zeros(2, 8), key: try zeros(2, 4))
    }
  }

  @Test("cache slots are checked, and −1 writes nothing")
  func slots() throws {
    let cache = try bench.backend.makeKVCache(
      KVCacheGeometry(layers: 1, blockCount: 2, keyValueHeads: 1, headDimension: 4, dataType: .float32))
    let rows = try zeros(2, 4)
    for bad in [Int32(32), -2, .min] {
      #expect(
        throws: KernelError.indexOutOfRange(
          operation: "appendKV", operand: "slots", index: 1, value: Int(bad), limit: 32)
      ) {
        try bench.backend.appendKV(
          key: rows, value: rows, slots: try bench.integers([0, bad]), cache: cache, layer: 0)
      }
    }
    try bench.backend.appendKV(
      key: rows, value: rows, slots: try bench.integers([-1, 31]), cache: cache, layer: 0)
    #expect(
      throws: KernelError.indexOutOfRange(
        operation: "appendKV", operand: "layer", index: 0, value: 1, limit: 1)
    ) {
      try bench.backend.appendKV(
        key: rows, value: rows, slots: try bench.integers([0, 1]), cache: cache, layer: 1)
    }
    refuses(mismatch("appendKV", "value")) {
      try bench.backend.appendKV(
        key: rows, value: try zeros(2, 5), slots: try bench.integers([0, 1]), cache: cache, layer: 0)
    }
  }

  private func attend(
    starts: [Int32] = [0, 2], lengths: [Int32] = [20], table: [Int32] = [0, 1], queryHeads: Int = 2,
    window: Int? = nil, softcap: Float? = nil
  ) throws {
    let cache = try bench.backend.makeKVCache(
      KVCacheGeometry(layers: 1, blockCount: 2, keyValueHeads: 1, headDimension: 4, dataType: .float32))
    let query = try zeros(2, queryHeads * 4)
    try bench.backend.attention(
      AttentionParameters(
        queryHeads: queryHeads, keyValueHeads: 1, headDimension: 4, scale: 1, window: window, softcap: softcap
      ),
      query: query, cache: cache, layer: 0,
      batch: AttentionBatch(
        queryStarts: try bench.integers(starts), contextLengths: try bench.integers(lengths),
        blockTables: try bench.integers(table, rows: lengths.count), sequenceCount: lengths.count,
        maxQueryLength: 2, maxContextLength: 20), into: query)
  }

  private func unsupported(_ error: any Error) -> Bool {
    if case .unsupported("attention", _)? = error as? KernelError { return true }
    return false
  }

  @Test("attention checks sequences, lengths and blocks")
  func attention() throws {
    try attend()
    refuses(unsupported) { try attend(starts: [1, 2]) }
    refuses(unsupported) { try attend(starts: [0, 1]) }
    refuses(unsupported) {
      try attend(starts: [0, 2, 1, 2], lengths: [20, 20, 20], table: [0, 1, 0, 1, 0, 1])
    }
    refuses(unsupported) { try attend(lengths: [1]) }
    refuses(unsupported) { try attend(lengths: [33]) }
    refuses(unsupported) { try attend(lengths: [.max - 1]) }
    refuses(unsupported) { try attend(window: 0) }
    refuses(unsupported) { try attend(softcap: -1) }
    #expect(
      throws: KernelError.indexOutOfRange(
        operation: "attention", operand: "queryStarts", index: 1, value: 3, limit: 3)
    ) { try attend(starts: [0, 3]) }
    #expect(
      throws: KernelError.indexOutOfRange(
        operation: "attention", operand: "contextLengths", index: 0, value: -5, limit: Int(Int32.max))
    ) { try attend(lengths: [-5]) }
    for bad in [Int32(2), -1] {
      #expect(
        throws: KernelError.indexOutOfRange(
          operation: "attention", operand: "blockTables[0]", index: 1, value: Int(bad), limit: 2)
      ) { try attend(table: [0, bad]) }
    }
    // A block that the window has left behind may be anything.
    try attend(table: [-1, 1], window: 3)
  }

  @Test("shapes of the row operations are compared")
  func rows() throws {
    let weight = try bench.vector([1, 1, 1])
    refuses(mismatch("norm", "weight")) {
      try bench.backend.norm(
        NormParameters(kind: .rms, weight: weight, epsilon: 0), residual: try zeros(2, 4), adding: nil,
        into: try zeros(2, 4))
    }
    refuses(mismatch("norm", "input")) {
      try bench.backend.norm(
        NormParameters(kind: .rms, weight: weight, epsilon: 0), residual: try zeros(2, 3),
        adding: try zeros(1, 3),
        into: try zeros(2, 3))
    }
    refuses(mismatch("add", "input")) { try bench.backend.add(try zeros(2, 3), to: try zeros(2, 4)) }
    refuses(mismatch("activation", "up")) {
      try bench.backend.activation(.silu, gate: try zeros(2, 3), up: try zeros(2, 2), into: try zeros(2, 3))
    }
    let rope = RopeParameters(pairing: .halves, headDimension: 4, rotaryDimension: 4, table: try zeros(4, 4))
    refuses(mismatch("rope", "key")) {
      try bench.backend.rope(
        rope, positions: try bench.integers([0, 1]), query: try zeros(2, 8), key: try zeros(2, 6))
    }
  }

  @Test("memory that cannot be had is an error")
  func memory() throws {
    refuses {
      if case .outOfMemory? = $0 as? KernelError { true } else { false }
    } _: {
      _ = try bench.backend.allocate(byteCount: .max)
    }
    refuses {
      if case .unsupported? = $0 as? KernelError { true } else { false }
    } _: {
      _ = try bench.backend.allocate(byteCount: -1)
    }
    for geometry in [
      KVCacheGeometry(layers: 1, blockCount: .max, keyValueHeads: 8, headDimension: 128, dataType: .float32),
      KVCacheGeometry(layers: 1, blockCount: 0, keyValueHeads: 8, headDimension: 128, dataType: .float32),
      KVCacheGeometry(
        layers: 1, blockCount: 1, blockSize: 20, keyValueHeads: 8, headDimension: 128, dataType: .float32),
      KVCacheGeometry(layers: 1, blockCount: 1, keyValueHeads: 8, headDimension: 128, dataType: .int32),
      KVCacheGeometry(layers: 1, blockCount: 1, keyValueHeads: 8, headDimension: .max, dataType: .int8),
    ] {
      #expect(throws: KernelError.self) { _ = try bench.backend.makeKVCache(geometry) }
    }
    let view = try zeros(2, 2)
    refuses(mismatch("upload", "bytes")) {
      unsafe try [Float](repeating: 0, count: 3).withUnsafeBytes {
        unsafe try bench.backend.upload($0, to: view)
      }
    }
  }
}
