package import Numerics

/// How the tensors of one linear layer hold its weight.
package enum LinearScheme: Sendable, Equatable {
  /// AutoGPTQ and GPTQModel. `groupSize` nil: one scale an output. v1 stores zeros less one.
  case gptq(bits: Int, groupSize: Int?, symmetric: Bool, isVersion1: Bool)
  case awq(groupSize: Int?, AWQLayout)
  case compressedTensors(CompressedTensors)
  /// `compressed` floats and a bit mask.
  case sparse(SparsePattern)
  /// LLM.int8: threshold nil where it is 0.
  case bitsandbytesInt8(threshold: Float?)
  case bitsandbytes4Bit
  case gguf(GGMLType)

  package enum SparsePattern: String, Sendable, Equatable, CaseIterable {
    case twoOfFour = "2:4"
    case unstructured
  }

  package enum AWQLayout: Sendable, Equatable {
    case gemm, gemv
  }

  /// One `config_groups` entry of compressed-tensors.
  package struct CompressedTensors: Sendable, Equatable {
    package enum Layout: Sendable, Equatable {
      /// `weight_packed`: words of unsigned codes.
      case packed
      /// `weight` int8.
      case integers
      /// `weight` E4M3.
      case floats
      /// Packed codes of the weights that a mask keeps: gpuinfer's own.
      case sparsePacked(SparsePattern)
      /// gpuinfer's own planes of SpQR.
      case spqr(statisticBits: Int, blockRows: Int)
    }

    package enum Strategy: Sendable, Equatable {
      case tensor, channel
      case group(Int)
      case block(rows: Int, columns: Int)
    }

    /// `input_activations`.
    package enum Activations: Sendable, Equatable {
      /// int8 or E4M3, by each token; channels of int8 from a threshold on are left alone (gpuinfer's own).
      case token(outlierThreshold: Float?)
      /// By a stored scale, and for int8 a stored zero unless symmetric.
      case staticTensor(symmetric: Bool)
      case group(Int)
    }

    package var layout: Layout
    package var bits: Int
    package var symmetric: Bool
    package var strategy: Strategy
    /// `actorder` "group": there is a `weight_g_idx`.
    package var isGroupedByIndex: Bool
    package var activations: Activations?
  }

  /// For listings and messages.
  package var name: String {
    switch self {
    case .gptq(let bits, _, _, let isVersion1): "GPTQ \(isVersion1 ? "v1" : "v2"), \(bits) bits"
    case .awq(_, let layout): "AWQ \(layout)"
    case .compressedTensors(let scheme):
      switch scheme.layout {
      case .packed: "compressed-tensors pack-quantized, \(scheme.bits) bits"
      case .integers: "compressed-tensors int-quantized, \(scheme.bits) bits"
      case .floats: "compressed-tensors float-quantized"
      case .sparsePacked(let pattern): "\(pattern.rawValue) sparse codes, \(scheme.bits) bits"
      case .spqr: "SpQR, \(scheme.bits) bits"
      }
    case .sparse(let pattern): "\(pattern.rawValue) sparse"
    case .bitsandbytesInt8: "bitsandbytes int8"
    case .bitsandbytes4Bit: "bitsandbytes 4-bit"
    case .gguf(let type): type.name
    }
  }
}
