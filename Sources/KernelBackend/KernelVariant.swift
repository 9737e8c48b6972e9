internal import CKernels
package import Numerics

/// The operations of the kernel table.
package enum KernelOperation: String, Sendable, CaseIterable {
  case rmsNorm = "rms_norm"
  case layerNorm = "layer_norm"
  case rope
  case append
  case activation
  case add
  case embedding
  case linear
  /// Attention of any number of query rows a sequence.
  case prefill
  /// Attention of few query rows a sequence.
  case decode
  /// A product with a weight that `repack` has laid out.
  case quantizedLinear = "quantized_linear"
  case repack
  case gatherColumns = "gather_columns"
  case processLogits = "process_logits"
  case sample
  case logprobs
  /// Sampled tokens as the next step's inputs.
  case feed
  /// Updates of several adapters, each of its own rows.
  case lowRank = "low_rank"

  /// Whether it may write to the output of a norm or an activation before the products that read it have.
  var mayWriteActivations: Bool {
    switch self {
    case .linear, .quantizedLinear, .lowRank: false
    default: true
    }
  }

  var code: gpi_kernel_op {
    switch self {
    case .rmsNorm: GPI_KERNEL_RMS_NORM
    case .layerNorm: GPI_KERNEL_LAYER_NORM
    case .rope: GPI_KERNEL_ROPE
    case .append: GPI_KERNEL_APPEND
    case .activation: GPI_KERNEL_ACTIVATION
    case .add: GPI_KERNEL_ADD
    case .embedding: GPI_KERNEL_EMBEDDING
    case .linear: GPI_KERNEL_LINEAR
    case .prefill: GPI_KERNEL_PREFILL
    case .decode: GPI_KERNEL_DECODE
    case .quantizedLinear: GPI_KERNEL_QUANTIZED_LINEAR
    case .repack: GPI_KERNEL_REPACK
    case .gatherColumns: GPI_KERNEL_GATHER_COLUMNS
    case .processLogits: GPI_KERNEL_PROCESS_LOGITS
    case .sample: GPI_KERNEL_SAMPLE
    case .logprobs: GPI_KERNEL_LOGPROBS
    case .feed: GPI_KERNEL_FEED
    case .lowRank: GPI_KERNEL_LOW_RANK
    }
  }
}

/// One way of computing an operation; of those that take the arguments the first is used.
package struct KernelVariant: Sendable, Equatable {
  /// Its place in the table.
  package let index: Int
  package let name: String
  package let operation: KernelOperation
  /// Devices it runs on: 10 · major + minor of their compute capability.
  package let capabilities: ClosedRange<Int>
  package let types: [DataType]
  /// A sentence about the shapes it takes.
  package let takes: String

  init(_ index: Int, _ description: gpi_kernel_variant) {
    let code = unsafe description.op
    guard let operation = KernelOperation.allCases.first(where: { $0.code == code }) else {
      preconditionFailure("a table of this version has no operation \(code.rawValue)")
    }
    self.index = index
    self.operation = operation
    name = unsafe String(cString: description.name)
    takes = unsafe String(cString: description.takes)
    capabilities = unsafe Int(description.first_capability)...Int(description.last_capability)
    let elements = unsafe description.elements
    types = [DataType.bfloat16, .float16, .float32].filter { type in
      elements >> type.element.rawValue & 1 != 0
    }
  }
}

extension DataType {
  /// - Precondition: float32, float16 or bfloat16.
  var element: gpi_kernel_element {
    switch self {
    case .bfloat16: GPI_KERNEL_BFLOAT16
    case .float16: GPI_KERNEL_FLOAT16
    default: GPI_KERNEL_FLOAT32
    }
  }
}
