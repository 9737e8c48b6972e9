import Numerics
import Testing

@Suite struct ShapeTests {
  @Test(arguments: [[1], [7], [2, 3], [4, 1, 5], [2, 3, 4, 5], [0, 9]])
  func keepsItsExtents(extents: [Int]) {
    let shape = Shape(extents)
    #expect(shape.array == extents)
    #expect(shape.rank == extents.count)
    #expect(shape.elementCount == extents.reduce(1, *))
    #expect(extents.indices.allSatisfy { shape[$0] == extents[$0] })
  }

  @Test func sameExtentsButAnotherRankDiffer() {
    #expect(Shape(4) != Shape(4, 1))
    #expect(Shape(2, 3).description == "[2, 3]")
  }

  @Test func everyDataTypeHasItsSize() {
    let sizes = DataType.allCases.map { "\($0.rawValue) \($0.byteCount)" }
    #expect(
      sizes == [
        "float32 4", "float16 2", "bfloat16 2", "float64 8", "int64 8", "int32 4", "int16 2", "int8 1",
        "uint8 1", "bool 1", "float8E4M3 1", "float8E5M2 1",
      ])
  }
}
