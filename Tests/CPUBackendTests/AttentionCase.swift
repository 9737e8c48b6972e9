import CPUBackend
import Compute
import Glibc
import Numerics
import Testing

/// A random step over several sequences whose blocks lie scattered in the pool, with its answer in double precision.
struct AttentionCase: CustomTestStringConvertible {
  var name: String
  /// Query rows and context length of each sequence.
  var sequences: [(queries: Int, context: Int)]
  var queryHeads = 4
  var keyValueHeads = 2
  var headDimension = 32
  var window: Int?
  /// With a window; queries have another value for the sinks unless there is ALiBi.
  var sinks = 0
  var alibi = false
  /// One more key without a value, below, among and above the scores in turn.
  var hasSinkLogits = false
  var softcap: Float?
  var type = DataType.float32
  var blockSize = 16

  var testDescription: String { name }

  var tokens: Int { sequences.reduce(0) { $0 + $1.queries } }
  var queryColumns: Int { queryHeads * headDimension }
  var keyColumns: Int { keyValueHeads * headDimension }
  var scale: Float { 1 / Float(headDimension).squareRoot() }
  var slopes: [Float]? {
    alibi ? (0..<queryHeads).map { 0.5 / Float(1 << ($0 % 8)) } : nil
  }
  var sinkLogits: [Float]? {
    hasSinkLogits ? (0..<queryHeads).map { Float($0 % 3) * 50 - 49 } : nil
  }
}

/// The keys, values and queries of a case, by sequence and position.
struct AttentionData {
  let shape: AttentionCase
  /// `[position][Hkv · D]` of each sequence.
  var keys: [[Float]] = []
  var values: [[Float]] = []
  /// `[position][Hq · D]`: queries for every position, of which a step uses the last ones.
  var queries: [[Float]] = []
  /// The same as the sinks meet them.
  var sinkQueries: [[Float]] = []
  /// What a cache of the case's type holds of keys and values.
  private var storedKeys: [[Double]] = []
  private var storedValues: [[Double]] = []

  init(_ shape: AttentionCase, _ bench: Workbench) {
    self.shape = shape
    for sequence in shape.sequences {
      keys.append(bench.random(sequence.context * shape.keyColumns))
      values.append(bench.random(sequence.context * shape.keyColumns))
      queries.append(bench.random(sequence.context * shape.queryColumns).map { 3 * $0 })
      sinkQueries.append(
        shape.sinks > 0 && !shape.alibi
          ? bench.random(sequence.context * shape.queryColumns).map { 3 * $0 } : queries[queries.count - 1])
    }
    // Heads of several sizes, and one of nothing: each has a scale of its own.
    if DataType.cacheCodes.contains(shape.type) {
      for index in keys.indices { Self.vary(&keys[index], &values[index], shape) }
    }
    storedKeys = keys.map { Self.stored($0, shape) }
    storedValues = values.map { Self.stored($0, shape) }
  }

  private static func vary(_ keys: inout [Float], _ values: inout [Float], _ shape: AttentionCase) {
    for start in stride(from: 0, to: keys.count, by: shape.headDimension) {
      let head = start / shape.headDimension
      for index in start..<start + shape.headDimension {
        keys[index] *= [1, 0.25, 0, 2][head % 4]
        values[index] *= [0.5, 8, 1, 0][head % 4]
      }
    }
  }

  /// A position's head at a time: codes that count in a scale, which is the largest size / 127 or / 448.
  private static func stored(_ rows: [Float], _ shape: AttentionCase) -> [Double] {
    guard DataType.cacheCodes.contains(shape.type) else {
      return rows.map { Double(rounded($0, to: shape.type)) }
    }
    var result: [Double] = []
    for start in stride(from: 0, to: rows.count, by: shape.headDimension) {
      let head = rows[start..<start + shape.headDimension]
      let scale = (head.map(\.magnitude).max() ?? 0) / (shape.type == .int8 ? 127 : 448)
      for element in head {
        let units = scale == 0 ? 0 : element / scale
        let code =
          shape.type == .int8
          ? units.rounded(.toNearestOrEven) : Float8E4M3(saturating: units).float
        result.append(Double(code) * Double(scale))
      }
    }
    return result
  }

  /// Softmax attention of one query position, by the definition.
  func expected(sequence: Int, position: Int) -> [Double] {
    let dimension = shape.headDimension
    let group = shape.queryHeads / shape.keyValueHeads
    let first = shape.window.map { max(0, position - $0 + 1) } ?? 0
    var result: [Double] = []
    for head in 0..<shape.queryHeads {
      let query = position * shape.queryColumns + head * dimension
      func at(_ key: Int, _ d: Int) -> Int { key * shape.keyColumns + head / group * dimension + d }
      var scores: [Double] = []
      // Keys between sinks and window are left out, and the sinks are as near as if those did not exist.
      let leavesKeys = shape.sinks > 0 && first > shape.sinks
      let keys =
        leavesKeys
        ? Array(0..<shape.sinks) + Array(first...position)
        : shape.sinks > 0 ? Array(0...position) : Array(first...position)
      for key in keys {
        let isFar = leavesKeys && key < shape.sinks
        let from = isFar ? shape.sinks + (shape.window ?? 0) - 1 : position
        let rows = isFar ? sinkQueries : queries
        var score = 0.0
        for d in 0..<dimension {
          score +=
            Double(rows[sequence][query + d])
            * storedKeys[sequence][at(key, d)]
        }
        score *= Double(shape.scale)
        if let cap = shape.softcap { score = Double(cap) * tanh(score / Double(cap)) }
        if let slopes = shape.slopes { score += Double(slopes[head]) * Double(key - from) }
        scores.append(score)
      }
      let logit = shape.sinkLogits.map { Double($0[head]) } ?? -.infinity
      let peak = max(scores.max() ?? 0, logit)
      let weights = scores.map { exp($0 - peak) }
      let total = weights.reduce(0, +) + exp(logit - peak)
      for d in 0..<dimension {
        var sum = 0.0
        for (index, weight) in weights.enumerated() {
          sum += weight * storedValues[sequence][at(keys[index], d)]
        }
        result.append(sum / total)
      }
    }
    return result
  }
}

/// A backend whose cache holds the data.
final class AttentionRun {
  let data: AttentionData
  let bench: Workbench
  let cache: any KVCache
  private let blocks: [[Int32]]

  init(_ data: AttentionData, _ bench: Workbench) throws {
    self.data = data
    self.bench = bench
    let shape = data.shape
    let size = shape.blockSize
    let counts = shape.sequences.map { ($0.context + size - 1) / size }
    let total = counts.reduce(0, +)
    cache = try bench.backend.makeKVCache(
      KVCacheGeometry(
        layers: 2, blockCount: total + 1, blockSize: size, keyValueHeads: shape.keyValueHeads,
        headDimension: shape.headDimension, dataType: shape.type))
    // Blocks out of order, as a pool that has been used for a while hands them out.
    var free = (0..<Int32(total)).sorted { ($0 &* 7919) % 101 < ($1 &* 7919) % 101 }
    blocks = counts.map { count in (0..<count).map { _ in free.removeLast() } }
    for (index, sequence) in shape.sequences.enumerated() where sequence.context > 0 {
      let slots = (0..<sequence.context).map { position in
        blocks[index][position / size] * Int32(size) + Int32(position % size)
      }
      try bench.backend.appendKV(
        key: try bench.matrix(
          data.keys[index], sequence.context, shape.keyColumns, stride: 2 * shape.keyColumns + 1),
        value: try bench.matrix(data.values[index], sequence.context, shape.keyColumns),
        slots: try bench.integers(slots), cache: cache, layer: 1)
    }
  }

  /// Attends the given query rows: for each step entry a sequence, its rows and its context.
  func attend(_ step: [(sequence: Int, queries: Int, context: Int)]) throws -> [Float] {
    let shape = data.shape
    var starts: [Int32] = [0]
    var rows: [Float] = []
    var sinkRows: [Float] = []
    var tables: [Int32] = []
    let stride = max(1, blocks.map(\.count).max() ?? 1)
    for entry in step {
      starts.append((starts.last ?? 0) + Int32(entry.queries))
      let range = (entry.context - entry.queries) * shape.queryColumns..<entry.context * shape.queryColumns
      rows += data.queries[entry.sequence][range]
      sinkRows += data.sinkQueries[entry.sequence][range]
      let table = blocks[entry.sequence]
      tables += table + [Int32](repeating: 0, count: stride - table.count)
    }
    let tokens = rows.count / shape.queryColumns
    let query = try bench.matrix(rows, tokens, shape.queryColumns, stride: shape.queryColumns + 7)
    let output = try bench.matrix(
      [Float](repeating: .nan, count: rows.count), tokens, shape.queryColumns, stride: shape.queryColumns + 1)
    var batch = AttentionBatch(
      queryStarts: try bench.integers(starts),
      contextLengths: try bench.integers(step.map { Int32($0.context) }),
      blockTables: try bench.integers(tables, rows: step.count), sequenceCount: step.count,
      maxQueryLength: step.map(\.queries).max() ?? 0, maxContextLength: step.map(\.context).max() ?? 0)
    if shape.sinks > 0, !shape.alibi {
      batch.sinkQuery = try bench.matrix(sinkRows, tokens, shape.queryColumns)
    }
    try bench.backend.attention(
      AttentionParameters(
        queryHeads: shape.queryHeads, keyValueHeads: shape.keyValueHeads,
        headDimension: shape.headDimension, scale: shape.scale, window: shape.window,
        sinks: shape.sinks, alibiSlopes: try shape.slopes.map { try bench.vector($0) },
        softcap: shape.softcap,
        sinkLogits: try shape.sinkLogits.map { try bench.vector($0) }),
      query: query, cache: cache, layer: 1,
      batch: batch, into: output)
    return try bench.read(output)
  }
}
