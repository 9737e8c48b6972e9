import Checkpoints
import Foundation
import Numerics
import TestSupport
import Testing

@Suite struct RawTensorTests {
  /// A checkpoint with one tensor "x" of these bytes.
  private func tensor(_ type: DataType, _ shape: [Int], _ bytes: [UInt8]) throws -> RawTensor {
    let directory = try TemporaryDirectory()
    try directory.write("config.json", "{}")
    var writer = try SafetensorsWriter(
      path: directory.file("model.safetensors"), tensors: [.init(name: "x", dataType: type, shape: shape)])
    try writer.write("x", bytes)
    try writer.finish()
    return try Checkpoint.open(directory.path).rawTensor("x")
  }

  private func bytes<Number: FixedWidthInteger>(_ numbers: [Number]) -> [UInt8] {
    numbers.flatMap { number in
      stride(from: 0, to: Number.bitWidth, by: 8).map { UInt8(truncatingIfNeeded: number >> $0) }
    }
  }

  @Test func widensEveryFloatingPointType() throws {
    let values: [Float] = [0, 1, -2.5, 0.1875, 448]
    let float32 = try tensor(.float32, [5], bytes(values.map(\.bitPattern)))
    #expect(try float32.floats() == values)
    let float64 = try tensor(.float64, [5], bytes(values.map { (Double($0) + 1e-12).bitPattern }))
    #expect(try float64.floats() == values.map { Float(Double($0) + 1e-12) })
    let float16 = try tensor(.float16, [5], bytes(values.map { Float16($0).bitPattern }))
    #expect(try float16.floats() == values)
    let bfloat16 = try tensor(.bfloat16, [5], bytes(values.map { BFloat16($0).bitPattern }))
    #expect(try bfloat16.floats() == values)
    let e4m3 = try tensor(.float8E4M3, [5], values.map { Float8E4M3($0).bitPattern })
    #expect(try e4m3.floats() == values)
    let e5m2 = try tensor(.float8E5M2, [5], values.map { Float8E5M2($0).bitPattern })
    #expect(try e5m2.floats() == values)
  }

  @Test func readsEveryIntegerType() throws {
    #expect(try tensor(.int64, [2], bytes([Int64.min, 5])).integers() == [.min, 5])
    #expect(try tensor(.int32, [2], bytes([Int32.min, 5])).integers() == [Int64(Int32.min), 5])
    #expect(try tensor(.int16, [2], bytes([Int16(-7), 5])).integers() == [-7, 5])
    #expect(try tensor(.int8, [2], bytes([Int8(-7), 5])).integers() == [-7, 5])
    #expect(try tensor(.uint8, [2], [255, 5]).integers() == [255, 5])
    #expect(try tensor(.bool, [2], [1, 0]).integers() == [1, 0])
  }

  @Test func kindsAreNotMixed() throws {
    for type in DataType.allCases {
      let one = try tensor(type, [1], [UInt8](repeating: 0, count: type.byteCount))
      if type.isFloatingPoint {
        #expect(try one.floats() == [0])
        #expect(throws: CheckpointError.cannotConvert(name: "x", dataType: type.rawValue, to: "int64")) {
          try one.integers()
        }
      } else {
        #expect(try one.integers() == [0])
        #expect(throws: CheckpointError.cannotConvert(name: "x", dataType: type.rawValue, to: "float32")) {
          try one.floats()
        }
      }
    }
  }

  @Test func emptyTensorsAndScalarsWork() throws {
    #expect(try tensor(.float32, [3, 0], []).floats() == [])
    #expect(try tensor(.float32, [], bytes([Float(7).bitPattern])).floats() == [7])
    let empty = try tensor(.bfloat16, [0], [])
    let hasAddress = unsafe empty.withBytes { raw in unsafe raw.baseAddress != nil }
    #expect(hasAddress)
    #expect(empty.elementCount == 0)
  }

  /// Neither opening nor borrowing touches the data: 64 GiB of holes would not fit the memory.
  @Test func onlyTheHeaderIsRead() throws {
    let directory = try TemporaryDirectory()
    try directory.write("config.json", "{}")
    let size = 1 << 36
    var header = #"{"x":{"dtype":"F32","shape":[\#(size / 4 / 1024),1024],"data_offsets":[0,\#(size)]}}"#
    // Elements that are not aligned in the file would be copied.
    while header.utf8.count % 8 != 0 { header += " " }
    let path = try directory.write("model.safetensors", SafetensorsSamples.file(header: header))
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: UInt64(8 + header.utf8.count + size))
    let tensor = try Checkpoint.open(directory.path).rawTensor("x")
    let last = unsafe tensor.withBytes { raw in unsafe raw[size - 1] }
    #expect(last == 0)
    #expect(tensor.byteCount == size)
  }
}
