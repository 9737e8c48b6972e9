internal import Compute
internal import Numerics
internal import Scheduling

/// What a step sends to the device: one block of host memory, copied once.
///
/// ```
/// | tokens T | positions T | slots G · T | queryStarts S+1 | contextLengths S | logitRows R | sources S | blockTables … |
/// | angles of streams | settings of sampling |
/// ```
/// `sources` says which tokens are on the device only (`StepPlan.tokenSources`); −1 for those that are here. Angles belong
/// to `StreamingPositions`, settings to the backend's `TokenSampler`. G is the number of tables a sequence has.
///
/// Parts are packed, so a decode step of few sequences is a copy of a few hundred bytes. Where the integers lie depends
/// on the step's numbers of tokens, sequences and logit rows only, so a recorded graph of kernels can be replayed.
struct StepInputs {
  /// Where each part begins, in integers.
  struct Layout: Equatable {
    let tokens = 0
    let positions: Int
    let slots: Int
    /// From the slots of one group of layers to those of the next.
    let slotStride: Int
    let queryStarts: Int
    let contextLengths: Int
    let logitRows: Int
    let tokenSources: Int
    let blockTables: Int

    init(tokens: Int, sequences: Int, logitRows rows: Int, groups: Int) {
      var end = 0
      func part(_ count: Int) -> Int {
        defer { end += (count + 3) & ~3 }
        return end
      }
      slotStride = (tokens + 3) & ~3
      _ = part(tokens)
      positions = part(tokens)
      slots = part(groups * slotStride)
      queryStarts = part(sequences + 1)
      contextLengths = part(sequences)
      logitRows = part(rows)
      tokenSources = part(sequences)
      blockTables = end
    }

    init(_ plan: borrowing StepPlan) {
      self.init(
        tokens: plan.tokens.count, sequences: plan.contextLengths.count, logitRows: plan.logitRows.count,
        groups: plan.groupCount)
    }
  }

  /// The most that a step may send.
  struct Capacity: Equatable {
    let logitRows: Int
    /// Integers of block tables.
    let tables: Int
    let byteCount: Int

    /// - Parameters:
    ///   - groups: tables of a sequence.
    ///   - angleBytes: of streams.
    ///   - settingsBytes: of sampling; they come last.
    init(
      _ limits: ModelLimits, groups: Int, angleBytes: Int, settingsBytes: Int
    ) throws(ModelError) {
      logitRows = limits.maxBatchTokens
      // Rows are longer than the tables in them, so that they need not be laid out anew with every block.
      let (tables, overflow) = (groups * limits.maxSequences).multipliedReportingOverflow(
        by: StepPlan.stride(forBlocks: limits.maxBlocksPerSequence))
      guard !overflow, tables <= 1 << 40 else {
        throw .limit(
          name: "the sequence limit", found: limits.maxSequences, allowed: "less for this model length")
      }
      self.tables = tables
      let largest = Layout(
        tokens: limits.maxBatchTokens, sequences: limits.maxSequences, logitRows: limits.maxBatchTokens,
        groups: groups)
      byteCount = Self.aligned(4 * (largest.blockTables + tables)) + Self.aligned(angleBytes) + settingsBytes
    }

    static func aligned(_ bytes: Int) -> Int { (bytes + 15) & ~15 }
  }

  let capacity: Capacity
  let block: any StepBlock
  /// Of the last step.
  private(set) var layout = Layout(tokens: 0, sequences: 0, logitRows: 0, groups: 1)

  init(_ capacity: Capacity, _ block: any StepBlock) {
    self.capacity = capacity
    self.block = block
  }

  /// Lays out the integers of a step, whose plan has been checked to fit.
  mutating func arrange(_ layout: Layout) { self.layout = layout }

  /// Writes the plan's arrays as they have been laid out.
  ///
  /// - Parameter rows: sequences of one token to fill a step of decoding up to: they have no key, and write no slot.
  /// - Returns: the bytes that were written.
  func write(
    _ plan: borrowing StepPlan, decodePaddedTo rows: Int? = nil, to host: UnsafeMutableRawPointer
  ) -> Int {
    let integers = unsafe host.assumingMemoryBound(to: Int32.self)
    func put(_ values: [Int32], at start: Int) { put(values[...], at: start) }
    func put(_ values: ArraySlice<Int32>, at start: Int) {
      unsafe values.withUnsafeBufferPointer { values in
        guard let source = values.baseAddress else { return }
        unsafe (integers + start).update(from: source, count: values.count)
      }
    }
    put(plan.tokens, at: layout.tokens)
    put(plan.positions, at: layout.positions)
    let tokens = plan.tokens.count
    for group in 0..<plan.groupCount {
      put(
        plan.slots[group * tokens..<(group + 1) * tokens], at: layout.slots + group * layout.slotStride)
    }
    put(plan.queryStarts, at: layout.queryStarts)
    put(plan.contextLengths, at: layout.contextLengths)
    put(plan.logitRows, at: layout.logitRows)
    put(plan.tokenSources, at: layout.tokenSources)
    put(plan.blockTables, at: layout.blockTables)
    var used = layout.blockTables + plan.blockTables.count
    if let rows {
      for row in plan.tokenSources.count..<Swift.max(rows, plan.tokenSources.count) {
        unsafe integers[layout.tokenSources + row] = -1
      }
      for row in plan.tokens.count..<Swift.max(rows, plan.tokens.count) {
        unsafe integers[layout.tokens + row] = 0
        unsafe integers[layout.positions + row] = 0
        for group in 0..<plan.groupCount {
          unsafe integers[layout.slots + group * layout.slotStride + row] = -1
        }
        unsafe integers[layout.queryStarts + row + 1] = Int32(row + 1)
        unsafe integers[layout.contextLengths + row] = 0
        unsafe integers[layout.logitRows + row] = Int32(row)
      }
      // No key, so nobody reads their part of the tables.
      let end = layout.blockTables + rows * plan.groupCount * plan.blockTableStride
      for index in used..<Swift.max(used, end) { unsafe integers[index] = 0 }
      used = Swift.max(used, end)
    }
    return 4 * used
  }

  /// int32 `[count]`, on the device.
  func view(_ start: Int, _ count: Int) -> TensorView {
    unsafe TensorView(address: block.address + start * 4, shape: Shape(count), dataType: .int32)
  }

  /// int32 `[sequences, stride]`, a row with the tables of all groups.
  func blockTables(sequences: Int, stride: Int) -> TensorView {
    unsafe TensorView(
      address: block.address + layout.blockTables * 4, shape: Shape(sequences, stride), dataType: .int32)
  }
}
