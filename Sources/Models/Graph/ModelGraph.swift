package import Checkpoints
package import Compute
internal import Scheduling
package import Numerics

/// A decoder bound to its weights on one backend, ready to compute steps.
///
/// Weights are checked and placed once, and the workspace is reserved once; a step only enqueues operations. The
/// graph belongs to the thread that made it, as its backend does.
package final class ModelGraph {
  package let configuration: ModelConfiguration
  package let limits: ModelLimits
  package let backend: any Backend
  package let memoryPlan: MemoryPlan
  /// Tensors of the checkpoint that the model does not read, for a note to the user.
  package let unusedTensors: [String]
  /// Called with each named activation as it is computed; the view is valid during the call. For layer traces;
  /// nil costs nothing.
  package var observer: ((TracePoint, TensorView) throws(KernelError) -> Void)?

  let weights: DecoderWeights
  var passes: [LayerPass]
  let embeddingNorm: NormParameters?
  let finalNorm: NormParameters
  let rope: RopeParameters?
  var workspace: Workspace
  /// Tables and places of the layers in the cache that the scheduler's plans are for.
  package let cacheGroups: CacheGroups
  /// The linear layers of each layer, in the order in which they are computed.
  package let sites: [[LinearSite]]
  /// LoRA adapters by number.
  var adapters: [Int32: AdapterUpdates] = [:]
  /// The backend, if it can record steps.
  let recorder: (any RecordingBackend)?
  /// Where the tokens of the step before lie that the host need not know yet; set before the first step.
  package var sampledTokens: SampledTokens?
  /// Samples the logits of steps; its settings are sent with them. Made for `stepBlock`.
  package var sampler: (any TokenSampler)?
  var recordings = DecodeRecordings()
  /// Tokens and logit rows of the last step.
  var stepTokens = 0
  var stepLogitRows = 0

  /// A layer's weights with its parameters made ready.
  struct LayerPass {
    var weights: DecoderWeights.Layer
    var attentionNorm: NormParameters
    var feedForwardNorm: NormParameters
    let attention: AttentionParameters
    /// What reads the two norms' outputs, and the activation's.
    let readers: (attentionNorm: [LinearWeight], feedForwardNorm: [LinearWeight], activation: [LinearWeight])
  }

  /// The tokens of the last step, int32, on the device: also those that came from `sampledTokens`.
  package var inputTokens: TensorView { workspace.step.view(workspace.step.layout.tokens, stepTokens) }

  /// What steps are sent in. A sampler's settings have room at its end, if the limits say that the model samples.
  package var stepBlock: any StepBlock { workspace.step.block }

  /// Tokens that a sampler on the backend leaves there: int32, by row of the last step's logits.
  package struct SampledTokens {
    let backend: any SamplingBackend
    let tokens: TensorView

    package init(_ backend: any SamplingBackend, _ tokens: TensorView) {
      self.backend = backend
      self.tokens = tokens
    }
  }

  /// Reads the configuration, checks and places all weights, and reserves the workspace.
  ///
  /// - Throws: what is wrong with the checkpoint or the limits, before anything is reserved; or the backend's
  ///   `outOfMemory`.
  package init(
    checkpoint: Checkpoint, backend: any Backend, limits: ModelLimits
  ) throws(ModelError) {
    let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
    try limits.validate(configuration)
    let inventory = try TensorInventory(
      configuration, in: checkpoint, held: HeldTypes(quantization: limits.quantization))
    let layout = try WorkspaceLayout(configuration, limits: limits, activationType: backend.activationType)
    self.configuration = configuration
    self.limits = limits
    self.backend = backend
    cacheGroups = CacheGroups(configuration, limits)
    recorder = backend as? any RecordingBackend
    memoryPlan = MemoryPlan(
      configuration, inventory: inventory, layout: layout, limits: limits,
      activationType: backend.activationType)
    unusedTensors = inventory.unused
    sites = inventory.sites(configuration)

    weights = try DecoderWeights(
      configuration, inventory: inventory, checkpoint: checkpoint, backend: backend,
      quantization: limits.quantization)
    do throws(KernelError) {
      workspace = try Workspace(configuration, layout: layout, limits: limits, backend: backend)
      try backend.reserve(limits.attentionDemand(configuration))
      try workspace.fillTables(configuration, limits: limits, backend: backend)
    } catch { throw .kernel(error) }

    embeddingNorm = weights.embeddingNorm?.parameters
    finalNorm = weights.finalNorm.parameters
    if let table = workspace.rope, case .rope(let parameters) = configuration.decoder.positions {
      rope = RopeParameters(
        pairing: parameters.pairing, headDimension: configuration.headDimension,
        rotaryDimension: parameters.rotaryDimension, table: table)
    } else {
      rope = nil
    }
    let slopes = workspace.slopes
    passes = zip(weights.layers, configuration.layers.indices).map { weights, index in
      let layer = configuration.layers[index]
      return LayerPass(
        weights: weights, attentionNorm: weights.attentionNorm.parameters,
        feedForwardNorm: weights.feedForwardNorm.parameters,
        attention: AttentionParameters(
          queryHeads: configuration.queryHeads(of: index),
          keyValueHeads: configuration.keyValueHeads(of: index),
          headDimension: configuration.headDimension, scale: layer.attentionScale,
          window: limits.policy?.window ?? layer.window, sinks: limits.policy?.sinks ?? 0,
          alibiSlopes: slopes, softcap: configuration.decoder.attentionSoftcap,
          sinkLogits: weights.sinkLogits?.view),
        readers: (
          weights.attention.all, [weights.gate, weights.up].compactMap(\.self), [weights.down]
        ))
    }
  }

  /// What a model will need, without reserving anything: for refusing a model that does not fit with the number
  /// of bytes that are missing.
  package static func memoryPlan(
    checkpoint: Checkpoint, limits: ModelLimits, activationType: DataType, held: HeldTypes = .asStored
  ) throws(ModelError) -> MemoryPlan {
    let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
    try limits.validate(configuration)
    var held = held
    held.quantization = limits.quantization
    return MemoryPlan(
      configuration, inventory: try TensorInventory(configuration, in: checkpoint, held: held),
      layout: try WorkspaceLayout(configuration, limits: limits, activationType: activationType),
      limits: limits, activationType: activationType)
  }

  /// The shape of this model's key/value pool with `blockCount` blocks.
  ///
  /// - Parameter layers: in a block; nil for all, in plans with one table a sequence.
  package func cacheGeometry(blockCount: Int, layers: Int? = nil) -> KVCacheGeometry {
    Self.cacheGeometry(configuration, blockCount, limits.cacheType ?? backend.activationType, layers: layers)
  }

  static func cacheGeometry(
    _ configuration: ModelConfiguration, _ blockCount: Int, _ type: DataType, layers: Int?
  ) -> KVCacheGeometry {
    let indices = configuration.layers.indices
    // Places that several groups of layers use have room for any of them.
    let heads =
      layers.map { $0 == indices.count } ?? true
      ? indices.map { configuration.keyValueHeads(of: $0) }
      : Array(repeating: configuration.keyValueHeads, count: layers ?? indices.count)
    return KVCacheGeometry(
      heads: heads, blockCount: blockCount, blockSize: ModelLimits.blockSize,
      headDimension: configuration.headDimension, dataType: type)
  }

  /// Reserves a pool of `blockCount` blocks.
  ///
  /// - Parameter groupsLayers: for plans with a table for each of `cacheGroups`, as the scheduler makes them; otherwise a
  ///   block holds all layers.
  /// - Throws: `outOfMemory` when it does not fit.
  package func makeKVCache(
    blockCount: Int, groupsLayers: Bool = false
  ) throws(KernelError) -> any KVCache {
    guard blockCount > 0 else {
      throw .unsupported(operation: "makeKVCache", reason: "\(blockCount) blocks; at least one is needed")
    }
    let layers = groupsLayers ? cacheGroups.layers : nil
    let (_, overflow) = blockCount.multipliedReportingOverflow(
      by: cacheGeometry(blockCount: 1, layers: layers).bytesPerBlock)
    guard !overflow else { throw .outOfMemory(requestedBytes: Int.max, availableBytes: nil) }
    return try backend.makeKVCache(cacheGeometry(blockCount: blockCount, layers: layers))
  }
}

extension MemoryPlan {
  init(
    _ configuration: ModelConfiguration, inventory: TensorInventory, layout: WorkspaceLayout,
    limits: ModelLimits, activationType: DataType
  ) {
    weightBytes = inventory.weightBytes
    workspaceBytes = layout.byteCount
    // Backends with 16-bit activations compute a long context in parts.
    if activationType != .float32 { workspaceBytes += limits.attentionDemand(configuration).scratchBytes }
    // They sample there, too; what a step sends for that is part of the layout.
    if limits.samples(configuration, activationType) {
      workspaceBytes += limits.samplingCapacity(configuration).byteCount
    }
    let cacheType = limits.cacheType ?? activationType
    blockSize = ModelLimits.blockSize
    bytesPerBlock =
      ModelGraph.cacheGeometry(
        configuration, 1, cacheType, layers: CacheGroups(configuration, limits).layers
      ).bytesPerBlock
  }
}
