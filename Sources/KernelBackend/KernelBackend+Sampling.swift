internal import CKernels
package import Compute
internal import Numerics

extension KernelBackend: SamplingBackend {
  package func makeTokenSampler(
    _ capacity: SamplingCapacity, in block: (any StepBlock)?
  ) throws(KernelError) -> any TokenSampler {
    try KernelTokenSampler(self, capacity, block)
  }

  package func feed(
    _ sampled: TensorView, sources: TensorView, into tokens: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("feed")
    try checks.vector(sampled, "sampled", count: sampled.rows, types: [.int32])
    try checks.vector(sources, "sources", count: tokens.rows, types: [.int32])
    try checks.vector(tokens, "tokens", count: tokens.rows, types: [.int32])
    var arguments = try unsafe gpi_kernel_feed(
      element: GPI_KERNEL_FLOAT32, count: count(tokens.rows, "feed"), sources: sources.int32s,
      sampled: sampled.int32s, tokens: tokens.int32s)
    try unsafe launch(.feed, &arguments, "feed", describe: "\(tokens.rows) tokens")
  }
}
