package import CPUBackend
package import Checkpoints
internal import Compute
internal import JSON
internal import Models
internal import Numerics

/// Compresses a whole model into a directory that loads like any other.
package struct Compressor {
  package struct Job: Sendable {
    package var source: Checkpoint
    package var recipe: Recipe
    package var calibration: CalibrationSet?
    package var output: String
    package var format = CheckpointFormat.compressedTensors
    /// The residual stream is written no more often: it is large, and a killed run repeats no more than this and a layer.
    package var streamInterval = Duration.seconds(30)

    package init(source: Checkpoint, recipe: Recipe, calibration: CalibrationSet?, output: String) {
      self.source = source
      self.recipe = recipe
      self.calibration = calibration
      self.output = output
    }
  }

  package enum Problem: Error, Equatable, Sendable {
    case alreadyCompressed(path: String)
    case notADirectory(path: String)
    case sameDirectory(path: String)
  }

  private let job: Job
  private let backend: CPUBackend
  private let configuration: ModelConfiguration
  private let shouldStop: () -> Bool
  private let progress: (Int, Int) -> Void

  /// - Parameters:
  ///   - shouldStop: asked often; the run then ends with `Calibrator.Stopped` in a state that resumes.
  ///   - progress: called with the layers done, and all.
  /// - Throws: what rules the job out, before anything is written.
  package init(
    _ job: Job, backend: CPUBackend, shouldStop: @escaping () -> Bool = { false },
    progress: @escaping (Int, Int) -> Void = { _, _ in }
  ) throws {
    guard job.source.kind == .safetensors, case .huggingFaceDirectory = job.source.tokenizerSource else {
      throw Problem.notADirectory(path: job.source.path)
    }
    if job.source.configuration["quantization_config"]?.object != nil {
      throw Problem.alreadyCompressed(path: job.source.path)
    }
    if FileNames.isSame(job.source.path, job.output) { throw Problem.sameDirectory(path: job.output) }
    self.job = job
    self.backend = backend
    self.shouldStop = shouldStop
    self.progress = progress
    // Before anything is written: a refused request leaves no folder behind.
    let method = MethodRegistry.method(named: job.recipe.method)
    try method?.check(job.recipe, hasCalibration: job.calibration != nil)
    configuration = try ModelRegistry.configuration(from: job.source.configuration)
    // Refuses tensors of another shape before hours are spent.
    let sites = try TensorInventory(configuration, in: job.source).sites(configuration).flatMap(\.self)
    if let method {
      try FormatCheck(format: job.format, recipe: job.recipe, method: method).check(sites)
    }
  }

  /// - Returns: what the report says of each linear layer.
  package func run() throws -> CompressionSummary {
    var recipe = job.recipe
    let journal = try Journal(output: job.output, identity: identity)
    let layers = configuration.layers.count
    let done = journal.finishedLayers(of: layers, needsStream: job.calibration != nil)
    if recipe.budgetBytes != nil { recipe = try allocateBits(recipe) }
    let calibrator = done < layers ? try makeCalibrator() : nil
    if done > 0, done < layers, let calibrator { try restore(calibrator, journal, behind: done - 1) }
    let compressor = try LayerCompressor(
      recipe, checkpoint: job.source, configuration: configuration, calibrator: calibrator,
      backend: backend, format: job.format, isFinished: done == layers)
    progress(done, layers)
    var written = ContinuousClock.now
    for layer in done..<layers {
      if shouldStop() { throw Calibrator.Stopped() }
      let (weights, sites) = try compressor.compress(layer: layer)
      let isDue = layer + 1 < layers && ContinuousClock.now - written >= job.streamInterval
      if isDue { written = .now }
      try journal.write(
        layer: layer, tensors: try tensors(weights, sites, compressor),
        report: .array(sites.map { SiteReport($0, format: job.format).json }),
        stream: isDue ? calibrator.map { OutputTensor("stream", $0.stream) } : nil)
      progress(layer + 1, layers)
    }
    return try assemble(journal, compressor, layers: layers)
  }

  private var identity: JSONValue {
    [
      "source": .string(sourceDigest), "recipe": job.recipe.json, "format": .string(job.format.rawValue),
      "calibration": job.calibration.map { .string($0.digest) } ?? .null,
      "dtype": .string(backend.productType.rawValue),
    ]
  }

  /// Names, shapes and places of the source's tensors, and its configuration.
  private var sourceDigest: String {
    var digest = Digest()
    for name in job.source.tensorNames {
      digest.add(name.utf8)
      guard let entry = job.source.tensors[name] else { continue }
      digest.add(UInt64(entry.byteRange.lowerBound))
      digest.add(UInt64(entry.byteRange.count))
    }
    digest.add(job.source.configuration.serialized().utf8)
    return digest.text
  }

  private func makeCalibrator() throws -> Calibrator? {
    guard let calibration = job.calibration else { return nil }
    let calibrator = try Calibrator(
      checkpoint: job.source, samples: calibration.samples, backend: backend)
    calibrator.shouldStop = shouldStop
    return calibrator
  }

  private func restore(_ calibrator: Calibrator, _ journal: Journal, behind layer: Int) throws {
    let path = journal.path(layer, "stream")
    guard calibrator.restore(try SafetensorsFile(path: path).tensor("stream")) else {
      throw Journal.Problem.damaged(path: path)
    }
  }

  // MARK: Mixed precision

  /// Measures what each number of bits would cost each layer, on the untouched model, and turns the best choice
  /// under the budget into overrides.
  private func allocateBits(_ recipe: Recipe) throws -> Recipe {
    guard let budget = recipe.budgetBytes else { return recipe }
    guard let calibrator = try makeCalibrator() else {
      throw MethodError.needsCalibration(method: "a byte budget")
    }
    var rounding = recipe
    rounding.method = "rtn"
    let compressor = try LayerCompressor(
      rounding, checkpoint: job.source, configuration: configuration, calibrator: calibrator,
      backend: backend, format: job.format)
    var modules: [String] = []
    var candidates: [[BitAllocation.Candidate]] = []
    for layer in configuration.layers.indices {
      for (site, found) in try compressor.candidates(layer: layer, bits: recipe.candidateBits.sorted()) {
        modules.append(site.module)
        candidates.append(found)
      }
    }
    let chosen = try BitAllocation.choose(candidates, budget: budget)
    var result = recipe
    result.budgetBytes = nil
    for (index, place) in chosen.enumerated() {
      var override = Recipe.Override(pattern: modules[index])
      override.bits = candidates[index][place].bits
      result.overrides.append(override)
    }
    return result
  }

  // MARK: Output

  /// All tensors of a layer that are not as they were.
  private func tensors(
    _ weights: LayerWeights, _ sites: [CompressedSite], _ compressor: LayerCompressor
  ) throws -> [OutputTensor] {
    guard let layer = sites.first?.site.layer else { return [] }
    let type = compressor.storageType(of: layer)
    let transposed = configuration.decoder.weightOrder == .inputsFirst
    var tensors = try sites.flatMap {
      try job.format.tensors(of: $0, values: type, transposed: transposed)
    }
    for site in sites where weights.changedBiases.contains(site.site.role) {
      guard let bias = weights.biases[site.site.role] else { continue }
      tensors.append(
        OutputTensor(site.site.module + ".bias", HostTensor.narrowed(bias, type, Shape(bias.count))))
    }
    let norms = compressor.norms(layer: layer)
    for (norm, module) in [
      (ModelGraph.LayerNorm.attention, norms.attention), (.feedForward, norms.feedForward),
    ]
    where weights.changedNorms.contains(norm) {
      guard let entry = weights.norms[norm] else { continue }
      tensors.append(
        OutputTensor(module + ".weight", HostTensor.narrowed(entry.weight, type, Shape(entry.weight.count))))
      if let bias = entry.bias {
        tensors.append(OutputTensor(module + ".bias", HostTensor.narrowed(bias, type, Shape(bias.count))))
      }
    }
    return tensors
  }

  private func assemble(
    _ journal: Journal, _ compressor: LayerCompressor, layers: Int
  ) throws -> CompressionSummary {
    var reports: [SiteReport] = []
    var files: [SafetensorsFile] = []
    for layer in 0..<layers {
      files.append(try SafetensorsFile(path: journal.path(layer, "safetensors")))
      reports += try (journal.report(layer: layer).array ?? []).map { entry in
        guard let report = SiteReport(entry) else {
          throw Journal.Problem.damaged(path: journal.path(layer, "json"))
        }
        return report
      }
    }
    let replaced = Set(reports.filter(\.isCompressed).map { $0.module + ".weight" })
    var parts: [(declaration: SafetensorsWriter.Declaration, read: () throws -> RawTensor)] = []
    var written: Set<String> = []
    for file in files {
      for name in file.names {
        let tensor = try file.tensor(name)
        written.insert(name)
        parts.append(
          (.init(name: name, dataType: tensor.dataType, shape: tensor.shape), { try file.tensor(name) }))
      }
    }
    for name in job.source.tensorNames where !written.contains(name) && !replaced.contains(name) {
      guard let entry = job.source.tensors[name] else { continue }
      parts.append(
        (
          .init(name: name, dataType: entry.dataType, shape: entry.shape),
          { [source = job.source] in try source.rawTensor(name) }
        ))
    }
    var writer = try SafetensorsWriter(
      path: job.output + "/model.safetensors", tensors: parts.map(\.declaration),
      metadata: [.init(key: "format", value: "pt")])
    for part in parts {
      let tensor = try part.read()
      try unsafe writer.write(part.declaration.name, tensor.bytes)
    }
    try writer.finish()
    try writeConfiguration(reports)
    try FileNames.copyCompanions(from: job.source.path, to: job.output)
    let summary = CompressionSummary(
      recipe: job.recipe, format: job.format, source: job.source, output: job.output,
      calibration: job.calibration, sites: reports, foldsRefused: FoldMap(configuration).refused)
    journal.remove(layers: layers)
    return summary
  }

  private func writeConfiguration(_ reports: [SiteReport]) throws {
    guard var configuration = job.source.configuration.object else { return }
    if let entry = try job.format.configuration(reports) {
      configuration["quantization_config"] = entry
    }
    try Journal.write(.object(configuration), to: job.output + "/config.json")
  }
}

extension Compressor.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .alreadyCompressed(let path):
      "\(path) is quantised already; compress the original, or convert this one with 'gpuinfer convert'"
    case .notADirectory(let path):
      "\(path) is no Hugging Face directory with safetensors; 'gpuinfer convert' writes GGUF"
    case .sameDirectory(let path): "the output would overwrite the model at \(path); choose another --output"
    }
  }
}
