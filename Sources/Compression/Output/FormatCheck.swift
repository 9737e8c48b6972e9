internal import CPUBackend
internal import Checkpoints
internal import Models

/// What a format of codes and scales alone cannot hold, found before hours are spent on it.
struct FormatCheck {
  let format: CheckpointFormat
  let recipe: Recipe
  let method: CompressionMethod

  /// - Throws: `MethodError.unsupported` with the first obstacle.
  func check(_ sites: [LinearSite]) throws(MethodError) {
    guard format != .compressedTensors, format != .dense else { return }
    if let reason = obstacle { throw refuse(reason) }
    var groups: (module: String, size: Int?)?
    for site in sites {
      guard let scheme = recipe.scheme(of: site.module)?.fitted(to: site.inputs).scheme else { continue }
      // Which of the candidates a layer gets is known only later.
      for bits in recipe.budgetBytes == nil ? [scheme.bits ?? 0] : recipe.candidateBits {
        if let reason = obstacle(site, bits: bits) { throw refuse("\(site.module): \(reason)") }
      }
      guard format == .awq else { continue }
      let first = groups ?? (site.module, scheme.groupSize)
      groups = first
      if first.size != scheme.groupSize {
        throw refuse("\(site.module): all layers have one group size, and \(first.module) has another")
      }
    }
  }

  /// Of all layers.
  private var obstacle: String? {
    if method.store != .codes { return "\(method.name) stores more than codes and scales" }
    if recipe.scheme.activations != .none { return "it has no rounding of activations" }
    if recipe.options.rank > 0 { return "it has no low-rank correction" }
    if recipe.scheme.bits == nil { return "it holds codes; give --bits" }
    switch recipe.scheme.convention {
    case .realZero: return "its zeros are integers"
    case .asymmetric where format == .gptq:
      return "version 1 stores zeros less one and has no zero of 0, which any group may get; gptq_v2 has"
    default: break
    }
    if format == .awq, method.name == "gptq", recipe.options.actOrder == .group {
      return "it has no group index; use --act-order static"
    }
    return nil
  }

  private func obstacle(_ site: LinearSite, bits: Int) -> String? {
    if format == .awq {
      if bits != 4 { return "it has codes of 4 bits, not \(bits)" }
      return site.outputs % 8 == 0 ? nil : "\(site.outputs) outputs of 4 bits fill no whole words"
    }
    let isWhole = site.inputs * bits % 32 == 0 && site.outputs * bits % 32 == 0
    return isWhole
      ? nil : "\(site.inputs) inputs or \(site.outputs) outputs of \(bits) bits fill no whole words"
  }

  private func refuse(_ reason: String) -> MethodError {
    .unsupported(method: "--format \(format.rawValue)", reason: reason)
  }
}
