internal import Compute
internal import Numerics

extension ModuleTensors {
  /// The blocks of a GGUF tensor, rows in Hugging Face's order.
  func readBlocks(_ linear: QuantizedLinear, _ type: GGMLType) throws(ReadFailure) -> BlockWeight {
    let raw: RawTensor
    do throws(CheckpointError) { raw = try checkpoint.blockTensor("\(module).weight") } catch {
      throw .checkpoint(error)
    }
    let rowBytes = linear.inputs / type.blockElements * type.blockBytes
    return try make { () throws(StoreError) in
      try BlockWeight(
        outputs: linear.outputs, inputs: linear.inputs, type: type,
        blocks: unsafe Tensor(
          storage: Storage(borrowing: raw.bytes, owner: raw.owner), shape: Shape(linear.outputs, rowBytes),
          dataType: .uint8))
    }
  }
}
