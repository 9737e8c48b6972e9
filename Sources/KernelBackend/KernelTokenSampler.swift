internal import CKernels
internal import Compute
internal import Numerics

/// Samples on a device: settings that come with the step's own numbers, kernels, one copy back with all results.
///
/// ```
/// settings   | how each row is drawn | what changes a row | rows with log-probabilities | edits | seen |
///            part of the step's block, in one copy with its tokens
/// masks      in pinned memory, where the kernel reads each once, over the bus, while it reads the row: they are known
///            only after the launch, and a copy of their own would stand between the step and its sampling
/// logits ────┬─────────────────────────────── sample ──┬─→ tokens, failures   by row of logits
///            └─ process_logits ─→ changed ─── sample ──┘         │
///               64 rows at a time                                │
/// logits ──────────────────────────────────── logprobs ←─────────┘
/// results    | tokens | failures | failures, log-probabilities, ranks | alternatives |
///            into pinned memory, of which there are two, so that the host reads one while the other is written
/// ```
@safe
final class KernelTokenSampler: TokenSampler {
  let capacity: SamplingCapacity
  let tokens: TensorView
  private let backend: KernelBackend
  /// All device memory; the views below keep nothing alive.
  private let storage: Storage
  private let block: any StepBlock
  /// Of the next batch to be enqueued, when its settings are in what the step sends: where they begin, and what they take.
  private var written: Range<Int>?
  private let results: UnsafeMutableRawPointer
  private let changed: UnsafeMutablePointer<Float>
  private let broken: UnsafeMutablePointer<Int32>

  /// Pinned memory of one batch under way.
  private struct Slot {
    let results: HostBuffer
    let masks: HostBuffer
    /// The results are there, and the masks have been read.
    let done: KernelEvent
  }
  private let slots: [Slot]
  private var enqueued = 0
  private var collected = 0

  init(
    _ backend: KernelBackend, _ capacity: SamplingCapacity, _ block: (any StepBlock)?
  ) throws(KernelError) {
    try Self.check(capacity)
    if let block {
      precondition(block.byteCount >= capacity.inputBytes, "a block without room for settings")
      self.block = block
    } else {
      self.block = try backend.makeStepBlock(
        in: backend.allocate(byteCount: capacity.inputBytes), from: 0, byteCount: capacity.inputBytes)
    }
    let storage = try backend.allocate(byteCount: capacity.byteCount)
    let device = backend.stream.device
    var slots: [Slot] = []
    for _ in 0..<2 {
      slots.append(
        Slot(
          results: try HostBuffer(device, byteCount: capacity.resultBytes),
          masks: try HostBuffer(
            device, byteCount: max(16, 4 * SamplingLayout.maskStride(capacity) * capacity.masks)),
          done: try KernelEvent(device)))
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
    let layout = SamplingLayout(batch)
    let place: Range<Int>
    if let written {
      precondition(written.count == layout.byteCount, "another batch was written")
      place = written
      self.written = nil
    } else {
      let end = try unsafe write(batch, to: block.open(), from: block.byteCount - capacity.inputBytes)
      place = end - layout.byteCount..<end
      written = nil
      try block.send(place)
    }
    let settings = unsafe block.address + place.lowerBound
    // A slot is free: its last batch has been collected.
    unsafe SamplingLayout.writeMasks(batch, to: slot.masks.base)
    let masks = batch.masks.isEmpty ? nil : unsafe slot.masks.base.assumingMemoryBound(to: UInt32.self)

    let unchanged = batch.rows.count - batch.changedRows
    if unchanged > 0 {
      try unsafe draw(0..<unchanged, settings, from: logits.floats, stride: logits.rowStride, broken: nil)
    }
    var start = 0
    while start < batch.changedRows {
      let lot = start..<min(start + capacity.changedRows, batch.changedRows)
      try unsafe change(lot, layout, settings, masks, logits, inputs)
      try unsafe draw(
        unchanged + lot.lowerBound..<unchanged + lot.upperBound, settings, from: changed,
        stride: capacity.changedStride, broken: broken)
      start = lot.upperBound
    }
    if batch.logprobRows > 0 {
      let rows = unsafe (settings + layout.logprobRows).assumingMemoryBound(to: Int32.self)
      try unsafe findLogprobs(batch.logprobRows, top: batch.alternatives, rows, logits)
    }

    let bytes = SamplingLayout.resultBytes(
      rows: capacity.rows, logprobRows: batch.logprobRows, top: batch.alternatives)
    try unsafe backend.stream.fetch(
      "sample", to: slot.results.base, pitch: bytes, from: results, pitch: bytes, rowBytes: bytes, rows: 1)
    try slot.done.record(on: backend.stream)
    enqueued += 1
  }

  func write(
    _ batch: borrowing SamplingBatch, to host: UnsafeMutableRawPointer, from offset: Int
  ) -> Int {
    written = nil
    if batch.isEmpty { return offset }
    let layout = SamplingLayout(batch)
    let start = (offset + 15) & ~15
    let end = start + layout.byteCount
    precondition(end <= block.byteCount, "settings that go past the end of their block")
    unsafe layout.write(batch, to: host + start)
    written = start..<end
    return end
  }

  private func draw(
    _ rows: Range<Int>, _ settings: UnsafeMutableRawPointer, from logits: UnsafePointer<Float>, stride: Int,
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
    _ rows: Range<Int>, _ layout: SamplingLayout, _ settings: UnsafeMutableRawPointer,
    _ masks: UnsafePointer<UInt32>?, _ logits: TensorView, _ inputs: TensorView?
  ) throws(KernelError) {
    let row = MemoryLayout<gpi_kernel_logits_row>.stride
    var arguments = try unsafe gpi_kernel_process_logits(
      element: GPI_KERNEL_FLOAT32, rows: backend.count(rows.count, "sample"),
      vocabulary: backend.count(capacity.vocabularySize, "sample"), input: logits.floats,
      input_stride: Int64(logits.rowStride), output: changed, output_stride: Int64(capacity.changedStride),
      settings: (settings + layout.changes + rows.lowerBound * row)
        .assumingMemoryBound(to: gpi_kernel_logits_row.self),
      masks: masks,
      edits: (settings + layout.edits).assumingMemoryBound(to: gpi_kernel_logit_edit.self),
      seen: (settings + layout.seen).assumingMemoryBound(to: gpi_kernel_seen_token.self),
      tokens: inputs?.int32s, broken: broken)
    try unsafe backend.launch(
      .processLogits, &arguments, "sample", describe: "\(capacity.vocabularySize) tokens")
  }

  private func findLogprobs(
    _ count: Int, top: Int, _ rows: UnsafePointer<Int32>, _ logits: TensorView
  ) throws(KernelError) {
    let first = 2 * capacity.rows
    var arguments = try unsafe gpi_kernel_logprobs(
      element: GPI_KERNEL_FLOAT32, rows: backend.count(count, "sample"),
      vocabulary: backend.count(capacity.vocabularySize, "sample"), top: backend.count(top, "sample"),
      logits: logits.floats, stride: Int64(logits.rowStride),
      sources: rows, tokens: integers(0),
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
