/// The time of one operation, and what it had to do at least.
package struct KernelMeasurement: Sendable, Equatable {
  package let operation: String
  package let shape: String
  /// Of one operation.
  package let seconds: Double
  /// Read and written at least, by the algorithm: what a step of decoding is bound by.
  package let bytes: Int
  /// Multiplications and additions: what a prefill is bound by.
  package let operations: Int

  package init(operation: String, shape: String, seconds: Double, bytes: Int, operations: Int) {
    self.operation = operation
    self.shape = shape
    self.seconds = seconds
    self.bytes = bytes
    self.operations = operations
  }

  package var microseconds: Double { seconds * 1e6 }
  package var gigabytesPerSecond: Double { Double(bytes) / seconds / 1e9 }
  package var gigaflops: Double { Double(operations) / seconds / 1e9 }
}
