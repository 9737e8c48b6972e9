internal import CKernels
internal import Compute
internal import Numerics

/// Samples on a device: one copy there with all settings of a step, kernels, one copy back with all results.
///
/// ```
/// settings   | how each row is drawn | what changes a row | rows with log-probabilities | edits | seen | masks |
///            written into pinned memory, of which there are two, so that the host fills one while the other is read
/// logits ────┬─────────────────────────────── sample ──┬─→ tokens, failures   by row of logits
///            └─ process_logits ─→ changed ─── sample ──┘         │
///               64 rows at a time                                │
/// logits ──────────────────────────────────── logprobs ←─────────┘
/// results    | tokens | failures | failures, log-probabilities, ranks | alternatives |   two pinned copies, too
/// ```
@safe
final class KernelTokenSampler: TokenSampler {
  let capacity: SamplingCapacity
  let tokens: TensorView
  private let backend: KernelBackend
  /// All device memory; the views below keep nothing alive.
  private let storage: Storage
  private let settings: UnsafeMutableRawPointer
  private let results: UnsafeMutableRawPointer
  private let changed: UnsafeMutablePointer<Float>
  private let broken: UnsafeMutablePointer<Int32>

  /// Pinned memory of one batch under way.
  private struct Slot {
    let settings: HostBuffer
    let results: HostBuffer
    let sent: KernelEvent
    let done: KernelEvent
  }
  private let slots: [Slot]
  private var enqueued = 0
  private var collected = 0

  init(_ backend: KernelBackend, _ capacity: SamplingCapacity) throws(KernelError) {
    try Self.check(capacity)
    let storage = try backend.allocate(byteCount: capacity.byteCount)
    let device = backend.stream.device
    var slots: [Slot] = []
    for _ in 0..<2 {
      slots.append(
        Slot(
          settings: try HostBuffer(device, byteCount: capacity.inputBytes),
          results: try HostBuffer(device, byteCount: capacity.resultBytes),
          sent: try KernelEvent(device), done: try KernelEvent(device)))
    }
    self.backend = backend
    self.capacity = capacity
    self.storage = storage
    self.slots = slots
    var offset = 0
    func part(_ bytes: Int) -> UnsafeMutableRawPointer {
      defer { offset = (offset + bytes + 255) & ~255 }
      return unsafe storage.address + offset
    }
    unsafe changed = part(4 * capacity.changedRows * capacity.changedStride)
      .assumingMemoryBound(to: Float.self)
    unsafe settings = part(capacity.inputBytes)
    unsafe results = part(capacity.resultBytes)
    unsafe broken = part(4 * capacity.changedRows).assumingMemoryBound(to: Int32.self)
    precondition(offset <= (capacity.byteCount + 255) & ~255, "the sampler's memory was planned too small")
    tokens = unsafe TensorView(address: results, shape: Shape(capacity.rows), dataType: .int32)
  }

  private static func check(_ capacity: SamplingCapacity) throws(KernelError) {
    let checks = OperandChecks("makeTokenSampler")
    let limit = SamplingCapacity.vocabularyLimit
    try checks.require(
      capacity.vocabularySize > 0 && capacity.vocabularySize < limit,
      "a vocabulary of \(capacity.vocabularySize) tokens; these kernels sample from 1 to \(limit - 1)")
    for (name, value) in [
      ("rows", capacity.rows), ("edits", capacity.edits), ("tokens of penalties", capacity.seenTokens),
      ("masks", capacity.masks), ("alternatives", capacity.alternatives),
    ] {
      try checks.require(value >= 0 && value <= 1 << 28 && (value > 0 || name != "rows"), "\(value) \(name)")
    }
  }

  func enqueue(
    _ batch: borrowing SamplingBatch, logits: TensorView, inputs: TensorView?
  ) throws(KernelError) {
    precondition(enqueued - collected < slots.count, "two batches are under way")
    precondition(batch.capacity == capacity, "a batch of another sampler")
    let checks = OperandChecks("sample")
    try checks.matrix(logits, "logits", columns: capacity.vocabularySize, types: [.float32])
    if let inputs { try checks.vector(inputs, "inputs", count: inputs.rows, types: [.int32]) }
    for (index, row) in batch.rows.enumerated() {
      let (source, fresh) = (Int(row.row), row.changes?.fresh ?? -1)
      if source >= logits.rows {
        throw .indexOutOfRange(
          operation: "sample", operand: "rows", index: index, value: source, limit: logits.rows)
      }
      if fresh >= inputs?.rows ?? 0 {
        throw .indexOutOfRange(
          operation: "sample", operand: "fresh", index: index, value: fresh, limit: inputs?.rows ?? 0)
      }
    }
    let slot = slots[enqueued % slots.count]
    if batch.isEmpty {
      // There is still a moment to wait for.
      try slot.done.record(on: backend.stream)
      enqueued += 1
      return
    }
    try slot.sent.wait(for: "sample", on: backend.stream)
    let layout = SamplingLayout(batch)
    unsafe layout.write(batch, to: slot.settings.base)
    try unsafe backend.stream.copy(
      "sample", to: settings, pitch: layout.byteCount, from: slot.settings.base, pitch: layout.byteCount,
      rowBytes: layout.byteCount, rows: 1)
    try slot.sent.record(on: backend.stream)

    let unchanged = batch.rows.count - batch.changedRows
    if unchanged > 0 {
      try unsafe draw(0..<unchanged, layout, from: logits.floats, stride: logits.rowStride, broken: nil)
    }
    var start = 0
    while start < batch.changedRows {
      let lot = start..<min(start + capacity.changedRows, batch.changedRows)
      try change(lot, layout, logits, inputs)
      try unsafe draw(
        unchanged + lot.lowerBound..<unchanged + lot.upperBound, layout, from: changed,
        stride: capacity.changedStride, broken: broken)
      start = lot.upperBound
    }
    if batch.logprobRows > 0 { try findLogprobs(batch.logprobRows, top: batch.alternatives, layout, logits) }

    let bytes = SamplingLayout.resultBytes(
      rows: capacity.rows, logprobRows: batch.logprobRows, top: batch.alternatives)
    try unsafe backend.stream.copy(
      "sample", to: slot.results.base, pitch: bytes, from: results, pitch: bytes, rowBytes: bytes, rows: 1)
    try slot.done.record(on: backend.stream)
    enqueued += 1
  }

  private func draw(
    _ rows: Range<Int>, _ layout: SamplingLayout, from logits: UnsafePointer<Float>, stride: Int,
    broken: UnsafePointer<Int32>?
  ) throws(KernelError) {
    let row = MemoryLayout<gpi_kernel_sampling_row>.stride
    var arguments = try unsafe gpi_kernel_sample(
      element: GPI_KERNEL_FLOAT32, rows: backend.count(rows.count, "sample"),
      vocabulary: backend.count(capacity.vocabularySize, "sample"), logits: logits, stride: Int64(stride),
      settings: (settings + rows.lowerBound * row).assumingMemoryBound(to: gpi_kernel_sampling_row.self),
      broken: broken, tokens: integers(0), failures: integers(capacity.rows))
    try unsafe backend.launch(
      .sample, &arguments, "sample", describe: "\(capacity.vocabularySize) tokens")
  }

  private func change(
    _ rows: Range<Int>, _ layout: SamplingLayout, _ logits: TensorView, _ inputs: TensorView?
  ) throws(KernelError) {
    let row = MemoryLayout<gpi_kernel_logits_row>.stride
    var arguments = try unsafe gpi_kernel_process_logits(
      element: GPI_KERNEL_FLOAT32, rows: backend.count(rows.count, "sample"),
      vocabulary: backend.count(capacity.vocabularySize, "sample"), input: logits.floats,
      input_stride: Int64(logits.rowStride), output: changed, output_stride: Int64(capacity.changedStride),
      settings: (settings + layout.changes + rows.lowerBound * row)
        .assumingMemoryBound(to: gpi_kernel_logits_row.self),
      masks: (settings + layout.masks).assumingMemoryBound(to: UInt32.self),
      edits: (settings + layout.edits).assumingMemoryBound(to: gpi_kernel_logit_edit.self),
      seen: (settings + layout.seen).assumingMemoryBound(to: gpi_kernel_seen_token.self),
      tokens: inputs?.int32s, broken: broken)
    try unsafe backend.launch(
      .processLogits, &arguments, "sample", describe: "\(capacity.vocabularySize) tokens")
  }

  private func findLogprobs(
    _ count: Int, top: Int, _ layout: SamplingLayout, _ logits: TensorView
  ) throws(KernelError) {
    let first = 2 * capacity.rows
    var arguments = try unsafe gpi_kernel_logprobs(
      element: GPI_KERNEL_FLOAT32, rows: backend.count(count, "sample"),
      vocabulary: backend.count(capacity.vocabularySize, "sample"), top: backend.count(top, "sample"),
      logits: logits.floats, stride: Int64(logits.rowStride),
      sources: (settings + layout.logprobRows).assumingMemoryBound(to: Int32.self), tokens: integers(0),
      logprobs: (results + 4 * (first + count)).assumingMemoryBound(to: Float.self),
      ranks: integers(first + 2 * count), top_tokens: integers(first + 3 * count),
      top_logprobs: (results + 4 * (first + 3 * count + count * top)).assumingMemoryBound(to: Float.self),
      failures: integers(first))
    try unsafe backend.launch(
      .logprobs, &arguments, "sample",
      describe: "\(capacity.vocabularySize) tokens and \(top) alternatives")
  }

  private func integers(_ offset: Int) -> UnsafeMutablePointer<Int32> {
    unsafe (results + 4 * offset).assumingMemoryBound(to: Int32.self)
  }

  func collect(
    _ batch: borrowing SamplingBatch, into found: inout SamplingResults
  ) throws(KernelError) {
    precondition(collected < enqueued, "no batch is under way")
    let slot = slots[collected % slots.count]
    try slot.done.wait(for: "sample", on: backend.stream)
    collected += 1
    found.removeAll()
    let integers = unsafe UnsafePointer(slot.results.base.assumingMemoryBound(to: Int32.self))
    let (first, count, top) = (2 * capacity.rows, batch.logprobRows, batch.alternatives)
    var place = 0
    for row in batch.rows {
      let target = Int(row.row)
      var entry = unsafe SamplingResults.Entry(
        token: integers[target],
        failure: SamplingResults.Failure(code: integers[capacity.rows + target]))
      if let wanted = row.alternatives {
        if entry.failure == nil {
          entry.failure = unsafe SamplingResults.Failure(code: integers[first + place])
        }
        if entry.failure == nil {
          let start = found.tokens.count
          for index in 0..<min(wanted, top) {
            let at = first + 3 * count + place * top + index
            unsafe found.appendAlternative(
              integers[at], Float(bitPattern: UInt32(bitPattern: integers[at + count * top])))
          }
          entry.logprobs = unsafe SamplingResults.Logprobs(
            logprob: Float(bitPattern: UInt32(bitPattern: integers[first + count + place])),
            rank: integers[first + 2 * count + place], alternatives: start..<found.tokens.count)
        }
        place += 1
      }
      found.append(entry)
    }
  }
}

extension SamplingResults.Failure {
  fileprivate init?(code: Int32) {
    switch code {
    case Int32(GPI_KERNEL_SAMPLED.rawValue): return nil
    case Int32(GPI_KERNEL_NOT_FINITE.rawValue): self = .notFinite
    case Int32(GPI_KERNEL_NOTHING_ALLOWED.rawValue): self = .nothingAllowed
    default: self = .unknown(code)
    }
  }
}
