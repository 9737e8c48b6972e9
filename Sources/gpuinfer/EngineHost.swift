internal import CPUBackend
internal import Checkpoints
internal import Generation
internal import Glibc
internal import Models
internal import Numerics
internal import Server
internal import Tokenizers

/// A model loaded and running, as `serve`, `run` and `batch` use it.
struct EngineHost {
  let model: LoadedModel
  let reservation: MemoryReservation
  let engine: Engine
  let served: ServedModel
  let speculation: SpeculationSettings?

  /// Loads the model, reserves its memory and starts the engine.
  ///
  /// - Parameter adjust: a last say of the command over the engine's options.
  init(
    _ arguments: ParsedArguments, path: String, names: [String],
    adjust: (inout EngineOptions) -> Void = { _ in }
  )
    throws
  {
    let loading = try EngineFlags.loading(arguments)
    var options = try EngineFlags.engine(arguments)
    adjust(&options)
    let device = try DeviceChoice(arguments)
    let model = try LoadedModel.open(path, loading)
    speculation = try EngineFlags.speculation(arguments)
    let draft = try speculation.flatMap { try model.draftModel($0, loading) }
    let reservation = try model.reservation(on: device.profile(for: model.checkpoint), loading, draft: draft)
    engine = try model.startEngine(reservation, options, speculation: speculation, draft: draft) {
      [checkpoint = model.checkpoint] in try device.makeBackend(for: checkpoint)
    }
    WeightPages.moveInBackground(
      model.checkpoint, candidates: try WeightPages.candidates(arguments, device.device, model.checkpoint))
    let adapters = AdapterNames(
      loader: loading.maxAdapterRank > 0 ? AdapterLoader(engine) : nil,
      limit: try EngineFlags.adapterLimit(arguments))
    for (name, path) in try EngineFlags.adapters(arguments) {
      do throws(APIError) {
        try adapters.load(name, path: path, replaces: false)
      } catch {
        throw Failure(
          error.status == 404 ? .inputNotFound : .badData, "--lora-modules \(name)=\(path): \(error.message)")
      }
    }
    self.model = model
    self.reservation = reservation
    var served = ServedModel(
      names: names.isEmpty ? [ModelPath.name(of: path)] : names, root: path, tokenizer: model.tokenizer,
      template: try model.chatTemplate.map { try PromptTemplate(source: $0, tokenizer: model.tokenizer) },
      compileTemplate: { [tokenizer = model.tokenizer] source throws(APIError) in
        do throws(TemplateError) {
          return try PromptTemplate(source: source, tokenizer: tokenizer)
        } catch {
          throw APIError(400, .badRequest, "\(error)", parameter: "chat_template")
        }
      },
      generationDefaults: model.defaults,
      maxModelLength: reservation.limits.maxModelLength, created: time(nil), service: engine)
    served.adapters = adapters
    self.served = served
  }

  /// What was reserved, for the start log.
  var memorySummary: String {
    "memory: \(readableBytes(reservation.weightBytes)) weights, \(readableBytes(reservation.workspaceBytes)) workspace, "
      + "\(readableBytes(reservation.cacheBytes)) key/value cache (\(engine.information.cacheType)) = "
      + "\(reservation.blockCount) blocks of "
      + "\(ModelLimits.blockSize) tokens\(groupSummary); up to \(reservation.limits.maxSequences) sequences of "
      + "\(reservation.limits.maxModelLength) tokens" + draftSummary
  }

  private var groupSummary: String {
    reservation.groupCount == 1
      ? "" : ", one for each of \(reservation.groupCount) groups of layers until a window has left it"
  }

  private var draftSummary: String {
    guard let speculation else { return "" }
    var text = "\nspeculation: \(speculation.methodName), up to \(speculation.maxDrafts) tokens a step"
    if let draft = reservation.draft {
      text +=
        "; draft model: \(readableBytes(draft.plan.weightBytes)) weights, "
        + "\(readableBytes(draft.plan.workspaceBytes)) workspace, "
        + "\(readableBytes(draft.cacheBytes)) key/value cache"
    }
    return text
  }

  /// How speculation went, for the log; nil when there was none.
  var speculationReport: String? {
    guard let counts = engine.statistics().speculation, counts.draftTokens > 0 else { return nil }
    let share = Double(counts.acceptedTokens) / Double(counts.draftTokens)
    return
      "speculation: \(counts.acceptedTokens) of \(counts.draftTokens) drafted tokens accepted (\(fixed(100 * share, 1)) %) "
      + "in \(counts.verifications) drafts; lately about \(fixed(counts.speedUp, 2)) times the speed without"
  }
}

extension AdapterLoader {
  init(_ engine: Engine) {
    self.init(
      load: { path throws(APIError) in
        do throws(ModelError) {
          return try engine.loadAdapter(path: path)
        } catch {
          var isMissing = false
          if case .checkpoint(.notFound) = error { isMissing = true }
          throw APIError(
            isMissing ? 404 : 400, isMissing ? .notFound : .badRequest, "\(error)", parameter: "lora_path")
        }
      }, unload: { engine.unloadAdapter($0) })
  }
}

extension PromptTemplate {
  /// Compiles a Jinja source; the special tokens are the tokenizer's.
  init(source: String, tokenizer: Tokenizer) throws(TemplateError) {
    let template = try ChatTemplate(source: source)
    var special: [String: String] = [:]
    for (name, token) in [
      ("bos_token", tokenizer.bosToken), ("eos_token", tokenizer.eosToken), ("unk_token", tokenizer.unkToken),
      ("pad_token", tokenizer.padToken),
    ] {
      special[name] = token
    }
    let tokens = special
    self.init(takesContentParts: template.contentFormat == .openai) { input throws(APIError) in
      do throws(TemplateError) {
        return try template.render(
          messages: input.messages, tools: input.tools, documents: input.documents,
          addGenerationPrompt: input.addsGenerationPrompt, continueFinalMessage: input.continuesFinalMessage,
          specialTokens: tokens, extra: input.variables)
      } catch {
        throw APIError(400, .badRequest, "\(error)", parameter: "messages")
      }
    }
  }
}
