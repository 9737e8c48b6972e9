internal import Compute
internal import Models
internal import Tokenizers

extension LoadedModel {
  /// Opens the model that drafts for this one; nil where the method needs none.
  ///
  /// - Throws: also when the two do not speak of the same tokens: drafts are token ids.
  package func draftModel(
    _ settings: SpeculationSettings, _ options: LoadingOptions
  ) throws(ModelLoadingError) -> LoadedModel? {
    guard case .draftModel(let path) = settings.method else { return nil }
    let draft = try LoadedModel.open(path, options)
    let (size, draftSize) = (configuration.vocabularySize, draft.configuration.vocabularySize)
    if size != draftSize {
      throw .draft(path: path, reason: "it has \(draftSize) tokens and the model has \(size)")
    }
    for id in 0..<size where tokenizer.token(of: Int32(id)) != draft.tokenizer.token(of: Int32(id)) {
      throw .draft(
        path: path,
        reason: "token \(id) is \(draft.tokenizer.token(of: Int32(id)) ?? "nothing") to it and "
          + "\(tokenizer.token(of: Int32(id)) ?? "nothing") to the model")
    }
    return draft
  }
}

extension MemoryReservation.Draft {
  /// A draft model serves the same steps as its target, with one row of logits a sequence.
  init(_ draft: LoadedModel, target: ModelLimits, device: DeviceProfile) throws(ModelLoadingError) {
    limits = target
    limits.maxLogitRows = target.maxSequences
    limits.maxAdapterRank = 0
    limits.quantization = nil
    limits.samples = false
    // It keeps its own books, with one table a sequence.
    limits.groupsLayers = false
    if let limit = draft.configuration.hardPositionLimit {
      limits.maxModelLength = min(limits.maxModelLength, limit)
    }
    do {
      plan = try ModelGraph.memoryPlan(
        checkpoint: draft.checkpoint, limits: limits, activationType: device.activationType)
    } catch {
      throw .model(error)
    }
  }
}

extension SpeculationOptions {
  init(_ settings: SpeculationSettings, draft: LoadedModel?, reservation: MemoryReservation) {
    self.init(settings) { target in
      switch settings.method {
      case .ngram(let settings): return PromptLookup(settings)
      case .suffix(let settings): return SuffixCache(settings)
      case .draftModel(let path):
        guard let draft, let memory = reservation.draft, let target = target as? GraphModel else {
          throw ModelLoadingError.draft(path: path, reason: "no memory was reserved for it")
        }
        return DraftModel(
          try GraphModel(
            checkpoint: draft.checkpoint, backend: target.graph.backend, limits: memory.limits,
            blockCount: memory.blockCount))
      }
    }
  }
}
