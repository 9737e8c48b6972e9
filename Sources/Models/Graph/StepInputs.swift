internal import Compute
internal import Numerics
internal import Scheduling

/// The integers of a step on the device: one block of host memory, copied once a step.
///
/// ```
/// | tokens T | positions T | slots T | queryStarts S+1 | contextLengths S | logitRows T | sources S | blockTables … |
/// ```
/// `sources` says which tokens are on the device only (`StepPlan.tokenSources`); −1 for those that are here.
///
/// Each part has a fixed place, so a recorded graph of kernels can be replayed; the block tables come last because
/// only their used part is copied.
struct StepInputs {
  struct Layout: Equatable {
    let tokens: Int
    let positions: Int
    let slots: Int
    let queryStarts: Int
    let contextLengths: Int
    let logitRows: Int
    let tokenSources: Int
    let blockTables: Int
    /// Logit rows that fit.
    let rowCapacity: Int
    /// Integers in all.
    let count: Int

    init(_ limits: ModelLimits) throws(ModelError) {
      var end = 0
      func part(_ count: Int) -> Int {
        defer { end += (count + 3) & ~3 }
        return end
      }
      tokens = part(limits.maxBatchTokens)
      positions = part(limits.maxBatchTokens)
      slots = part(limits.maxBatchTokens)
      queryStarts = part(limits.maxSequences + 1)
      contextLengths = part(limits.maxSequences)
      rowCapacity = limits.maxBatchTokens
      logitRows = part(limits.maxBatchTokens)
      tokenSources = part(limits.maxSequences)
      blockTables = end
      // Rows are longer than the tables in them, so that they need not be laid out anew with every block.
      let (tables, overflow) = limits.maxSequences.multipliedReportingOverflow(
        by: StepPlan.stride(forBlocks: limits.maxBlocksPerSequence))
      guard !overflow, tables <= 1 << 40 else {
        throw .limit(
          name: "the sequence limit", found: limits.maxSequences, allowed: "less for this model length")
      }
      count = end + tables
    }

    /// Integers of block tables that fit.
    var tableCapacity: Int { count - blockTables }
  }

  let layout: Layout
  /// int32 `[layout.count]`, on the device.
  let device: TensorView
  private var staging: [Int32]

  init(layout: Layout, device: TensorView) {
    self.layout = layout
    self.device = device
    staging = Array(repeating: 0, count: layout.count)
  }

  /// Copies the plan's arrays to the device. The plan has been checked to fit.
  ///
  /// - Parameter rows: sequences of one token to fill a step of decoding up to: they have no key, and write no slot.
  mutating func upload(
    _ plan: borrowing StepPlan, decodePaddedTo rows: Int? = nil, to backend: any Backend
  ) throws(KernelError) {
    put(plan.tokens, at: layout.tokens)
    put(plan.positions, at: layout.positions)
    put(plan.slots, at: layout.slots)
    put(plan.queryStarts, at: layout.queryStarts)
    put(plan.contextLengths, at: layout.contextLengths)
    put(plan.logitRows, at: layout.logitRows)
    put(plan.tokenSources, at: layout.tokenSources)
    put(plan.blockTables, at: layout.blockTables)
    var used = layout.blockTables + plan.blockTables.count
    if let rows {
      for row in plan.tokenSources.count..<Swift.max(rows, plan.tokenSources.count) {
        staging[layout.tokenSources + row] = -1
      }
      for row in plan.tokens.count..<Swift.max(rows, plan.tokens.count) {
        staging[layout.tokens + row] = 0
        staging[layout.positions + row] = 0
        staging[layout.slots + row] = -1
        staging[layout.queryStarts + row + 1] = Int32(row + 1)
        staging[layout.contextLengths + row] = 0
        staging[layout.logitRows + row] = Int32(row)
      }
      // No key, so nobody reads their part of the tables.
      used = layout.blockTables + rows * plan.blockTableStride
    }
    try unsafe staging.withUnsafeBufferPointer { values throws(KernelError) in
      try unsafe backend.upload(
        UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: values[..<used])), to: row(used))
    }
  }

  /// The first integers as one row: one copy, where a vector may be copied element by element.
  private func row(_ count: Int) -> TensorView {
    unsafe TensorView(address: device.address, shape: Shape(1, count), dataType: .int32)
  }

  private mutating func put(_ values: [Int32], at start: Int) {
    unsafe values.withUnsafeBytes { source in
      unsafe staging.withUnsafeMutableBytes { target in
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[(start * 4)...]).copyMemory(from: source)
      }
    }
  }

  func view(_ start: Int, _ count: Int) -> TensorView { device.rows(start..<start + count) }

  /// int32 `[sequences, stride]`.
  func blockTables(sequences: Int, stride: Int) -> TensorView {
    unsafe TensorView(
      address: device.address + layout.blockTables * 4, shape: Shape(sequences, stride), dataType: .int32)
  }
}
