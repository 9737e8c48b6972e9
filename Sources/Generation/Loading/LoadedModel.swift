package import Checkpoints
package import Compute
internal import JSON
package import Models
package import Tokenizers

/// A model read from disk: everything but weights on a device. What every command starts from.
package struct LoadedModel: Sendable {
  package let checkpoint: Checkpoint
  package let configuration: ModelConfiguration
  package let tokenizer: Tokenizer
  package let defaults: GenerationDefaults
  /// Jinja source of the chat template; nil when the model has none.
  package let chatTemplate: String?

  /// Opens a Hugging Face directory or a GGUF file and checks its configuration; weights stay on disk.
  package static func open(
    _ path: String, _ options: LoadingOptions = LoadingOptions()
  ) throws(ModelLoadingError) -> LoadedModel {
    let checkpoint: Checkpoint
    do { checkpoint = try Checkpoint.open(path) } catch { throw .checkpoint(error) }
    let configuration: ModelConfiguration
    do {
      configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
    } catch {
      throw .model(error)
    }
    let tokenizer = try tokenizer(of: checkpoint)
    let defaults = try GenerationDefaults(
      generation: checkpoint.generationConfiguration, model: checkpoint.configuration,
      tokenizerEnd: tokenizer.eosID)
    var source = options.chatTemplate
    if source == nil { source = try template(of: checkpoint, tokenizer) }
    return LoadedModel(
      checkpoint: checkpoint, configuration: configuration, tokenizer: tokenizer,
      defaults: options.usesGenerationConfiguration ? defaults : defaults.withoutSampling,
      chatTemplate: source)
  }

  /// The tokenizer of a checkpoint, also for models that cannot run here.
  package static func tokenizer(of checkpoint: Checkpoint) throws(ModelLoadingError) -> Tokenizer {
    switch checkpoint.tokenizerSource {
    case .huggingFaceDirectory(let directory):
      do { return try Tokenizer.load(directory: directory) } catch { throw .tokenizer(error) }
    case .gguf(let metadata):
      let vocabulary: GGUFVocabulary
      do {
        vocabulary = try GGUFVocabulary(metadata)
      } catch {
        throw .metadata(path: checkpoint.path, error)
      }
      do { return try Tokenizer(gguf: vocabulary) } catch { throw .tokenizer(error) }
    }
  }

  /// `chat_template.jinja` beside the weights, or `chat_template` of the tokenizer's configuration: a string, or a
  /// list of named ones of which "default" is meant.
  private static func template(
    of checkpoint: Checkpoint, _ tokenizer: Tokenizer
  ) throws(ModelLoadingError) -> String? {
    if case .huggingFaceDirectory(let directory) = checkpoint.tokenizerSource {
      let path = directory + "/chat_template.jinja"
      do throws(CheckpointError) {
        let file = try MappedFile(path: path)
        return unsafe file.withBytes { bytes in unsafe String(decoding: bytes, as: UTF8.self) }
      } catch {
        // Most models carry it in their tokenizer's configuration.
        if error != .notFound(path: path) { throw .checkpoint(error) }
      }
    }
    let field = tokenizer.configuration["chat_template"]
    if let text = field?.string { return text }
    let named = field?.array ?? []
    let chosen = named.first { $0["name"]?.string == "default" } ?? named.first
    return chosen?["template"]?.string
  }

  /// Limits and pool for a device, before anything is reserved.
  package func reservation(
    on device: DeviceProfile, _ options: LoadingOptions, draft: LoadedModel? = nil
  ) throws(ModelLoadingError) -> MemoryReservation {
    try MemoryReservation.plan(
      configuration, checkpoint: checkpoint, device: device, options: options, draft: draft)
  }

  /// Starts an engine whose thread makes the backend, binds the weights and reserves the memory.
  /// - Parameters:
  ///   - speculation: how to guess tokens, if at all.
  ///   - draft: the model that guesses, as `draftModel` opened it and the reservation knows it.
  /// - Throws: `ModelError`, `EngineError`, or what `backend` threw.
  package func startEngine(
    _ reservation: MemoryReservation, _ options: EngineOptions, speculation: SpeculationSettings? = nil,
    draft: LoadedModel? = nil, backend: @escaping @Sendable () throws -> any Backend
  ) throws -> Engine {
    var options = options
    options.speculation = speculation.map {
      SpeculationOptions($0, draft: draft, reservation: reservation)
    }
    return try Engine.start(options) { [checkpoint] in
      try GraphModel(
        checkpoint: checkpoint, backend: try backend(), limits: reservation.limits,
        blockCount: reservation.blockCount)
    }
  }
}

extension GenerationDefaults {
  /// Only where texts end, which is the model's business whatever the sampling.
  fileprivate var withoutSampling: GenerationDefaults {
    var defaults = GenerationDefaults()
    defaults.endOfTextTokens = endOfTextTokens
    return defaults
  }
}
