import JSON
import Testing

func expectError<Value>(
  _ kind: JSONError.Kind, at byteOffset: Int, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> Value
) throws {
  let error = try #require(
    #expect(throws: JSONError.self, sourceLocation: sourceLocation) { try body() },
    sourceLocation: sourceLocation)
  #expect(error.kind == kind, sourceLocation: sourceLocation)
  #expect(error.byteOffset == byteOffset, sourceLocation: sourceLocation)
}
