package import Checkpoints
package import Compute
package import Models
package import Numerics
package import Scheduling

/// The device a model is to run on, as far as planning goes.
package struct DeviceProfile: Sendable {
  /// "cpu", "simt" or "cuda".
  package var name: String
  package var activationType: DataType
  /// What weights become when they are placed.
  package var held: HeldTypes
  /// Memory that can be had now; nil when nobody knows.
  package var availableBytes: Int?

  package init(name: String, activationType: DataType, held: HeldTypes = .asStored, availableBytes: Int?) {
    self.name = name
    self.activationType = activationType
    self.held = held
    self.availableBytes = availableBytes
  }

  var isHost: Bool { name != "cuda" }

  /// What keys and values can be cached as.
  package var cacheTypes: [DataType] {
    (activationType == .float32 ? [.float32, .float16, .bfloat16] : [activationType]) + DataType.cacheCodes
  }

  /// Refuses a type of `--kv-cache-dtype` that the device cannot cache in.
  package func checkCacheType(_ type: DataType?) throws(ModelLoadingError) {
    guard let type, !cacheTypes.contains(type) else { return }
    let known = cacheTypes.map(\.cacheName).joined(separator: ", ")
    throw .option(
      name: "--kv-cache-dtype", found: type.cacheName,
      allowed: "\(known) where activations are \(activationType.rawValue)")
  }

  /// Without `kvCacheBytes`, a host keeps the pool below this, as its memory is everybody's. The emulation fills its
  /// memory with NaN when it hands it out, so less of it is ready sooner.
  var cacheLimit: Int {
    switch name {
    case "cuda": .max
    case "simt": 256 << 20
    default: 4 << 30
    }
  }
}

/// What the user may limit; nil leaves the choice to the plan.
package struct LoadingOptions: Sendable {
  /// `--max-model-len`: prompt and output, in tokens.
  package var maxModelLength: Int?
  /// `--max-num-batched-tokens`
  package var maxBatchTokens: Int?
  /// `--max-num-seqs`
  package var maxSequences: Int?
  /// `--kv-cache-memory-bytes`: the size of the key/value pool.
  package var kvCacheBytes: Int?
  /// `--gpu-memory-utilization`: the part of the available memory that may be used, without `kvCacheBytes`.
  package var memoryUtilization = 0.92
  /// `--kv-cache-dtype`
  package var cacheType: DataType?
  /// `--quantization`: what plain linear layers are rounded to while they are loaded.
  package var quantization: LoadQuantization?
  /// `--max-lora-rank`, where adapters are to be served; 0 takes none.
  package var maxAdapterRank = 0
  /// `--kv-policy`: attention sinks and a window.
  package var policy: KVRetention?
  /// `--generation-config vllm` turns the checkpoint's sampling defaults off.
  package var usesGenerationConfiguration = true
  /// `--chat-template`: Jinja source instead of the model's.
  package var chatTemplate: String?

  package init() {}
}

/// What is reserved at start, and never more later.
package struct MemoryReservation: Sendable, Equatable {
  package var limits: ModelLimits
  package var weightBytes: Int
  package var workspaceBytes: Int
  package var bytesPerBlock: Int
  package var blockCount: Int
  /// Blocks that 16 tokens of a sequence take, as long as no window has left them.
  package var groupCount: Int
  /// Of the model that drafts for it.
  package var draft: Draft?

  package var cacheBytes: Int { blockCount * bytesPerBlock }

  /// What a draft model gets beside its target.
  package struct Draft: Sendable, Equatable {
    package var limits: ModelLimits
    package var plan: MemoryPlan
    /// Its layers share a table; a target's groups of layers have one each. It has as many blocks as its target, or, where
    /// the target takes several for 16 tokens of a sequence of the maximum length, as many less.
    package var blockCount = 0

    package var cacheBytes: Int { blockCount * plan.bytesPerBlock }
  }

  /// How far a stream with sinks runs when nobody says: only block tables grow with it, 4 bytes for 16 tokens.
  static let streamLength = 1 << 20

  /// Chooses limits and the size of the pool.
  ///
  /// - The pool holds at least one sequence of the maximum length. A length nobody asked for gives way to memory;
  ///   one that was asked for is refused with the bytes that are missing.
  /// - It is never larger than all sequences at full length can use.
  package static func plan(
    _ configuration: ModelConfiguration, checkpoint: Checkpoint, device: DeviceProfile,
    options: LoadingOptions, draft: LoadedModel? = nil
  ) throws(ModelLoadingError) -> MemoryReservation {
    var limits = try limits(configuration, device, options)
    let beside = try draft.map { model throws(ModelLoadingError) in
      try Draft(model, target: limits, device: device)
    }
    let plan: MemoryPlan
    do {
      plan = try ModelGraph.memoryPlan(
        checkpoint: checkpoint, limits: limits, activationType: device.activationType,
        held: device.held)
    } catch {
      throw .model(error)
    }
    let groups = CacheGroups(configuration, limits).groups
    let wanted = groups.blocksAtOnce(for: limits.maxModelLength, piece: limits.maxBatchTokens)
    let fewest = options.maxModelLength == nil && !groups.isBounded ? groups.count : wanted
    let weightBytes = plan.weightBytes + (beside?.plan.weightBytes ?? 0)
    let workspaceBytes = plan.workspaceBytes + (beside?.plan.workspaceBytes ?? 0)
    let places = (limits.maxModelLength - 1) / ModelLimits.blockSize + 1
    let blocksPerPlace = max(1, wanted / places)
    let bytesPerBlock =
      plan.bytesPerBlock + ((beside?.plan.bytesPerBlock ?? 0) + blocksPerPlace - 1) / blocksPerPlace
    let fixed = weightBytes + workspaceBytes
    var shortage = MemoryShortage(
      weightBytes: weightBytes, workspaceBytes: workspaceBytes,
      cacheBytes: fewest * bytesPerBlock, tokens: fewest * ModelLimits.blockSize / groups.count)

    let usable: Int
    if let bytes = options.kvCacheBytes {
      guard bytes > 0 else {
        throw .option(name: "--kv-cache-memory-bytes", found: "\(bytes)", allowed: "above 0")
      }
      usable = bytes
      shortage.cacheLimit = bytes
    } else {
      let share = device.availableBytes.map { Int(Double($0) * options.memoryUtilization) }
      usable = min(share.map { $0 - fixed } ?? .max, device.cacheLimit)
      shortage.availableBytes = share
    }
    let (useful, overflow) = wanted.multipliedReportingOverflow(by: limits.maxSequences)
    let largest = Int(Int32.max) / ModelLimits.blockSize
    let blocks = min(
      max(usable, 0) / max(bytesPerBlock, 1), overflow ? largest : max(useful, fewest), largest)
    if blocks < fewest {
      // The host's own limit is meant for comfort; it does not refuse a length that memory can hold.
      if options.kvCacheBytes == nil, device.isHost, shortage.missingBytes <= 0 {
        return MemoryReservation(
          limits, plan, fewest, groups, beside, draftBlocks: fewest / blocksPerPlace)
      }
      throw .memory(shortage)
    }
    if let available = device.availableBytes, options.kvCacheBytes != nil,
      blocks * bytesPerBlock > available - fixed
    {
      shortage.cacheBytes = blocks * bytesPerBlock
      shortage.tokens = blocks * ModelLimits.blockSize
      shortage.availableBytes = available
      throw .memory(shortage)
    }
    limits.maxModelLength = groups.longestSequence(
      in: blocks, upTo: limits.maxModelLength, piece: limits.maxBatchTokens)
    return MemoryReservation(limits, plan, blocks, groups, beside, draftBlocks: blocks / blocksPerPlace)
  }

  private init(
    _ limits: ModelLimits, _ plan: MemoryPlan, _ blockCount: Int, _ groups: KVGroups, _ draft: Draft?,
    draftBlocks: Int
  ) {
    groupCount = groups.count
    self.draft = draft
    self.draft?.blockCount = max(1, draftBlocks)
    self.draft?.limits.maxModelLength = min(draft?.limits.maxModelLength ?? 0, limits.maxModelLength)
    self.limits = limits
    weightBytes = plan.weightBytes
    workspaceBytes = plan.workspaceBytes
    bytesPerBlock = plan.bytesPerBlock
    self.blockCount = blockCount
  }

  private static func limits(
    _ configuration: ModelConfiguration, _ device: DeviceProfile, _ options: LoadingOptions
  ) throws(ModelLoadingError) -> ModelLimits {
    guard options.memoryUtilization > 0, options.memoryUtilization <= 1 else {
      throw .option(
        name: "--gpu-memory-utilization", found: "\(options.memoryUtilization)",
        allowed: "above 0 and at most 1")
    }
    try device.checkCacheType(options.cacheType)
    if let type = options.cacheType, DataType.cacheCodes.contains(type), device.activationType != .float32 {
      if configuration.headDimension % 16 != 0 {
        throw .option(
          name: "--kv-cache-dtype", found: type.cacheName,
          allowed:
            "auto for heads of \(configuration.headDimension) components on \(device.name): its kernels take "
            + "multiples of 16 in 8 bits")
      }
    }
    for (name, value) in [
      ("--max-model-len", options.maxModelLength), ("--max-num-batched-tokens", options.maxBatchTokens),
      ("--max-num-seqs", options.maxSequences),
    ] {
      if let value, value < 1 { throw .option(name: name, found: "\(value)", allowed: "at least 1") }
    }
    // A host computes 128 rows about as fast a row as 512, so longer steps only make others wait: of prompts that
    // arrive together, for the first token; of the running sequences, for the next.
    let batch = options.maxBatchTokens ?? max(device.isHost ? 128 : 2048, options.maxSequences ?? 0)
    let sequences = options.maxSequences ?? min(device.isHost ? 64 : 256, batch)
    guard sequences <= batch else {
      throw .option(
        name: "--max-num-batched-tokens", found: "\(batch)", allowed: "at least --max-num-seqs (\(sequences))"
      )
    }
    // Rows beyond one a sequence only speed up prompt log-probabilities; 64 MiB are enough for that.
    let rows = min(batch, (64 << 20) / (4 * configuration.vocabularySize))
    var limits = ModelLimits(
      maxBatchTokens: batch, maxSequences: sequences,
      maxModelLength: options.maxModelLength
        ?? (options.policy == nil ? configuration.defaultModelLength : streamLength),
      maxLogitRows: max(sequences, rows), cacheType: options.cacheType)
    limits.policy = options.policy
    limits.quantization = options.quantization
    limits.maxAdapterRank = options.maxAdapterRank
    return limits
  }
}

extension DataType {
  /// As `--kv-cache-dtype` and vLLM name it.
  package var cacheName: String { self == .float8E4M3 ? "fp8" : rawValue }
}
