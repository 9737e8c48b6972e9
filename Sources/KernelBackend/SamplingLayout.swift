internal import CKernels
internal import Compute

/// Where the settings of a batch lie in the block that a step sends, which is packed anew each time; each part
/// starts at a multiple of 16 bytes.
///
/// ```
/// | sampling rows: unchanged ones, then changed ones | logits rows | rows with log-probabilities | edits | seen |
/// ```
struct SamplingLayout {
  let changes: Int
  let logprobRows: Int
  let edits: Int
  let seen: Int
  let byteCount: Int

  init(_ batch: borrowing SamplingBatch) {
    var end = 0
    func part(_ bytes: Int) -> Int {
      let start = end
      end = (end + bytes + 15) & ~15
      return start
    }
    _ = part(batch.rows.count * MemoryLayout<gpi_kernel_sampling_row>.stride)
    changes = part(batch.changedRows * MemoryLayout<gpi_kernel_logits_row>.stride)
    logprobRows = part(batch.logprobRows * 4)
    edits = part(batch.edits.count * MemoryLayout<gpi_kernel_logit_edit>.stride)
    seen = part(batch.seen.count * MemoryLayout<gpi_kernel_seen_token>.stride)
    byteCount = end
    precondition(end <= batch.capacity.inputBytes, "settings larger than what was planned for them")
  }

  /// - Precondition: `byteCount` bytes at `base`.
  @unsafe func write(_ batch: borrowing SamplingBatch, to base: UnsafeMutableRawPointer) {
    let sampling = unsafe base.assumingMemoryBound(to: gpi_kernel_sampling_row.self)
    let logits = unsafe (base + changes).assumingMemoryBound(to: gpi_kernel_logits_row.self)
    let sources = unsafe (base + logprobRows).assumingMemoryBound(to: Int32.self)
    let firstChanged = batch.rows.count - batch.changedRows
    // A lot of changed rows is a matrix of its own.
    let lot = batch.capacity.changedRows
    var (unchanged, changed, logprobs) = (0, 0, 0)
    for row in batch.rows {
      var settings = gpi_kernel_sampling_row(
        seed: row.seed, choice: row.choice, position: row.position, temperature: row.temperature,
        top_p: row.topP, min_p: row.minP, top_k: row.topK, row: row.row, target: row.row)
      if let changes = row.changes {
        settings.row = Int32(changed % lot)
        unsafe sampling[firstChanged + changed] = settings
        unsafe logits[changed] = gpi_kernel_logits_row(
          mask: Int32(changes.mask), first_edit: Int32(changes.edits.lowerBound),
          edits: Int32(changes.edits.count), first_seen: Int32(changes.seen.lowerBound),
          seen: Int32(changes.seen.count), repetition: changes.repetition, frequency: changes.frequency,
          presence: changes.presence, row: row.row, fresh: Int32(changes.fresh ?? -1))
        changed += 1
      } else {
        unsafe sampling[unchanged] = settings
        unchanged += 1
      }
      if row.alternatives != nil {
        unsafe sources[logprobs] = row.row
        logprobs += 1
      }
    }
    let edits = unsafe (base + self.edits).assumingMemoryBound(to: gpi_kernel_logit_edit.self)
    for index in batch.edits.indices {
      unsafe edits[index] = gpi_kernel_logit_edit(
        token: batch.edits[index].token, addend: batch.edits[index].addend)
    }
    let seen = unsafe (base + self.seen).assumingMemoryBound(to: gpi_kernel_seen_token.self)
    for index in batch.seen.indices {
      unsafe seen[index] = gpi_kernel_seen_token(
        token: batch.seen[index].token, in_output: batch.seen[index].inOutput)
    }
  }

  /// Words from one mask to the next, so that each starts at a multiple of 16 bytes.
  static func maskStride(_ capacity: SamplingCapacity) -> Int { (capacity.maskWords + 3) & ~3 }

  /// - Precondition: `maskStride` words a mask at `base`.
  @unsafe static func writeMasks(_ batch: borrowing SamplingBatch, to base: UnsafeMutableRawPointer) {
    let (words, stride) = (batch.capacity.maskWords, maskStride(batch.capacity))
    unsafe batch.masks.withUnsafeBytes { masks in
      guard let source = masks.baseAddress else { return }
      for number in 0..<masks.count / (4 * words) {
        unsafe (base + 4 * number * stride)
          .copyMemory(from: source + 4 * number * words, byteCount: 4 * words)
      }
    }
  }

  /// Bytes of the results, from the first on:
  ///
  /// ```
  /// tokens [rows] | failures [rows] | failures [n] | log-probabilities [n] | ranks [n] | tokens [n, top] | … [n, top]
  /// ```
  static func resultBytes(rows: Int, logprobRows: Int, top: Int) -> Int {
    4 * (2 * rows + logprobRows * (3 + 2 * top))
  }
}
