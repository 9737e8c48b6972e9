package import Numerics

/// Why the parts of a quantised weight do not make one. The reader that found them adds the module's name.
package enum StoreError: Error, Equatable, Sendable {
  case shape(operand: String, found: [Int], expected: [Int])
  case type(operand: String, found: DataType, supported: [DataType])
  case bits(Int, supported: [Int])
  /// Groups have to divide a row: no format says what a group over the end would mean.
  case groupSize(Int, inputs: Int)
  case partialBlock(inputs: Int, block: Int)
  case indexOutOfRange(operand: String, index: Int, value: Int, limit: Int)
  /// Act-order: group `group` has `count` channels where every group has `expected`.
  case unevenGroup(group: Int, count: Int, expected: Int)
  case notAscending(operand: String, index: Int)
  /// A permutation has this value twice.
  case repeated(operand: String, index: Int, value: Int)
  /// NaN or infinity where a number belongs.
  case notFinite(operand: String, index: Int)
  case notQuantised(GGMLType)
  /// 2:4: of the four inputs from `input` on, `kept` are kept where there have to be two.
  case maskRun(row: Int, input: Int, kept: Int)
  case maskBehindRow(row: Int, inputs: Int)
  /// The values of a sparse row begin elsewhere than where the mask ends the row before it.
  case rowOffset(row: Int, found: Int, expected: Int)

  // What a backend has no kernel for.
  case blockType(GGMLType, supported: [GGMLType])
  case groupMultiple(Int, of: Int)
  /// Integer activations need zeros that are integers.
  case realZerosWithIntegers
}

extension StoreError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .shape(let operand, let found, let expected):
      "\(operand) has shape \(found), expected \(expected)"
    case .type(let operand, let found, let supported):
      "\(operand) has type \(found.rawValue); supported: "
        + supported.map(\.rawValue).joined(separator: ", ")
    case .bits(let bits, let supported):
      "codes of \(bits) bits; supported: \(supported.map(String.init).joined(separator: ", "))"
    case .groupSize(let size, let inputs):
      "a group size of \(size) does not divide the \(inputs) inputs of a row"
    case .partialBlock(let inputs, let block):
      "a row of \(inputs) inputs is no whole number of blocks of \(block)"
    case .indexOutOfRange(let operand, let index, let value, let limit):
      "\(operand)[\(index)] is \(value), outside 0..<\(limit)"
    case .unevenGroup(let group, let count, let expected):
      "group \(group) has \(count) input channels where each has \(expected)"
    case .notAscending(let operand, let index):
      "\(operand)[\(index)] is smaller than the one before it"
    case .repeated(let operand, let index, let value):
      "\(operand)[\(index)] is \(value), which came before"
    case .notFinite(let operand, let index): "\(operand)[\(index)] is no finite number"
    case .notQuantised(let type): "\(type.name) is not a quantised type"
    case .maskRun(let row, let input, let kept):
      "bitmask of row \(row) keeps \(kept) of the inputs \(input)..<\(input + 4), where 2:4 keeps 2"
    case .maskBehindRow(let row, let inputs):
      "bitmask of row \(row) has bits set behind the last of its \(inputs) inputs"
    case .rowOffset(let row, let found, let expected):
      "row_offsets[\(row)] is \(found), but the bitmask of the rows before it ends at \(expected)"
    case .blockType(let type, let supported):
      "no kernel for \(type.name) blocks; there are some for "
        + supported.map(\.name).joined(separator: ", ")
    case .groupMultiple(let size, let unit):
      "a group size of \(size) is no multiple of \(unit), and the kernels need that"
    case .realZerosWithIntegers: "zeros that are no integers cannot be used with integer activations"
    }
  }
}

/// Checks shared by the stores' initialisers.
enum StoreChecks {
  static let scaleTypes: [DataType] = [.float16, .bfloat16, .float32]

  static func tensor(
    _ tensor: Tensor, _ operand: String, _ shape: [Int], _ types: [DataType]
  ) throws(StoreError) {
    guard types.contains(tensor.dataType) else {
      throw .type(operand: operand, found: tensor.dataType, supported: types)
    }
    guard tensor.shape.array == shape else {
      throw .shape(operand: operand, found: tensor.shape.array, expected: shape)
    }
  }

  /// The elements of an int32 tensor, each in `0..<limit`.
  static func indices(_ tensor: Tensor, _ operand: String, limit: Int) throws(StoreError) -> [Int] {
    let values = tensor.integers
    for (index, value) in values.enumerated() where value < 0 || value >= limit {
      throw .indexOutOfRange(operand: operand, index: index, value: value, limit: limit)
    }
    return values
  }

  /// Every number below `count` once.
  static func permutation(_ tensor: Tensor, _ operand: String, count: Int) throws(StoreError) {
    var seen = [Bool](repeating: false, count: count)
    for (index, value) in try indices(tensor, operand, limit: count).enumerated() {
      if seen[value] { throw .repeated(operand: operand, index: index, value: value) }
      seen[value] = true
    }
  }

  static func finite(_ tensor: Tensor, _ operand: String) throws(StoreError) {
    for index in 0..<tensor.shape.elementCount where !tensor.float(at: index).isFinite {
      throw .notFinite(operand: operand, index: index)
    }
  }
}

extension Tensor {
  /// Element `index` in row-major order, widened.
  ///
  /// - Precondition: a floating-point type in host memory.
  package func float(at index: Int) -> Float {
    let base = unsafe UnsafeRawPointer(view.address)
    switch dataType {
    case .float32: return unsafe base.loadUnaligned(fromByteOffset: index * 4, as: Float.self)
    case .float16:
      return unsafe Float(float16Bits: base.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
    case .bfloat16:
      return unsafe Float(bfloat16Bits: base.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
    case .float8E4M3:
      return unsafe Float8E4M3(bitPattern: base.load(fromByteOffset: index, as: UInt8.self)).float
    case .float8E5M2:
      return unsafe Float8E5M2(bitPattern: base.load(fromByteOffset: index, as: UInt8.self)).float
    case .float64, .int64, .int32, .int16, .int8, .uint8, .bool:
      preconditionFailure("\(dataType.rawValue) elements are not read as float32")
    }
  }

  /// As many elements as fit from `start` on, widened, with one look at the type for all of them.
  @unsafe
  func copyFloats(from start: Int, into target: UnsafeMutableBufferPointer<Float>) {
    let base = unsafe UnsafeRawPointer(view.address)
    switch dataType {
    case .float16:
      let source = unsafe base + start * 2
      for index in target.indices {
        unsafe target[index] = Float(
          float16Bits: source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
      }
    case .bfloat16:
      let source = unsafe base + start * 2
      for index in target.indices {
        unsafe target[index] = Float(
          bfloat16Bits: source.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
      }
    default: for index in target.indices { unsafe target[index] = float(at: start + index) }
    }
  }

  /// - Precondition: uint8, int32 or int64 in host memory.
  package func integer(at index: Int) -> Int {
    let base = unsafe UnsafeRawPointer(view.address)
    switch dataType {
    case .uint8: return unsafe Int(base.load(fromByteOffset: index, as: UInt8.self))
    case .int64:
      return unsafe Int(base.loadUnaligned(fromByteOffset: index * 8, as: Int64.self))
    case .int32: return unsafe Int(base.loadUnaligned(fromByteOffset: index * 4, as: Int32.self))
    default: preconditionFailure("\(dataType.rawValue) elements are not read as integers")
    }
  }

  /// All elements of an integer tensor.
  package var integers: [Int] { (0..<shape.elementCount).map { integer(at: $0) } }

  /// All elements of a float tensor, widened.
  package var floats: [Float] { (0..<shape.elementCount).map { float(at: $0) } }
}
