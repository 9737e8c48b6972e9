package import Compute
package import Numerics

/// Puts a case's operands on one backend and reads its results back.
///
/// Operands are given as floats that the candidate's type can hold, so both sides start from equal values.
package struct Bench {
  package let backend: any Backend
  /// Makes host tensors; its memory is the process's own.
  let host: any Backend
  /// The type that operands were rounded to, and in which weights and cached keys are stored on both sides.
  package let weightType: DataType
  let values: CaseValues
  /// What the operands lie in. A view alone keeps nothing alive, and a local tensor may go after its last use.
  private let kept = Kept()
  /// Run on absolute operands, for the bound.
  var absolute = false

  /// - Precondition: `host` shares the host's memory.
  init(_ backend: any Backend, host: any Backend, weightType: DataType, values: CaseValues) {
    precondition(host.sharesHostMemory, "host tensors need memory that the host can write")
    self.backend = backend
    self.host = host
    self.weightType = weightType
    self.values = values
  }

  func signed(_ values: [Float]) -> [Float] { absolute ? values.map(abs) : values }

  /// A tensor in the process's memory.
  func hostTensor(_ values: [Float], _ shape: Shape, _ type: DataType) throws(KernelError) -> Tensor {
    let tensor = Tensor(
      storage: try host.allocate(byteCount: shape.elementCount * type.byteCount), shape: shape, dataType: type
    )
    try Self.upload(values, to: tensor.view, of: host)
    return tensor
  }

  /// A table or a norm's vector, placed.
  func placed(_ values: [Float], _ shape: Shape, _ type: DataType) throws(KernelError) -> Tensor {
    let tensor = try backend.place(try hostTensor(values, shape, type))
    _ = keep(tensor.storage)
    return tensor
  }

  func linear(
    _ weight: [Float], outputs: Int, inputs: Int, bias: [Float]? = nil
  ) throws(KernelError) -> LinearWeight {
    var biasTensor: Tensor?
    if let bias { biasTensor = try hostTensor(bias, Shape(outputs), .float32) }
    let placed = try backend.place(
      LinearWeight(dense: try hostTensor(weight, Shape(outputs, inputs), weightType), bias: biasTensor))
    kept.weights.append(placed)
    return placed
  }

  /// A quantised weight. In the run on absolute operands it is the dense one of its weights' sizes.
  ///
  /// - Parameter correction: `A` and `B` of a low-rank correction of it.
  func linear(
    _ store: LinearWeight.Store, bias: [Float]? = nil, correction: (a: [Float], b: [Float])? = nil
  ) throws(KernelError) -> LinearWeight {
    var thin: LowRankCorrection?
    if let (a, b) = correction {
      let rank = a.count / store.inputs
      thin = LowRankCorrection(
        a: try hostTensor(a, Shape(rank, store.inputs), weightType),
        b: try hostTensor(b, Shape(store.outputs, rank), weightType))
    }
    let biasTensor = try bias.map { values throws(KernelError) in
      try hostTensor(values, Shape(values.count), .float32)
    }
    var given = store
    if absolute {
      let values = store.dequantized().map { abs($0) }
      given = .dense(try hostTensor(values, Shape(store.outputs, store.inputs), .float32))
    }
    var weight: LinearWeight
    do throws(StoreError) { weight = try LinearWeight(given, bias: biasTensor, correction: thin) } catch {
      throw .unsupported(operation: "linear", reason: "\(error)")
    }
    weight = try backend.place(weight)
    kept.weights.append(weight)
    return weight
  }

  func update(
    down: [Float], up: [Float], inputs: Int, outputs: Int, scale: Float
  ) throws(KernelError) -> LowRankUpdate {
    let rank = down.count / inputs
    return LowRankUpdate(
      down: try hostTensor(down, Shape(rank, inputs), .float32),
      up: try hostTensor(up, Shape(outputs, rank), .float32), scale: scale)
  }

  func group(_ updates: [LowRankUpdate?]) throws(KernelError) -> LowRankGroup {
    let placed = try backend.place(updates)
    kept.weights += [placed.down] + placed.members.map(\.up)
    return placed
  }

  /// An operand in the backend's activation type.
  ///
  /// - Parameter padding: columns of other memory after each row, as in a part of a fused projection.
  func activation(
    _ values: [Float], _ shape: Shape, padding: Int = 0
  ) throws(KernelError) -> Operand {
    try operand(values, shape, backend.activationType, padding: padding)
  }

  func floats(_ values: [Float], _ shape: Shape) throws(KernelError) -> Operand {
    try operand(values, shape, .float32, padding: 0)
  }

  func integers(_ values: [Int32], _ shape: Shape) throws(KernelError) -> Operand {
    let storage = keep(try backend.allocate(byteCount: shape.elementCount * 4))
    let view = unsafe TensorView(address: storage.address, shape: shape, dataType: .int32)
    if !values.isEmpty {
      try Self.send(values, to: view, of: backend)
    }
    return Operand(view: view)
  }

  /// Memory that holds NaN until it is written, so that an element nobody writes is seen.
  func output(_ shape: Shape, _ type: DataType? = nil, padding: Int = 0) throws(KernelError) -> Operand {
    try operand(
      [Float](repeating: .nan, count: shape.elementCount), shape, type ?? backend.activationType,
      padding: padding)
  }

  /// All elements, as floats.
  func read(_ view: TensorView) throws(KernelError) -> [Float] { try Self.download(view, from: backend) }

  private func operand(
    _ values: [Float], _ shape: Shape, _ type: DataType, padding: Int
  ) throws(KernelError) -> Operand {
    let columns = shape.rank == 1 ? 1 : shape[1]
    let width = columns + padding
    let storage = keep(try backend.allocate(byteCount: max(1, shape[0] * width) * type.byteCount))
    var view = unsafe TensorView(address: storage.address, shape: shape, dataType: type)
    if padding > 0 {
      let whole = unsafe TensorView(
        address: storage.address, shape: Shape(shape[0], width), dataType: type)
      // What lies beside an operand must not matter.
      try Self.upload([Float](repeating: .nan, count: shape[0] * width), to: whole, of: backend)
      view = whole.columns(0..<columns)
    }
    try Self.upload(values, to: view, of: backend)
    return Operand(view: view)
  }

  /// A view of memory that lives as long as the bench.
  struct Operand {
    let view: TensorView
  }

  private final class Kept {
    var storages: [Storage] = []
    var weights: [LinearWeight] = []
  }

  private func keep(_ storage: Storage) -> Storage {
    kept.storages.append(storage)
    return storage
  }
}

extension Bench {
  /// Copies floats into a view of any float type, rounding to nearest.
  static func upload(_ values: [Float], to view: TensorView, of backend: any Backend) throws(KernelError) {
    guard !values.isEmpty else { return }
    switch view.dataType {
    case .bfloat16:
      try send(values.map { BFloat16($0).bitPattern }, to: view, of: backend)
    case .float16:
      try send(values.map { Float16($0).bitPattern }, to: view, of: backend)
    default:
      try send(values, to: view, of: backend)
    }
  }

  private static func send<Element>(
    _ elements: [Element], to view: TensorView, of backend: any Backend
  ) throws(KernelError) {
    try unsafe elements.withUnsafeBufferPointer { elements throws(KernelError) in
      try unsafe backend.upload(UnsafeRawBufferPointer(elements), to: view)
    }
    // The array may go once this returns.
    try backend.synchronize()
  }

  static func download(_ view: TensorView, from backend: any Backend) throws(KernelError) -> [Float] {
    let count = view.shape.elementCount
    guard count > 0 else { return [] }
    if view.dataType == .float32 {
      var floats = [Float](repeating: 0, count: count)
      try unsafe floats.withUnsafeMutableBufferPointer { elements throws(KernelError) in
        try unsafe backend.download(view, to: UnsafeMutableRawBufferPointer(elements))
      }
      return floats
    }
    var bits = [UInt16](repeating: 0, count: count)
    try unsafe bits.withUnsafeMutableBufferPointer { elements throws(KernelError) in
      try unsafe backend.download(view, to: UnsafeMutableRawBufferPointer(elements))
    }
    return view.dataType == .bfloat16
      ? bits.map { Float(bfloat16Bits: $0) } : bits.map { Float(float16Bits: $0) }
  }
}
