internal import Compute
internal import Checkpoints
internal import Numerics
internal import Scheduling

/// The updates of one adapter by layer and role.
typealias AdapterUpdates = [[LinearSite.Role: LowRankUpdate]]

/// Adapters beside the weights: one base model in memory, several in a step.
///
/// The scheduler puts the rows of an adapter beside each other (`StepPlan.adapterRuns`), so that each run is two small
/// matrix products added to the layer's own, whatever form its weight is stored in; devices do all runs at once:
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
    var updates: AdapterUpdates = Array(repeating: [:], count: configuration.layers.count)
    for update in adapter.updates {
      updates[update.site.layer][update.site.role] = try place(update)
    }
    adapters[id] = updates
  }

  package func unloadAdapter(_ id: Int32) { adapters[id] = nil }

  package func hasAdapter(_ id: Int32) -> Bool { id == 0 || adapters[id] != nil }

  private func place(_ update: Adapter.Update) throws(ModelError) -> LowRankUpdate {
    let down = Self.floats(update.down)
    var up = Self.floats(update.up)
    if update.site.role == .queryKeyValue, case .fused(_, .perHead) = configuration.decoder.attention {
      up = up.stackingHeads(configuration.headDimension)
    }
    do throws(KernelError) {
      return try backend.place(LowRankUpdate(down: down, up: up, scale: update.scale))
    } catch { throw .kernel(error) }
  }

  /// A copy in float32: adapters are small, and their scale would round in a narrower type.
  private static func floats(_ raw: RawTensor) -> Tensor {
    unsafe HostTensor.make(.float32, Shape(raw.shape)) { bytes in
      unsafe raw.copyFloats(into: bytes.bindMemory(to: Float.self))
    }
  }

  /// Adds to `output` what the adapters of the step say about one linear layer of `input`.
  func adapt(
    _ role: LinearSite.Role, _ layer: Int, _ input: TensorView, into output: TensorView, _ runs: [AdapterRun]
  ) throws(KernelError) {
    guard !runs.isEmpty, let buffer = workspace.adapted else { return }
    var updates: [LowRankRun] = []
    for run in runs {
      guard let update = adapters[run.adapter]?[layer][role] else { continue }
      updates.append(LowRankRun(update, rows: run.rows))
    }
    if updates.isEmpty { return }
    try backend.add(updates, of: input, through: buffer.prefix(rows: input.rows), to: output)
  }
}
