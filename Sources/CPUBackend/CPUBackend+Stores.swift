internal import CCPUBackend
internal import Compute
package import Numerics

/// Products with quantised weights, which stay as they are stored and are decoded a run at a time.
extension CPUBackend {
  package var blockTypes: [GGMLType] { GGMLType.allCases.filter { $0.storeCode != nil } }

  /// Checks every number of a store, so that the loops need not, and sorts act-order by group.
  func place(stored weight: LinearWeight) throws(KernelError) -> LinearWeight {
    do throws(StoreError) {
      try weight.store.validateValues()
      try requireSupported(weight.store)
      guard case .integer(let integer) = weight.store else { return weight }
      return try LinearWeight(
        .integer(try integer.sortedByGroup()), bias: weight.bias, correction: weight.correction)
    } catch {
      throw .unsupported(operation: "place", reason: "\(weight.store.summary): \(error)")
    }
  }

  private func requireSupported(_ store: LinearWeight.Store) throws(StoreError) {
    func groups(of size: Int, in inputs: Int) throws(StoreError) {
      // A vector of weights takes one scale.
      if size < inputs && size % 16 != 0 { throw .groupMultiple(size, of: 16) }
    }
    switch store {
    case .dense, .placed: break
    case .integer(let weight):
      try groups(of: weight.groupSize, in: weight.inputs)
      if case .reals = weight.zero, weight.activations != nil { throw .realZerosWithIntegers }
    case .spqr(let weight): try groups(of: weight.groupSize, in: weight.inputs)
    case .sparse(let weight):
      guard case .codes(let codes) = weight.values else { break }
      try groups(of: codes.groupSize, in: weight.inputs)
      if case .reals = codes.zero, codes.activations != nil { throw .realZerosWithIntegers }
    case .codebook(let weight): try groups(of: weight.groupSize, in: weight.inputs)
    case .float8(let weight): try groups(of: weight.blockColumns, in: weight.inputs)
    case .blocks(let weight):
      if weight.type.storeCode == nil {
        throw .blockType(weight.type, supported: blockTypes)
      }
    }
  }

  func linear(
    _ input: TensorView, stored weight: LinearWeight, accumulate: Bool, into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("linear")
    var store = unsafe gpi_store_args()
    unsafe store.group_rows = 1
    unsafe store.outlier_threshold = .infinity
    switch weight.store {
    case .dense, .placed: break
    case .integer(let integer):
      if case .grouped = integer.order {
        throw .unsupported(operation: "linear", reason: "act-order that was not placed")
      }
      unsafe Self.fill(&store, integer)
    case .spqr(let spqr): unsafe Self.fill(&store, spqr)
    case .sparse(let sparse): unsafe Self.fill(&store, sparse)
    case .codebook(let codebook): unsafe Self.fill(&store, codebook)
    case .float8(let float8): unsafe Self.fill(&store, float8)
    case .blocks(let blocks):
      guard let code = blocks.type.storeCode else { throw Self.unsupported(weight, "linear") }
      unsafe store.store = code
      unsafe store.codes = UnsafeRawPointer(blocks.blocks.view.address)
      unsafe store.row_bytes = blocks.blocks.shape[1]
      unsafe store.group = blocks.inputs
      unsafe store.groups = 1
    }
    var arguments = unsafe gpi_linear_args()
    unsafe arguments.input = UnsafePointer(input.floats)
    unsafe arguments.input_stride = input.rowStride
    unsafe arguments.input_type = productType == .bfloat16 ? GPI_BFLOAT16 : GPI_FLOAT32
    unsafe arguments.bias = weight.bias.map { unsafe UnsafeRawPointer($0.view.address) }
    unsafe arguments.bias_type = (weight.bias?.dataType ?? .float32).code
    unsafe arguments.output = output.floats
    unsafe arguments.output_stride = output.rowStride
    unsafe arguments.rows = input.rows
    unsafe arguments.inputs = weight.inputs
    unsafe arguments.outputs = weight.outputs
    unsafe arguments.accumulate = accumulate ? 1 : 0
    try checks.finish(unsafe gpi_linear_stored(context, &arguments, &store))
    if case .integer(let integer) = weight.store, let outliers = integer.outliers, outliers.count > 0 {
      try add(outliers, input, into: output)
    }
  }

  /// `output += input[:, indices] · columnsᵀ`.
  private func add(
    _ outliers: OutlierColumns, _ input: TensorView, into output: TensorView
  ) throws(KernelError) {
    let indices = unsafe outliers.indices.view.int32s
    let gathered = try temporary(rows: input.rows, columns: outliers.count)
    for row in 0..<input.rows {
      let source = unsafe input.floats + row * input.rowStride
      let target = unsafe gathered.floats + row * outliers.count
      for position in 0..<outliers.count {
        unsafe target[position] = source[Int(indices[position])]
      }
    }
    try linear(gathered, LinearWeight(dense: outliers.columns), accumulate: true, into: output)
  }

  /// `output += (input · Aᵀ) · Bᵀ`.
  func add(
    _ correction: LowRankCorrection, _ input: TensorView, into output: TensorView
  ) throws(KernelError) {
    let thin = try temporary(rows: input.rows, columns: correction.rank)
    try linear(input, LinearWeight(dense: correction.a), accumulate: false, into: thin)
    try linear(thin, LinearWeight(dense: correction.b), accumulate: true, into: output)
  }

  /// Memory that lasts until the next call of this.
  private func temporary(rows: Int, columns: Int) throws(KernelError) -> TensorView {
    let bytes = rows * columns * 4
    if temporaryStorage.map({ $0.byteCount < bytes }) ?? true {
      temporaryStorage = try allocate(byteCount: bytes)
    }
    guard let storage = temporaryStorage else {
      throw .outOfMemory(requestedBytes: bytes, availableBytes: nil)
    }
    return unsafe TensorView(address: storage.address, shape: Shape(rows, columns), dataType: .float32)
  }
}

// MARK: - Stores as the C loops see them

extension CPUBackend {
  @unsafe
  private static func fill(_ store: inout gpi_store_args, _ weight: IntegerWeight) {
    unsafe store.store = GPI_STORE_INTEGER
    unsafe store.bits = Int32(weight.bits)
    unsafe setCodes(&store, weight.codes)
    unsafe setScales(&store, weight.scales, group: weight.groupSize)
    unsafe setZeros(&store, weight.zero)
    if case .permuted(let order) = weight.order {
      unsafe store.order = UnsafePointer(order.view.int32s)
    }
    if let outliers = weight.outliers {
      unsafe store.zeroed = UnsafePointer(outliers.indices.view.int32s)
      unsafe store.zeroed_count = outliers.count
    }
    unsafe setRounding(&store, weight.activations)
  }

  @unsafe
  private static func fill(_ store: inout gpi_store_args, _ weight: SparseWeight) {
    unsafe store.store = GPI_STORE_SPARSE
    unsafe store.mask = UnsafePointer(weight.mask.view.address.assumingMemoryBound(to: UInt8.self))
    unsafe store.mask_bytes = weight.maskWidth
    if case .rows(let starts) = weight.pattern {
      unsafe store.starts = UnsafePointer(starts.view.address.assumingMemoryBound(to: Int64.self))
    }
    let values: Tensor
    switch weight.values {
    case .floats(let kept):
      values = kept
      unsafe store.value_type = kept.dataType.code
      unsafe store.group = weight.inputs
      unsafe store.groups = 1
    case .codes(let codes):
      values = codes.words
      unsafe store.bits = Int32(codes.bits)
      unsafe setScales(&store, codes.scales, group: codes.groupSize)
      unsafe setZeros(&store, codes.zero)
      unsafe setRounding(&store, codes.activations)
    }
    unsafe store.codes = UnsafeRawPointer(values.view.address)
    unsafe store.code_bytes = values.byteCount
    // Of rows of several lengths the mean: it only decides how many rows one thread takes at a time.
    unsafe store.row_bytes = values.byteCount / max(weight.outputs, 1)
  }

  @unsafe
  private static func setZeros(_ store: inout gpi_store_args, _ zero: IntegerWeight.Zero) {
    switch zero {
    case .midpoint: unsafe store.zero = GPI_ZERO_MIDPOINT
    case .integers(let zeros):
      unsafe store.zero = GPI_ZERO_INTEGERS
      unsafe store.zeros = UnsafeRawPointer(zeros.view.address)
    case .reals(let zeros):
      unsafe store.zero = GPI_ZERO_REALS
      unsafe store.zeros = UnsafeRawPointer(zeros.view.address)
      unsafe store.zero_type = zeros.dataType.code
    }
  }

  @unsafe
  private static func setRounding(_ store: inout gpi_store_args, _ activations: IntegerActivations?) {
    switch activations {
    case nil: break
    case .token(let threshold):
      unsafe store.rounding = GPI_INT8_TOKEN
      unsafe store.outlier_threshold = threshold ?? .infinity
    case .tensor(let scale, let zero):
      unsafe store.rounding = GPI_INT8_TENSOR
      unsafe store.rounding_scale = scale
      unsafe store.rounding_zero = Int32(zero)
    }
  }

  @unsafe
  private static func fill(_ store: inout gpi_store_args, _ weight: SpQRWeight) {
    unsafe store.store = GPI_STORE_SPQR
    unsafe store.bits = Int32(weight.bits)
    unsafe setCodes(&store, weight.codes)
    unsafe store.group = weight.groupSize
    unsafe store.groups = weight.groups
    unsafe store.group_rows = weight.blockRows
    unsafe store.statistic_bits = Int32(weight.statisticBits)
    unsafe store.statistic_words = weight.scaleCodes.shape[1]
    unsafe store.scale_codes = UnsafePointer(
      weight.scaleCodes.view.address.assumingMemoryBound(to: UInt32.self))
    unsafe store.zero_codes = UnsafePointer(
      weight.zeroCodes.view.address.assumingMemoryBound(to: UInt32.self))
    unsafe store.scale_scales = UnsafeRawPointer(weight.scaleGrid.scale.view.address)
    unsafe store.scale_scales_type = weight.scaleGrid.scale.dataType.code
    unsafe store.scale_zeros = UnsafeRawPointer(weight.scaleGrid.zero.view.address)
    unsafe store.scale_zeros_type = weight.scaleGrid.zero.dataType.code
    unsafe store.zero_scales = UnsafeRawPointer(weight.zeroGrid.scale.view.address)
    unsafe store.zero_scales_type = weight.zeroGrid.scale.dataType.code
    unsafe store.zero_zeros = UnsafeRawPointer(weight.zeroGrid.zero.view.address)
    unsafe store.zero_zeros_type = weight.zeroGrid.zero.dataType.code
    unsafe store.outlier_rows = UnsafePointer(weight.outliers.rowStarts.view.int32s)
    unsafe store.outlier_columns = UnsafePointer(weight.outliers.columns.view.int32s)
    unsafe store.outlier_values = UnsafeRawPointer(weight.outliers.values.view.address)
    unsafe store.outlier_type = weight.outliers.values.dataType.code
    if let order = weight.order { unsafe store.order = UnsafePointer(order.view.int32s) }
  }

  @unsafe
  private static func fill(_ store: inout gpi_store_args, _ weight: CodebookWeight) {
    unsafe store.store = GPI_STORE_CODEBOOK
    unsafe store.bits = 4
    unsafe setCodes(&store, weight.codes)
    unsafe setScales(&store, weight.scales, group: weight.groupSize)
    unsafe store.table = UnsafePointer(weight.table.view.floats)
  }

  @unsafe
  private static func fill(_ store: inout gpi_store_args, _ weight: Float8Weight) {
    unsafe store.store = GPI_STORE_FLOAT8
    unsafe setCodes(&store, weight.codes)
    unsafe setScales(&store, weight.scales, group: min(weight.blockColumns, weight.inputs))
    unsafe store.group_rows = weight.blockRows
    switch weight.activations {
    case nil: break
    case .token:
      unsafe store.rounding = GPI_FLOAT8_GROUPS
      unsafe store.rounding_group = weight.inputs
    case .group(let size):
      unsafe store.rounding = GPI_FLOAT8_GROUPS
      unsafe store.rounding_group = size
    case .tensor(let scale):
      unsafe store.rounding = GPI_FLOAT8_TENSOR
      unsafe store.rounding_scale = scale
    }
  }

  @unsafe
  private static func setCodes(_ store: inout gpi_store_args, _ codes: Tensor) {
    unsafe store.codes = UnsafeRawPointer(codes.view.address)
    unsafe store.row_bytes = codes.shape[1] * codes.dataType.byteCount
  }

  @unsafe
  private static func setScales(_ store: inout gpi_store_args, _ scales: Tensor, group: Int) {
    unsafe store.scales = UnsafeRawPointer(scales.view.address)
    unsafe store.scale_type = scales.dataType.code
    unsafe store.scale_count = scales.shape.elementCount
    unsafe store.group = group
    unsafe store.groups = scales.shape[1]
  }
}

extension GGMLType {
  /// nil for types that the C loops do not decode.
  fileprivate var storeCode: gpi_store? {
    switch self {
    case .q40: GPI_STORE_Q4_0
    case .q80: GPI_STORE_Q8_0
    case .q4K: GPI_STORE_Q4_K
    case .q6K: GPI_STORE_Q6_K
    default: nil
    }
  }
}
