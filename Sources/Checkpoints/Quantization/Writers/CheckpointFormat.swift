/// The formats that quantised linear layers are written in.
package enum CheckpointFormat: String, Sendable, CaseIterable {
  case compressedTensors = "compressed-tensors"
  /// Zeros stored less one: what every loader of GPTQ reads.
  case gptq
  case gptqV2 = "gptq_v2"
  case awq
  /// Plain matrices, zeros written out: loads everywhere, saves nothing.
  case dense

  package static let names = allCases.map(\.rawValue)
}
