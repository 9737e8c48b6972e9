internal import Compute
package import Numerics

/// An operation of the `Backend` and `SamplingBackend` protocols, by the name that errors and reports give it.
package enum OperationName: String, Sendable, CaseIterable {
  case embed, norm, linear, rope, appendKV, attention, activation, gatherRows, add
  case sample, logprobs, feed, addLowRank
}

/// One operation on operands of one shape.
package struct OperationCase {
  package let operation: OperationName
  /// Shape and options, for people.
  package let shape: String
  /// What a candidate may be off by, given its element type.
  package let bound: (DataType) -> ErrorBound
  /// Of kernels that round more than the operation asks for, by the names of their variants.
  package var boundsOfVariants: [String: (DataType) -> ErrorBound] = [:]
  /// Makes the operands, enqueues the operation, and reads what it wrote.
  let run: (Bench) throws(KernelError) -> [Float]

  init(
    _ operation: OperationName, _ shape: String, _ bound: @escaping (DataType) -> ErrorBound,
    _ run: @escaping (Bench) throws(KernelError) -> [Float]
  ) {
    self.operation = operation
    self.shape = shape
    self.bound = bound
    self.run = run
  }

  init(
    _ operation: OperationName, _ shape: String, _ bound: ErrorBound,
    _ run: @escaping (Bench) throws(KernelError) -> [Float]
  ) {
    self.init(operation, shape, { _ in bound }, run)
  }
}
