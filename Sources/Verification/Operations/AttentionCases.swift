internal import Compute
internal import Numerics

/// Attention over the paged cache, and the append that fills it.
enum AttentionCases {
  static var all: [OperationCase] {
    var cases: [OperationCase] = []
    for head in [1, 8, 12, 16, 20, 32, 64, 72, 80, 96, 100, 128, 160, 255, 256] {
      cases.append(Setting(head: head).operation)
      cases.append(Setting(head: head, batch: Setting.prompts).operation)
    }
    let options: [(inout Setting) -> Void] = [
      { $0.window = 5 }, { $0.window = 20 }, { $0.hasSlopes = true }, { $0.softcap = 8 },
      {
        $0.window = 9
        $0.hasSlopes = true
      },
      { ($0.queryHeads, $0.keyHeads) = (8, 1) }, { ($0.queryHeads, $0.keyHeads) = (5, 5) },
      { ($0.queryHeads, $0.keyHeads) = (12, 4) },
      { ($0.queryHeads, $0.keyHeads, $0.hasSinkLogits) = (6, 2, true) },
      { ($0.window, $0.sinks) = (20, 4) },
      { ($0.window, $0.sinks, $0.hasSlopes) = (9, 30, true) },
    ]
    for option in options {
      for batch in [Setting.decodes, Setting.prompts, Setting.mixed] {
        for head in [20, 64] {
          var setting = Setting(head: head, batch: batch)
          option(&setting)
          cases.append(setting.operation)
        }
      }
      var drafts = Setting(head: 64, batch: Setting.drafts, verifies: true)
      option(&drafts)
      cases.append(drafts.operation)
    }
    for head in [8, 20, 32, 80, 128] { cases.append(append(head: head)) }
    return cases + codes
  }

  /// The same over caches of 8-bit codes.
  private static var codes: [OperationCase] {
    var cases: [OperationCase] = []
    for type in DataType.cacheCodes {
      for head in [16, 64, 80, 128, 256] {
        cases.append(append(head: head, type))
        for batch in [Setting.decodes, Setting.prompts, Setting.mixed] {
          cases.append(Setting(head: head, batch: batch, cacheType: type).operation)
        }
        if head == 64 {
          cases.append(
            Setting(head: head, batch: Setting.drafts, cacheType: type, verifies: true).operation)
        }
      }
      for batch in [Setting.decodes, Setting.mixed] {
        var setting = Setting(head: 32, batch: batch, cacheType: type)
        (setting.window, setting.hasSlopes, setting.softcap) = (20, true, 8)
        cases.append(setting.operation)
        (setting.softcap, setting.sinks) = (nil, 4)
        cases.append(setting.operation)
      }
    }
    return cases
  }

  /// With one key a sequence softmax is 1, and attention gives the cached value back bit for bit.
  private static func append(head: Int, _ type: DataType? = nil) -> OperationCase {
    let shape = "3 tokens in far blocks, 2 heads of \(head)" + (type.map { ", as \($0.rawValue)" } ?? "")
    return OperationCase(.appendKV, shape, .exact) { bench throws(KernelError) in
      let cache = try bench.backend.makeKVCache(
        KVCacheGeometry(
          layers: 2, blockCount: 7, keyValueHeads: 2, headDimension: head,
          dataType: type ?? bench.weightType))
      let value = try bench.activation(
        bench.values.normal(4 * 2 * head, 0, bench.weightType), Shape(4, 2 * head), padding: 2 * head)
      let key = try bench.activation(
        bench.values.normal(4 * 2 * head, 1, bench.weightType), Shape(4, 2 * head))
      // The last token is skipped.
      let slots = try bench.integers([6 * 16, 0, 3 * 16, -1], Shape(4))
      for layer in 0..<2 {
        try bench.backend.appendKV(
          key: key.view, value: value.view, slots: slots.view, cache: cache, layer: layer)
      }
      let query = try bench.activation(
        bench.values.normal(3 * 2 * head, 2, bench.weightType), Shape(3, 2 * head))
      let starts = try bench.integers([0, 1, 2, 3], Shape(4))
      let lengths = try bench.integers([1, 1, 1], Shape(3))
      let tables = try bench.integers([6, 0, 3], Shape(3, 1))
      var found: [Float] = []
      for layer in 0..<2 {
        let output = try bench.output(Shape(3, 2 * head))
        try bench.backend.attention(
          AttentionParameters(queryHeads: 2, keyValueHeads: 2, headDimension: head, scale: 0.5),
          query: query.view, cache: cache, layer: layer,
          batch: AttentionBatch(
            queryStarts: starts.view, contextLengths: lengths.view, blockTables: tables.view,
            sequenceCount: 3, maxQueryLength: 1, maxContextLength: 1, decodes: .init(rows: [1, 1, 1])),
          into: output.view)
        found += try bench.read(output.view)
      }
      return found
    }
  }
}

extension AttentionCases {
  /// One attention call: sequences with their new rows and their keys, heads, and options.
  struct Setting {
    var queryHeads = 4
    var keyHeads = 2
    var head: Int
    /// New rows and keys of each sequence.
    var batch: [(rows: Int, keys: Int)] = decodes
    var window: Int?
    /// First positions that every query sees.
    var sinks = 0
    var hasSinkLogits = false
    var hasSlopes = false
    var softcap: Float?
    /// Codes instead of elements.
    var cacheType: DataType?
    /// All sequences are decodes, which verify drafts.
    var verifies = false

    static let decodes = [(1, 1), (1, 16), (1, 17), (1, 95), (1, 300)].map { (rows: $0.0, keys: $0.1) }
    static let prompts = [(7, 7), (33, 33), (20, 70)].map { (rows: $0.0, keys: $0.1) }
    static let drafts = [(4, 40), (1, 3), (6, 300), (9, 9)].map { (rows: $0.0, keys: $0.1) }
    static let mixed = [(1, 40), (1, 3), (18, 18), (5, 64)].map { (rows: $0.0, keys: $0.1) }

    var shape: String {
      var text = batch.map { "\($0.rows)/\($0.keys)" }.joined(separator: " ")
      text += " rows/keys, \(queryHeads):\(keyHeads) heads of \(head)"
      if let window { text += ", window \(window)" }
      if sinks > 0 { text += ", \(sinks) sinks" }
      if hasSinkLogits { text += ", learned sinks" }
      if hasSlopes { text += ", ALiBi" }
      if let softcap { text += ", softcap \(softcap)" }
      if let cacheType { text += ", \(cacheType.rawValue) cache" }
      return text
    }

    var operation: OperationCase {
      let setting = self
      return OperationCase(.attention, shape, bound) { bench throws(KernelError) in
        try setting.run(bench)
      }
    }

    /// The weights of the values are rounded to the element type once each; scores, exponentials and sums are
    /// float32, with an error that the rest covers: a score's error becomes a weight's relative error. Values that are
    /// codes are rounded to the element type, too; keys are multiplied as the codes that they are.
    private func bound(_ type: DataType) -> ErrorBound {
      let roundings = cacheType == nil ? 1.25 : 2.25
      return ErrorBound(
        relative: 1.01, magnitude: type == .float32 ? 0x1p-17 : roundings * type.unitRoundoff + 0x1p-15)
    }

    private func run(_ bench: Bench) throws(KernelError) -> [Float] {
      let rows = batch.reduce(0) { $0 + $1.rows }
      let keys = batch.reduce(0) { $0 + $1.keys }
      let stride = (batch.map(\.keys).max() ?? 0) / 16 + 2
      let blocks = bench.values.permutation(batch.count * stride + 1, 9)
      var tables: [Int32] = []
      var slots: [Int32] = []
      for (sequence, work) in batch.enumerated() {
        let table = blocks[sequence * stride..<(sequence + 1) * stride]
        tables += table
        slots += (0..<work.keys).map { table[table.startIndex + $0 / 16] * 16 + Int32($0 % 16) }
      }
      let cache = try bench.backend.makeKVCache(
        KVCacheGeometry(
          layers: 1, blockCount: blocks.count, keyValueHeads: keyHeads, headDimension: head,
          dataType: cacheType ?? bench.weightType))
      let key = try bench.activation(
        bench.values.normal(keys * keyHeads * head, 0, bench.weightType), Shape(keys, keyHeads * head))
      let value = try bench.activation(
        bench.signed(bench.values.normal(keys * keyHeads * head, 1, bench.weightType)),
        Shape(keys, keyHeads * head))
      let slotOperand = try bench.integers(slots, Shape(keys))
      try bench.backend.appendKV(
        key: key.view, value: value.view, slots: slotOperand.view, cache: cache, layer: 0)

      let query = try bench.activation(
        bench.values.normal(rows * queryHeads * head, 2, bench.weightType), Shape(rows, queryHeads * head),
        padding: 2 * keyHeads * head)
      var starts: [Int32] = [0]
      for work in batch { starts.append(starts[starts.count - 1] + Int32(work.rows)) }
      let startOperand = try bench.integers(starts, Shape(starts.count))
      let lengths = try bench.integers(batch.map { Int32($0.keys) }, Shape(batch.count))
      let tableOperand = try bench.integers(tables, Shape(batch.count, stride))
      let slopes = try bench.floats((0..<queryHeads).map { 0.25 / Float($0 + 1) }, Shape(queryHeads))
      let logits = try bench.floats((0..<queryHeads).map { Float($0 % 3) * 20 - 19 }, Shape(queryHeads))
      var step = AttentionBatch(
        queryStarts: startOperand.view, contextLengths: lengths.view, blockTables: tableOperand.view,
        sequenceCount: batch.count, maxQueryLength: batch.map(\.rows).max() ?? 0,
        maxContextLength: batch.map(\.keys).max() ?? 0,
        decodes: .init(rows: batch.prefix { verifies || $0.rows == 1 }.map(\.rows)))
      if sinks > 0 {
        step.sinkQuery = try bench.activation(
          bench.values.normal(rows * queryHeads * head, 3, bench.weightType),
          Shape(rows, queryHeads * head)
        ).view
      }
      let output = try bench.output(Shape(rows, queryHeads * head))
      try bench.backend.attention(
        AttentionParameters(
          queryHeads: queryHeads, keyValueHeads: keyHeads, headDimension: head,
          scale: 1 / Float(head).squareRoot(), window: window, sinks: sinks,
          alibiSlopes: hasSlopes ? slopes.view : nil, softcap: softcap,
          sinkLogits: hasSinkLogits ? logits.view : nil),
        query: query.view, cache: cache, layer: 0, batch: step, into: output.view)
      return try bench.read(output.view)
    }
  }
}
