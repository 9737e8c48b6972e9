package import Numerics

/// Enqueues operations on one device, in order, and returns; only `synchronize` and `download` wait.
///
/// Equal inputs give equal bits on the same backend, and a row's result never depends on which other rows are
/// in the batch. Operands are checked: each call throws `KernelError` with operation, shapes and types and then
/// has enqueued nothing. A backend belongs to the thread that made it.
///
/// Shapes: `T` tokens of the step, `S` sequences, `H` hidden size, `Hq`/`Hkv` query and key/value heads, `D` head
/// dimension. Activations have type `activationType`.
package protocol Backend: AnyObject {
  /// "cpu", "simt" or "cuda".
  var name: String { get }
  var activationType: DataType { get }
  /// The host may read results through their address, without `download`, once `synchronize` has returned.
  var sharesHostMemory: Bool { get }

  /// The GGUF block types that `linear` multiplies as they are; weights of others are decoded to float32 when loaded.
  var blockTypes: [GGMLType] { get }

  // Memory
  func allocate(byteCount: Int) throws(KernelError) -> Storage
  /// Makes a host tensor usable by this backend. The CPU returns it unchanged (mapped weights stay mapped).
  func place(_ tensor: Tensor) throws(KernelError) -> Tensor
  func place(_ weight: LinearWeight) throws(KernelError) -> LinearWeight
  func makeKVCache(_ geometry: KVCacheGeometry) throws(KernelError) -> any KVCache
  /// Reserves what attention will need beside its operands, once, so that a step allocates nothing.
  func reserve(_ demand: AttentionDemand) throws(KernelError)
  func upload(_ bytes: UnsafeRawBufferPointer, to destination: TensorView) throws(KernelError)
  /// Memory for what steps send, inside of `storage`. Reserved once.
  func makeStepBlock(
    in storage: Storage, from offset: Int, byteCount: Int
  ) throws(KernelError) -> any StepBlock
  /// Waits for the enqueued work, then copies.
  func download(_ source: TensorView, to bytes: UnsafeMutableRawBufferPointer) throws(KernelError)
  func synchronize() throws(KernelError)

  // Operations
  /// `output[t] = table[tokens[t]]`, and `+= positionTable[positions[t]]` where there is one. tokens, positions: int32 `[T]`.
  func embed(
    tokens: TensorView, table: TensorView, positions: TensorView?, positionTable: TensorView?,
    into output: TensorView) throws(KernelError)

  /// Says which products read what the next norm or activation writes, all of them, so that it may be made ready for them
  /// as it is written. No other operation comes before that one, and none that writes to its output before them.
  func expect(readers: [LinearWeight])

  /// `residual += input` where an input is given, then `output = norm(residual)`. All `[T, H]`.
  func norm(
    _ parameters: NormParameters, residual: TensorView, adding input: TensorView?, into output: TensorView
  ) throws(KernelError)

  /// `output = input · Wᵀ + bias`, or `output += …` when `accumulate`. input `[T, inputs]`, output `[T, outputs]`.
  func linear(
    _ input: TensorView, _ weight: LinearWeight, accumulate: Bool, into output: TensorView
  ) throws(KernelError)

  /// Makes the updates of linear layers that read the same input usable by this backend; nil for those that have none.
  func place(_ updates: [LowRankUpdate?]) throws(KernelError) -> LowRankGroup

  /// Adds each run's updates to its rows of the outputs: `output += scale · (input · downᵀ) · upᵀ`. input `[T, K]`, each output
  /// `[T, N]` with its own N, in the order of `place`; no row is in two runs.
  ///
  /// - Parameter shrunk: `[T, Σ r]` for the largest ranks, each rounded up to a multiple of `lowRankUnit`; overwritten.
  func add(
    _ runs: [LowRankRun], of input: TensorView, through shrunk: TensorView, to outputs: [TensorView]
  ) throws(KernelError)

  /// Rotates heads in place by the angles of `table` at each token's position. query `[T, Hq·D]`, key `[T, Hkv·D]`.
  func rope(
    _ parameters: RopeParameters, positions: TensorView, query: TensorView, key: TensorView
  ) throws(KernelError)

  /// Writes key and value `[T, Hkv·D]` of each token into its slot (`block · blockSize + offset`, int32 `[T]`; −1 skips it).
  func appendKV(
    key: TensorView, value: TensorView, slots: TensorView, cache: any KVCache, layer: Int
  ) throws(KernelError)

  /// Softmax attention of `query` `[T, Hq·D]` over the paged cache; the step's keys have been appended before.
  func attention(
    _ parameters: AttentionParameters, query: TensorView, cache: any KVCache, layer: Int,
    batch: AttentionBatch, into output: TensorView) throws(KernelError)

  /// `output = activation(gate) ⊙ up`, or `activation(gate)` without `up`. All `[T, I]`.
  func activation(
    _ activation: Activation, gate: TensorView, up: TensorView?, into output: TensorView
  ) throws(KernelError)

  /// `output[i] = input[rows[i]]`. rows: int32.
  func gatherRows(_ input: TensorView, rows: TensorView, into output: TensorView) throws(KernelError)

  /// `accumulator += input`, both `[T, H]`.
  func add(_ input: TensorView, to accumulator: TensorView) throws(KernelError)
}

/// Backends may fill the rank of an update up to a multiple of this.
package let lowRankUnit = 16

extension Backend {
  package var blockTypes: [GGMLType] { [] }
  package func reserve(_ demand: AttentionDemand) throws(KernelError) {}

  /// - Precondition: the backend shares the host's memory.
  package func makeStepBlock(
    in storage: Storage, from offset: Int, byteCount: Int
  ) throws(KernelError) -> any StepBlock {
    precondition(sharesHostMemory, "a device needs a block of its own kind")
    return SharedStepBlock(in: storage, from: offset, byteCount: byteCount)
  }
}

package enum Activation: String, Sendable, CaseIterable {
  case silu
  /// `x · Φ(x)` with the error function.
  case gelu
  /// The tanh approximation that GPT-2 (`gelu_new`) and BLOOM use.
  case geluTanh
  case relu
}

package struct NormParameters {
  package enum Kind: Sendable { case rms, layer }
  package var kind: Kind
  package var weight: TensorView
  package var bias: TensorView?
  package var epsilon: Float

  package init(kind: Kind, weight: TensorView, bias: TensorView? = nil, epsilon: Float) {
    self.kind = kind
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
  }
}

package struct RopeParameters {
  /// How the two members of a rotated pair lie in a head.
  package enum Pairing: Sendable {
    /// `(i, i + rotaryDimension / 2)`: Llama, GPT-NeoX and everything in Hugging Face layout.
    case halves
    /// `(2i, 2i + 1)`: GPT-J, and Llama weights in GGUF layout.
    case interleaved
  }
  package var pairing: Pairing
  package var headDimension: Int
  /// Leading components of each head that are rotated; the rest pass through.
  package var rotaryDimension: Int
  /// float32 `[positions, rotaryDimension]`: cosines of the pairs, then their sines, attention factor included.
  package var table: TensorView

  package init(pairing: Pairing, headDimension: Int, rotaryDimension: Int, table: TensorView) {
    self.pairing = pairing
    self.headDimension = headDimension
    self.rotaryDimension = rotaryDimension
    self.table = table
  }
}

package struct AttentionParameters {
  package var queryHeads: Int
  package var keyValueHeads: Int
  package var headDimension: Int
  /// Multiplies the dot products, usually `1 / sqrt(D)`.
  package var scale: Float
  /// A query sees only the last `window` positions, itself included.
  package var window: Int?
  /// With a window: a query also sees the first `sinks` positions (attention sinks, arXiv 2309.17453). Once there are
  /// positions between the two that it does not see, its distance to the sinks is counted without those: its
  /// position is `sinks + window - 1` then. See `AttentionBatch.sinkQuery`.
  package var sinks = 0
  /// float32 `[Hq]`; adds `slope · (keyPosition − queryPosition)` to the scaled score.
  package var alibiSlopes: TensorView?
  /// `softcap · tanh(score / softcap)` before the mask.
  package var softcap: Float?
  /// float32 `[Hq]`: the score of one more key, without a value, that every query of the head sees (gpt-oss).
  package var sinkLogits: TensorView?

  package init(
    queryHeads: Int, keyValueHeads: Int, headDimension: Int, scale: Float, window: Int? = nil,
    sinks: Int = 0, alibiSlopes: TensorView? = nil, softcap: Float? = nil, sinkLogits: TensorView? = nil
  ) {
    self.queryHeads = queryHeads
    self.keyValueHeads = keyValueHeads
    self.headDimension = headDimension
    self.scale = scale
    self.window = window
    self.sinks = sinks
    self.alibiSlopes = alibiSlopes
    self.softcap = softcap
    self.sinkLogits = sinkLogits
  }
}

/// Which tokens belong to which sequence, and where each sequence's keys lie. All int32 on the backend's device.
package struct AttentionBatch {
  /// `[S + 1]`: sequence `s` owns query rows `queryStarts[s]..<queryStarts[s + 1]`, its last positions.
  package var queryStarts: TensorView
  /// `[S]`: keys in the cache after this step; the last query row of `s` has position `contextLengths[s] − 1`.
  package var contextLengths: TensorView
  /// `[S, blocks]`: cache block of each 16-token run of positions.
  package var blockTables: TensorView
  package var sequenceCount: Int
  package var maxQueryLength: Int
  package var maxContextLength: Int
  package var decodes: Decodes
  /// `[T, Hq·D]`: the queries as the sinks' keys meet them, where positions are in the queries (rope); nil where they
  /// are not.
  package var sinkQuery: TensorView?

  /// The sequences at the front that go on behind their prompts: a last token each, and drafts behind it that are verified.
  ///
  /// Devices compute them with another kernel than prompts, whose last bits differ. In either a row's bits do not
  /// depend on how many others its sequence has in the step, so it is this that decides which logits a token gets, and not
  /// how a prompt was cut into pieces, or whether a token was drafted before it was chosen.
  package struct Decodes: Sendable, Equatable {
    package var sequences: Int
    /// Query rows of all of them together.
    package var rows: Int
    /// Of one of them.
    package var maxQueryLength: Int

    package init(sequences: Int = 0, rows: Int = 0, maxQueryLength: Int = 0) {
      self.sequences = sequences
      self.rows = rows
      self.maxQueryLength = maxQueryLength
    }

    /// Of sequences with these numbers of rows, in order.
    package init(rows: some Sequence<Int>) {
      self.init()
      for count in rows {
        sequences += 1
        self.rows += count
        maxQueryLength = Swift.max(maxQueryLength, count)
      }
    }
  }

  package init(
    queryStarts: TensorView, contextLengths: TensorView, blockTables: TensorView, sequenceCount: Int,
    maxQueryLength: Int, maxContextLength: Int, decodes: Decodes = Decodes()
  ) {
    self.queryStarts = queryStarts
    self.contextLengths = contextLengths
    self.blockTables = blockTables
    self.sequenceCount = sequenceCount
    self.maxQueryLength = maxQueryLength
    self.maxContextLength = maxContextLength
    self.decodes = decodes
  }
}

extension Backend {
  package func expect(readers: [LinearWeight]) {}
}
