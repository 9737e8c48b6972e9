import CPUBackend
import Compute
import Numerics

/// What a right GPU looks like from outside: activations of a 16-bit type, float32 arithmetic, one rounding of each
/// result. The CPU does the arithmetic. `fault` changes the results of operations, to see who notices.
final class RoundingCandidate: Backend {
  private let inner = CPUBackend(threads: 1)
  let activationType: DataType
  /// Called with an operation's name and its float results before they are rounded.
  var fault: (String, inout [Float]) -> Void = { _, _ in }

  /// The float copies of the last operations: a view alone keeps nothing alive.
  private var kept: [Storage] = []
  /// Additions are refused.
  var refuses = false

  init(_ type: DataType) { activationType = type }

  var name: String { "rounding" }
  var sharesHostMemory: Bool { true }

  func allocate(byteCount: Int) throws(KernelError) -> Storage { try inner.allocate(byteCount: byteCount) }
  func place(_ tensor: Tensor) throws(KernelError) -> Tensor {
    try converted(tensor, activationType)
  }
  func place(_ weight: LinearWeight) throws(KernelError) -> LinearWeight {
    // Codes have one value for every device.
    guard case .dense(let tensor) = weight.store else { return try inner.place(weight) }
    return LinearWeight(dense: try converted(tensor, activationType), bias: weight.bias)
  }
  func makeKVCache(_ geometry: KVCacheGeometry) throws(KernelError) -> any KVCache {
    try inner.makeKVCache(geometry)
  }
  func upload(_ bytes: UnsafeRawBufferPointer, to destination: TensorView) throws(KernelError) {
    try unsafe inner.upload(bytes, to: destination)
  }
  func download(_ source: TensorView, to bytes: UnsafeMutableRawBufferPointer) throws(KernelError) {
    try unsafe inner.download(source, to: bytes)
  }
  func synchronize() throws(KernelError) {}

  func embed(
    tokens: TensorView, table: TensorView, positions: TensorView?, positionTable: TensorView?,
    into output: TensorView
  ) throws(KernelError) {
    let wide = try widened(output)
    try inner.embed(
      tokens: tokens, table: table, positions: positions, positionTable: positionTable, into: wide.view)
    try narrow("embed", wide, output)
  }

  func norm(
    _ parameters: NormParameters, residual: TensorView, adding input: TensorView?, into output: TensorView
  ) throws(KernelError) {
    let sum = try widened(residual)
    if let input {
      try inner.add(try widened(input).view, to: sum.view)
      try narrow("residual", sum, residual)
    }
    let wide = try widened(output)
    try inner.norm(parameters, residual: try widened(residual).view, adding: nil, into: wide.view)
    try narrow("norm", wide, output)
  }

  func linear(
    _ input: TensorView, _ weight: LinearWeight, accumulate: Bool, into output: TensorView
  ) throws(KernelError) {
    let wide = try widened(output)
    try inner.linear(try widened(input).view, weight, accumulate: accumulate, into: wide.view)
    try narrow("linear", wide, output)
  }

  func place(_ updates: [LowRankUpdate?]) throws(KernelError) -> LowRankGroup {
    let (down, ranks) = try LowRankGroup.stacked(updates.compactMap { $0 }, OperandChecks("place"))
    var members: [LowRankGroup.Member] = []
    for (target, update) in updates.enumerated() {
      guard let update else { continue }
      members.append(
        LowRankGroup.Member(
          target: target, ranks: ranks[members.count], up: try place(LinearWeight(dense: update.up)),
          scale: update.scale))
    }
    return LowRankGroup(down: try place(LinearWeight(dense: down)), members: members)
  }

  /// What lies between the two products is rounded, too.
  func add(
    _ runs: [LowRankRun], of input: TensorView, through shrunk: TensorView, to outputs: [TensorView]
  ) throws(KernelError) {
    for run in runs {
      let all = shrunk.rows(run.rows).columns(0..<run.group.down.outputs)
      let wide = try widened(all)
      try inner.linear(
        try widened(input.rows(run.rows)).view, run.group.down, accumulate: false, into: wide.view)
      for member in run.group.members {
        let part = all.columns(member.ranks)
        try write(try read(wide.view.columns(member.ranks)).map { member.scale * $0 }, part)
        let rows = outputs[member.target].rows(run.rows)
        let sum = try widened(rows)
        try inner.linear(try widened(part).view, member.up, accumulate: true, into: sum.view)
        try narrow("addLowRank", sum, rows)
      }
    }
  }

  func rope(
    _ parameters: RopeParameters, positions: TensorView, query: TensorView, key: TensorView
  ) throws(KernelError) {
    let (q, k) = (try widened(query), try widened(key))
    try inner.rope(parameters, positions: positions, query: q.view, key: k.view)
    try narrow("rope", q, query)
    try narrow("rope", k, key)
  }

  func appendKV(
    key: TensorView, value: TensorView, slots: TensorView, cache: any KVCache, layer: Int
  ) throws(KernelError) {
    try inner.appendKV(
      key: try widened(key).view, value: try widened(value).view, slots: slots, cache: cache, layer: layer)
  }

  func attention(
    _ parameters: AttentionParameters, query: TensorView, cache: any KVCache, layer: Int,
    batch: AttentionBatch, into output: TensorView
  ) throws(KernelError) {
    let wide = try widened(output)
    var batch = batch
    if let sinkQuery = batch.sinkQuery { batch.sinkQuery = try widened(sinkQuery).view }
    try inner.attention(
      parameters, query: try widened(query).view, cache: cache, layer: layer, batch: batch, into: wide.view)
    try narrow("attention", wide, output)
  }

  func activation(
    _ activation: Activation, gate: TensorView, up: TensorView?, into output: TensorView
  ) throws(KernelError) {
    let wide = try widened(output)
    var wideUp: Tensor?
    if let up { wideUp = try widened(up) }
    try inner.activation(activation, gate: try widened(gate).view, up: wideUp?.view, into: wide.view)
    try narrow("activation", wide, output)
  }

  func gatherRows(_ input: TensorView, rows: TensorView, into output: TensorView) throws(KernelError) {
    let wide = try widened(output)
    try inner.gatherRows(try widened(input).view, rows: rows, into: wide.view)
    try narrow("gatherRows", wide, output)
  }

  func add(_ input: TensorView, to accumulator: TensorView) throws(KernelError) {
    if refuses { throw .unsupported(operation: "add", reason: "no such kernel") }
    let wide = try widened(accumulator)
    try inner.add(try widened(input).view, to: wide.view)
    try narrow("add", wide, accumulator)
  }

  // MARK: Types

  private func widened(_ view: TensorView) throws(KernelError) -> Tensor {
    let values = try read(view)
    let tensor = Tensor(
      storage: try allocate(byteCount: values.count * 4), shape: view.shape, dataType: .float32)
    // No operation has more operands than this.
    if kept.count == 8 { kept.removeFirst() }
    kept.append(tensor.storage)
    try write(values, tensor.view)
    return tensor
  }

  private func narrow(_ operation: String, _ wide: Tensor, _ view: TensorView) throws(KernelError) {
    var values = try read(wide.view)
    fault(operation, &values)
    try write(values, view)
  }

  private func converted(_ tensor: Tensor, _ type: DataType) throws(KernelError) -> Tensor {
    let values = try read(tensor.view)
    let result = Tensor(
      storage: try allocate(byteCount: values.count * type.byteCount), shape: tensor.shape, dataType: type)
    try write(values, result.view)
    return result
  }

  private func read(_ view: TensorView) throws(KernelError) -> [Float] {
    let count = view.shape.elementCount
    if view.dataType == .float32 {
      var values = [Float](repeating: 0, count: count)
      try unsafe values.withUnsafeMutableBufferPointer { values throws(KernelError) in
        try unsafe inner.download(view, to: UnsafeMutableRawBufferPointer(values))
      }
      return values
    }
    var bits = [UInt16](repeating: 0, count: count)
    try unsafe bits.withUnsafeMutableBufferPointer { bits throws(KernelError) in
      try unsafe inner.download(view, to: UnsafeMutableRawBufferPointer(bits))
    }
    return view.dataType == .bfloat16
      ? bits.map { Float(bfloat16Bits: $0) } : bits.map { Float(float16Bits: $0) }
  }

  private func write(_ values: [Float], _ view: TensorView) throws(KernelError) {
    switch view.dataType {
    case .bfloat16: try send(values.map { BFloat16($0).bitPattern }, view)
    case .float16: try send(values.map { Float16($0).bitPattern }, view)
    default: try send(values, view)
    }
  }

  private func send<Element>(_ values: [Element], _ view: TensorView) throws(KernelError) {
    try unsafe values.withUnsafeBufferPointer { values throws(KernelError) in
      try unsafe inner.upload(UnsafeRawBufferPointer(values), to: view)
    }
  }
}
