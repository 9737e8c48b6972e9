internal import Compute
internal import Checkpoints
internal import Numerics
internal import Scheduling

/// An input that linear layers read, and those layers; a fused projection stands in the place of the first.
enum AdapterInput: Int, CaseIterable {
  case attention, attentionOutput, feedForward, down

  /// In the order of the outputs of `adapt`.
  var roles: [[LinearSite.Role]] {
    switch self {
    case .attention: [[.query, .queryKeyValue], [.key], [.value]]
    case .attentionOutput: [[.attentionOutput]]
    case .feedForward: [[.up], [.gate]]
    case .down: [[.down]]
    }
  }
}

/// The updates of one adapter: layer by layer, for each `AdapterInput`.
struct AdapterUpdates {
  private var groups: [LowRankGroup?]

  init(layers: Int) { groups = Array(repeating: nil, count: layers * AdapterInput.allCases.count) }

  subscript(layer: Int, input: AdapterInput) -> LowRankGroup? {
    get { groups[layer * AdapterInput.allCases.count + input.rawValue] }
    set { groups[layer * AdapterInput.allCases.count + input.rawValue] = newValue }
  }
}

/// Adapters beside the weights: one base model in memory, several in a step.
///
/// The scheduler puts the rows of an adapter beside each other (`StepPlan.adapterRuns`), so that each run is small matrix
/// products added to the layers' own, whatever form their weights are stored in: one for all layers that read the same
/// input, and one more for each. Devices do all runs at once:
///
/// ```
/// rows of the step   | no adapter …… | adapter 3 …… | adapter 5 … |
/// output             x Wᵀ            x Wᵀ + (x A₃ᵀ) B₃ᵀ   …
/// ```
extension ModelGraph {
  /// Reads an adapter and places it beside the weights under a number that no other has had.
  ///
  /// - Throws: what is wrong with the adapter, or the backend's `outOfMemory`; nothing is changed then.
  package func loadAdapter(path: String, id: Int32) throws(ModelError) {
    precondition(id > 0 && adapters[id] == nil, "adapter \(id) exists")
    let adapter = try Adapter(path: path, configuration: configuration, sites: sites)
    guard adapter.rank <= limits.maxAdapterRank else {
      throw .adapter(
        path: path,
        reason: "it has rank \(adapter.rank) and at most \(limits.maxAdapterRank) was reserved for "
          + "(--max-lora-rank)")
    }
    var updates = AdapterUpdates(layers: configuration.layers.count)
    var byRole: [[LinearSite.Role: LowRankUpdate]] = configuration.layers.map { _ in [:] }
    for update in adapter.updates { byRole[update.site.layer][update.site.role] = read(update) }
    for (layer, found) in byRole.enumerated() {
      for input in AdapterInput.allCases {
        let own = input.roles.map { roles in roles.lazy.compactMap { found[$0] }.first }
        if own.allSatisfy({ $0 == nil }) { continue }
        do throws(KernelError) {
          updates[layer, input] = try backend.place(own)
        } catch { throw .kernel(error) }
      }
    }
    adapters[id] = updates
  }

  package func unloadAdapter(_ id: Int32) { adapters[id] = nil }

  package func hasAdapter(_ id: Int32) -> Bool { id == 0 || adapters[id] != nil }

  private func read(_ update: Adapter.Update) -> LowRankUpdate {
    var up = Self.floats(update.up)
    if update.site.role == .queryKeyValue, case .fused(_, .perHead) = configuration.decoder.attention {
      up = up.stackingHeads(configuration.headDimension)
    }
    return LowRankUpdate(down: Self.floats(update.down), up: up, scale: update.scale)
  }

  /// A copy in float32: adapters are small, and their scale would round in a narrower type.
  private static func floats(_ raw: RawTensor) -> Tensor {
    unsafe HostTensor.make(.float32, Shape(raw.shape)) { bytes in
      unsafe raw.copyFloats(into: bytes.bindMemory(to: Float.self))
    }
  }

  /// Adds to `outputs` what the adapters of the step say about the linear layers that read `values`, in the order of
  /// `AdapterInput.roles`.
  func adapt(
    _ input: AdapterInput, _ layer: Int, _ values: TensorView, into outputs: [TensorView],
    _ runs: [AdapterRun]
  ) throws(KernelError) {
    guard !runs.isEmpty, let buffer = workspace.adapted else { return }
    var updates: [LowRankRun] = []
    for run in runs {
      guard let group = adapters[run.adapter]?[layer, input] else { continue }
      updates.append(LowRankRun(group, rows: run.rows))
    }
    if updates.isEmpty { return }
    try backend.add(updates, of: values, through: buffer.prefix(rows: values.rows), to: outputs)
  }
}
