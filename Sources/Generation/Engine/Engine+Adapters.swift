package import Models

/// What is asked of the engine's thread about adapters.
enum AdapterCommand: Sendable {
  case load(path: String, id: Int32, Monitor<Result<Void, ModelError>?>)
  case unload(id: Int32)
}

extension Engine {
  /// Places a LoRA adapter beside the model's weights, between two steps.
  ///
  /// - Returns: the number to ask for it by (`GenerationRequest.adapter`); none is given twice.
  /// - Throws: what is wrong with the adapter. The engine goes on.
  package func loadAdapter(path: String) throws(ModelError) -> Int32 {
    let id = adapterCount.update { count in
      count += 1
      return count
    }
    let reply = Monitor<Result<Void, ModelError>?>(nil)
    guard mailbox.post(.adapter(.load(path: path, id: id, reply))) else {
      throw .adapter(path: path, reason: "the engine has stopped")
    }
    try reply.wait(until: nil) { $0 }?.get()
    return id
  }

  /// Takes an adapter away. Requests that run with it go on with it to their end; later ones fail.
  package func unloadAdapter(_ id: Int32) { mailbox.post(.adapter(.unload(id: id))) }
}

extension EngineCore {
  mutating func apply(_ command: AdapterCommand) {
    switch command {
    case .load(let path, let id, let reply):
      let result: Result<Void, ModelError>
      do throws(ModelError) {
        try model.loadAdapter(path: path, id: id)
        result = .success(())
      } catch {
        result = .failure(error)
      }
      reply.update { $0 = result }
    case .unload(let id):
      if requests.values.contains(where: { $0.adapter == id }) {
        leavingAdapters.insert(id)
      } else {
        model.unloadAdapter(id)
      }
    }
  }

  /// Counts a request that was taken, started or has ended.
  func countAdapter(_ request: LiveRequest, _ change: (inout AdapterLoad) -> Void) {
    guard request.adapter != 0 else { return }
    metrics.update { $0.countAdapter(request, change) }
  }

  /// A request is over: with the last of an adapter that was taken away, its memory goes.
  mutating func releaseAdapter(of request: LiveRequest) {
    guard leavingAdapters.contains(request.adapter) else { return }
    if requests.values.contains(where: { $0.adapter == request.adapter }) { return }
    leavingAdapters.remove(request.adapter)
    model.unloadAdapter(request.adapter)
  }
}

extension EngineMetrics {
  mutating func countAdapter(_ request: LiveRequest, _ change: (inout AdapterLoad) -> Void) {
    guard request.adapter != 0 else { return }
    var load = counters.adapters[request.adapter] ?? AdapterLoad()
    change(&load)
    counters.adapters[request.adapter] = load == AdapterLoad() ? nil : load
  }
}
