import CPUBackend
import Compute
import Numerics
import TestSupport

/// Places host arrays on a backend and reads them back; keeps their memory alive.
final class Workbench {
  let backend: CPUBackend
  private var kept: [Storage] = []
  private var generator: SeededGenerator

  init(
    seed: UInt64 = 1, threads: Int = 2, instructionSet: InstructionSet? = nil,
    productType: DataType = .float32
  ) {
    backend = CPUBackend(threads: threads, instructionSet: instructionSet, productType: productType)
    generator = SeededGenerator(seed: seed)
  }

  /// Values in −1..<1.
  func random(_ count: Int) -> [Float] { generator.floats(count) }

  func random(_ range: Range<Int>) -> Int { Int.random(in: range, using: &generator) }

  /// A view of `[rows, columns]` whose rows lie `stride` apart, the gaps filled with NaN.
  func matrix(
    _ values: [Float], _ rows: Int, _ columns: Int, stride: Int? = nil, type: DataType = .float32
  ) throws -> TensorView {
    let stride = stride ?? columns
    var padded = [Float](repeating: .nan, count: rows * stride)
    for row in 0..<rows {
      for column in 0..<columns { padded[row * stride + column] = values[row * columns + column] }
    }
    let whole = try place(padded, Shape(rows, stride), type)
    return stride == columns ? whole : whole.columns(0..<columns)
  }

  func vector(_ values: [Float], type: DataType = .float32) throws -> TensorView {
    try place(values, Shape(values.count), type)
  }

  func tensor(_ values: [Float], _ shape: Shape, type: DataType) throws -> Tensor {
    let view = try place(values, shape, type)
    return unsafe Tensor(
      storage: Storage(
        borrowing: UnsafeRawBufferPointer(start: view.address, count: values.count * type.byteCount),
        owner: self),
      shape: shape, dataType: type)
  }

  func integers(_ values: [Int32], rows: Int? = nil) throws -> TensorView {
    let shape = rows.map { Shape($0, values.count / max($0, 1)) } ?? Shape(values.count)
    let storage = try backend.allocate(byteCount: values.count * 4)
    kept.append(storage)
    let view = unsafe TensorView(address: storage.address, shape: shape, dataType: .int32)
    unsafe try values.withUnsafeBytes { unsafe try backend.upload($0, to: view) }
    return view
  }

  private func place(_ values: [Float], _ shape: Shape, _ type: DataType) throws -> TensorView {
    let storage = try backend.allocate(byteCount: values.count * type.byteCount)
    kept.append(storage)
    let view = unsafe TensorView(address: storage.address, shape: shape, dataType: type)
    switch type {
    case .float16: try upload(values.map { Float16($0).bitPattern }, view)
    case .bfloat16: try upload(values.map { BFloat16($0).bitPattern }, view)
    default: try upload(values, view)
    }
    return view
  }

  private func upload<Element>(_ values: [Element], _ view: TensorView) throws {
    unsafe try values.withUnsafeBytes { unsafe try backend.upload($0, to: view) }
  }

  func read(_ view: TensorView) throws -> [Float] {
    var values = [Float](repeating: 0, count: view.shape.elementCount)
    unsafe try values.withUnsafeMutableBytes { unsafe try backend.download(view, to: $0) }
    return values
  }
}

/// What a value becomes when it is stored as `type`.
func rounded(_ value: Float, to type: DataType) -> Float {
  switch type {
  case .float16: Float(Float16(value))
  case .bfloat16: BFloat16(value).float
  default: value
  }
}

/// The largest |found − expected|, each divided by what is allowed there; NaN counts as infinite.
func worst(_ found: [Float], _ expected: [Double], allowed: (Int) -> Double) -> Double {
  guard found.count == expected.count else { return .infinity }
  var worst = 0.0
  for index in found.indices {
    let ratio = abs(Double(found[index]) - expected[index]) / allowed(index)
    if !(ratio <= worst) { worst = ratio.isNaN ? .infinity : ratio }
  }
  return worst
}

func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }
