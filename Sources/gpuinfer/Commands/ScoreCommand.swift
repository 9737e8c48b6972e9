internal import Checkpoints
internal import Generation
internal import Models
internal import Numerics

/// `gpuinfer score`: logits of given token ids, for comparing with another implementation.
enum ScoreCommand: Command {
  static let specification = CommandSpecification(
    name: "score", summary: "Write the logits of given token ids.", positionals: [.model],
    options: [
      .value("--input-ids", "FILE", "A safetensors file of integer tensors [T], each one text."),
      .value("--output", "FILE", aliases: ["-o"], "The safetensors file to write."),
      CacheTypeFlag.option, QuantizationFlag.option,
    ] + DeviceChoice.options,
    discussion: "For each input tensor the output has one of the same name: float32 logits [T, vocabulary].")

  static func run(_ arguments: ParsedArguments) throws {
    let inputPath = try arguments.require("--input-ids", command: specification.name)
    let outputPath = try arguments.require("--output", command: specification.name)
    let input = try SafetensorsFile(path: inputPath)
    let texts = try input.names.map { name in (name: name, ids: try ids(of: name, in: input)) }
    let model = try DirectModel(arguments, longestWindow: max(1, texts.map(\.ids.count).max() ?? 1))
    let vocabulary = model.graph.configuration.vocabularySize
    for text in texts {
      for (position, id) in text.ids.enumerated() where id < 0 || id >= vocabulary {
        throw Failure(
          .badData,
          "\(inputPath): tensor \"\(text.name)\"[\(position)] is \(id), outside the vocabulary of \(vocabulary)"
        )
      }
    }
    let scorer = try WindowScorer(graph: model.graph, longestWindow: model.graph.limits.maxModelLength)
    var writer = try SafetensorsWriter(
      path: outputPath,
      tensors: texts.map { .init(name: $0.name, dataType: .float32, shape: [$0.ids.count, vocabulary]) })
    var progress = ProgressLine("scoring", total: texts.count)
    for (index, text) in texts.enumerated() {
      var logits: [Float] = []
      logits.reserveCapacity(text.ids.count * vocabulary)
      try scorer.logits(of: [text.ids]) { _, _, row in
        for index in row.indices { logits.append(row[index]) }
      }
      try unsafe logits.withUnsafeBytes { try unsafe writer.write(text.name, $0) }
      progress.update(index + 1)
    }
    try writer.finish()
  }

  private static func ids(of name: String, in file: SafetensorsFile) throws -> [Int32] {
    let tensor = try file.tensor(name)
    guard tensor.shape.count == 1 else {
      throw Failure(.badData, "\(file.path): tensor \"\(name)\" has shape \(tensor.shape), expected [T]")
    }
    return try tensor.integers().map { value in
      guard let id = Int32(exactly: value) else {
        throw Failure(.badData, "\(file.path): tensor \"\(name)\" holds \(value), which is no token id")
      }
      return id
    }
  }
}
