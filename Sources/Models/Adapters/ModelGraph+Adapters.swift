internal import Compute
internal import Checkpoints
internal import Numerics
internal import Scheduling

/// The two small matrices of an adapter for one linear layer, ready to be multiplied.
struct AdapterUpdate {
  /// `[rank, inputs]`
  let down: LinearWeight
  /// `[outputs, rank]`, times the adapter's scale.
  let up: LinearWeight
}

/// The updates of one adapter by layer and role.
typealias AdapterUpdates = [[LinearSite.Role: AdapterUpdate]]

/// Adapters beside the weights: one base model in memory, several in a step.
///
/// The scheduler puts the rows of an adapter beside each other (`StepPlan.adapterRuns`), so that each run is two small
/// matrix products added to the layer's own, whatever form its weight is stored in:
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

  private func place(_ update: Adapter.Update) throws(ModelError) -> AdapterUpdate {
    let down = Self.floats(update.down, scale: 1)
    var up = Self.floats(update.up, scale: update.scale)
    if update.site.role == .queryKeyValue, case .fused(_, .perHead) = configuration.decoder.attention {
      up = up.stackingHeads(configuration.headDimension)
    }
    do throws(KernelError) {
      return AdapterUpdate(
        down: try backend.place(LinearWeight(dense: down)), up: try backend.place(LinearWeight(dense: up)))
    } catch { throw .kernel(error) }
  }

  /// A copy in float32: adapters are small, and their scale would round in a narrower type.
  private static func floats(_ raw: RawTensor, scale: Float) -> Tensor {
    unsafe HostTensor.make(.float32, Shape(raw.shape)) { bytes in
      let values = unsafe bytes.bindMemory(to: Float.self)
      unsafe raw.copyFloats(into: values)
      if scale != 1 { for index in values.indices { unsafe values[index] *= scale } }
    }
  }

  /// Adds to `output` what the adapters of the step say about one linear layer of `input`.
  func adapt(
    _ role: LinearSite.Role, _ layer: Int, _ input: TensorView, into output: TensorView, _ runs: [AdapterRun]
  ) throws(KernelError) {
    for run in runs {
      guard let update = adapters[run.adapter]?[layer][role], let buffer = workspace.adapted else { continue }
      let shrunk = buffer.rows(0..<run.rows.count).columns(0..<update.down.outputs)
      try backend.linear(input.rows(run.rows), update.down, accumulate: false, into: shrunk)
      try backend.linear(shrunk, update.up, accumulate: true, into: output.rows(run.rows))
    }
  }
}
