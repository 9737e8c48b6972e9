package import Compute
internal import Numerics

/// Times a device's kernels with the shapes of a model.
///
/// Each figure is the median over replays of a recorded graph. The graph runs an operation over several copies of its
/// operands, `workingSet` bytes in all, so that what it reads has left the cache; the operands are random, because
/// multiplying zeros takes less power, and so less time, than multiplying numbers. Results are read back and must be
/// finite; whether they are right is for `gpuinfer verify` to say.
package struct DeviceBenchmark {
  package let backend: KernelBackend
  package var replays: Int
  /// Bytes that one replay touches at least; past the second-level cache of any GPU of today.
  package var workingSet: Int

  package init(backend: KernelBackend, replays: Int = 20, workingSet: Int = 1 << 28) {
    self.backend = backend
    self.replays = replays
    self.workingSet = workingSet
  }

  /// A sum of two vectors in place: the memory bandwidth that a plain kernel reaches, two reads and a write.
  package func memory() throws(KernelError) -> KernelMeasurement {
    let count = max(1 << 16, workingSet / 2 / backend.activationType.byteCount / 1024 * 1024)
    let operands = try matrices(2, rows: count / 1024, columns: 1024)
    return try measure(
      "add", "\(operands[0].byteCount >> 20) MiB twice", bytes: 3 * operands[0].byteCount,
      operations: count, copies: 1, results: operands
    ) { _ throws(KernelError) in try backend.add(operands[0].view, to: operands[1].view) }
  }

  /// `rows` inputs times weights `[outputs, inputs]`.
  package func linear(rows: Int, inputs: Int, outputs: Int) throws(KernelError) -> KernelMeasurement {
    let size = backend.activationType.byteCount
    let copies = copies(inputs * outputs * size)
    let input = try matrices(1, rows: rows, columns: inputs)
    let output = try matrices(1, rows: rows, columns: outputs)
    var weights: [LinearWeight] = []
    for weight in try matrices(copies, rows: outputs, columns: inputs) {
      weights.append(try backend.place(LinearWeight(dense: weight)))
    }
    return try measure(
      "linear", "\(rows) x \(inputs) -> \(outputs)",
      bytes: (inputs * outputs + rows * (inputs + outputs)) * size, operations: 2 * rows * inputs * outputs,
      copies: copies, results: output
    ) { copy throws(KernelError) in
      try backend.linear(input[0].view, weights[copy], accumulate: false, into: output[0].view)
    }
  }

  /// RMS norm with a residual sum: reads two rows and writes two.
  package func norm(rows: Int, width: Int) throws(KernelError) -> KernelMeasurement {
    let size = backend.activationType.byteCount
    let copies = copies(4 * rows * width * size)
    let operands = try matrices(3 * copies, rows: rows, columns: width)
    let weight = try matrices(1, rows: 1, columns: width)[0]
    let vector = Tensor(storage: weight.storage, shape: Shape(width), dataType: weight.dataType)
    return try measure(
      "rms_norm + residual", "\(rows) x \(width)", bytes: 4 * rows * width * size,
      operations: 6 * rows * width, copies: copies, results: [operands[2]]
    ) { copy throws(KernelError) in
      try backend.norm(
        NormParameters(kind: .rms, weight: vector.view, epsilon: 1e-5), residual: operands[3 * copy].view,
        adding: operands[3 * copy + 1].view, into: operands[3 * copy + 2].view)
    }
  }

  /// `silu(gate) · up`.
  package func activation(rows: Int, width: Int) throws(KernelError) -> KernelMeasurement {
    let size = backend.activationType.byteCount
    let copies = copies(3 * rows * width * size)
    let operands = try matrices(3 * copies, rows: rows, columns: width)
    return try measure(
      "silu · up", "\(rows) x \(width)", bytes: 3 * rows * width * size, operations: 5 * rows * width,
      copies: copies, results: [operands[2]]
    ) { copy throws(KernelError) in
      try backend.activation(
        .silu, gate: operands[3 * copy].view, up: operands[3 * copy + 1].view,
        into: operands[3 * copy + 2].view)
    }
  }

  /// Attention of `sequences` sequences, each with its last `rows` positions as queries over `keys` cached ones.
  package func attention(
    sequences: Int, rows: Int, keys: Int, queryHeads: Int, keyHeads: Int, head: Int
  ) throws(KernelError) -> KernelMeasurement {
    let type = backend.activationType
    let block = KernelKVCache.blockSize
    let blocks = (keys + block - 1) / block
    let cacheBytes = 2 * sequences * blocks * block * keyHeads * head * type.byteCount
    let layers = copies(cacheBytes)
    let cache = try backend.makeKVCache(
      KVCacheGeometry(
        layers: layers, blockCount: sequences * blocks, keyValueHeads: keyHeads, headDimension: head,
        dataType: type))
    let step = try AttentionStep(backend, sequences: sequences, rows: rows, keys: keys, blocks: blocks)
    // Keys are appended in pieces, so that the operands stay smaller than the cache.
    let piece = try matrices(2, rows: block * blocks, columns: keyHeads * head)
    for layer in 0..<layers {
      for sequence in 0..<sequences {
        let first = sequence * blocks * block
        let slots = try step.integers(
          (0..<block * blocks).map { $0 < keys ? Int32(first + $0) : -1 }, Shape(block * blocks))
        try backend.appendKV(
          key: piece[0].view, value: piece[1].view, slots: slots.view, cache: cache, layer: layer)
        try backend.synchronize()
      }
    }
    let query = try matrices(1, rows: sequences * rows, columns: queryHeads * head)
    let output = try matrices(1, rows: sequences * rows, columns: queryHeads * head)
    let parameters = AttentionParameters(
      queryHeads: queryHeads, keyValueHeads: keyHeads, headDimension: head,
      scale: 1 / Float(head).squareRoot())
    // Row r of n sees keys − n + r + 1 keys.
    let seen = rows * keys - rows * (rows - 1) / 2
    return try measure(
      rows == 1 ? "decode attention" : "prefill attention",
      "\(sequences) x \(rows) of \(keys) keys, \(queryHeads):\(keyHeads) heads of \(head)",
      bytes: 2 * sequences * keys * keyHeads * head * type.byteCount
        + 2 * sequences * rows * queryHeads * head * type.byteCount,
      operations: 4 * sequences * queryHeads * head * seen, copies: layers, results: output
    ) { layer throws(KernelError) in
      try backend.attention(
        parameters, query: query[0].view, cache: cache, layer: layer, batch: step.batch, into: output[0].view)
    }
  }

  // MARK: Timing

  private func copies(_ bytes: Int) -> Int { max(1, min(64, (workingSet - 1) / max(bytes, 1) + 1)) }

  private func measure(
    _ operation: String, _ shape: String, bytes: Int, operations: Int, copies: Int, results: [Tensor],
    _ body: (Int) throws(KernelError) -> Void
  ) throws(KernelError) -> KernelMeasurement {
    // Once outside of the recording: scratch memory is reserved by the first call.
    try body(0)
    let work = try backend.record { () throws(KernelError) in
      for copy in 0..<copies { try body(copy) }
    }
    let times = try backend.microseconds(of: work, replays: replays)
    for result in results { try checkFinite(result, operation, shape) }
    return KernelMeasurement(
      operation: operation, shape: shape, seconds: times[times.count / 2] / Double(copies) / 1e6,
      bytes: bytes,
      operations: operations)
  }

  private func checkFinite(_ tensor: Tensor, _ operation: String, _ shape: String) throws(KernelError) {
    let rows = tensor.view.rows(max(0, tensor.shape[0] - 1)..<tensor.shape[0])
    var bits = [UInt16](repeating: 0, count: rows.columns)
    try unsafe bits.withUnsafeMutableBufferPointer { bits throws(KernelError) in
      try unsafe backend.download(rows, to: UnsafeMutableRawBufferPointer(bits))
    }
    let exponent: UInt16 = tensor.dataType == .bfloat16 ? 0x7F80 : 0x7C00
    guard let index = bits.firstIndex(where: { $0 & exponent == exponent }) else { return }
    throw .unsupported(
      operation: operation,
      reason: "element \(index) of the last row is not finite (\(shape)); run 'gpuinfer verify'")
  }

  /// Matrices of random numbers of small variance on the device, `[rows, columns]` each.
  private func matrices(_ count: Int, rows: Int, columns: Int) throws(KernelError) -> [Tensor] {
    let type = backend.activationType
    let elements = rows * columns
    // One pseudo-random table that is sent shifted: filling gigabytes element by element would take minutes.
    let table = RandomBits.table(type)
    var result: [Tensor] = []
    for index in 0..<count {
      let tensor = Tensor(
        storage: try backend.allocate(byteCount: elements * type.byteCount), shape: Shape(rows, columns),
        dataType: type)
      let flat = unsafe TensorView(
        address: tensor.view.address, shape: Shape(1, elements), dataType: type)
      var start = 0
      while start < elements {
        let shift = (index * 8191 + start / RandomBits.count * 131) % RandomBits.count
        let piece = min(elements - start, RandomBits.count - shift)
        try unsafe table.withUnsafeBufferPointer { table throws(KernelError) in
          try unsafe backend.upload(
            UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: table[shift..<shift + piece])),
            to: flat.columns(start..<start + piece))
        }
        start += piece
      }
      try backend.synchronize()
      result.append(tensor)
    }
    return result
  }
}

/// Random bits of a 16-bit type: values of both signs between 1/64 and 1/4.
private enum RandomBits {
  static let count = 1 << 20

  static func table(_ type: DataType) -> [UInt16] {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    return (0..<count).map { _ in
      // xorshift64 (Marsaglia 2003).
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      let value = Float(state >> 40) * 0x1p-24 * 0.234375 + 0.015625
      let signed = state & 1 == 0 ? value : -value
      return type == .bfloat16 ? BFloat16(signed).bitPattern : Float16(signed).bitPattern
    }
  }
}

/// The integers of an attention step, and the memory they lie in.
private final class AttentionStep {
  let batch: AttentionBatch
  private let backend: KernelBackend
  private let kept: [Tensor]

  init(
    _ backend: KernelBackend, sequences: Int, rows: Int, keys: Int, blocks: Int
  ) throws(KernelError) {
    self.backend = backend
    func make(_ values: [Int32], _ shape: Shape) throws(KernelError) -> Tensor {
      try Self.integers(values, shape, backend)
    }
    let starts = try make((0...sequences).map { Int32($0 * rows) }, Shape(sequences + 1))
    let lengths = try make(Array(repeating: Int32(keys), count: sequences), Shape(sequences))
    let tables = try make((0..<sequences * blocks).map { Int32($0) }, Shape(sequences, blocks))
    kept = [starts, lengths, tables]
    batch = AttentionBatch(
      queryStarts: starts.view, contextLengths: lengths.view, blockTables: tables.view,
      sequenceCount: sequences, maxQueryLength: rows, maxContextLength: keys,
      decodes: rows == 1 ? .init(rows: repeatElement(1, count: sequences)) : .init())
  }

  func integers(_ values: [Int32], _ shape: Shape) throws(KernelError) -> Tensor {
    try Self.integers(values, shape, backend)
  }

  private static func integers(
    _ values: [Int32], _ shape: Shape, _ backend: KernelBackend
  ) throws(KernelError) -> Tensor {
    let tensor = Tensor(
      storage: try backend.allocate(byteCount: values.count * 4), shape: shape, dataType: .int32)
    try unsafe values.withUnsafeBufferPointer { values throws(KernelError) in
      try unsafe backend.upload(UnsafeRawBufferPointer(values), to: tensor.view)
    }
    try backend.synchronize()
    return tensor
  }
}
