@testable import Generation
@testable import Server

/// An engine's adapters, scripted: every directory but `/missing` and `/broken` holds one.
final class FakeAdapters: Sendable {
  struct State: Sendable {
    var next: Int32 = 1
    var loaded: [Int32: String] = [:]
  }
  let state = Monitor(State())

  var loader: AdapterLoader {
    AdapterLoader(
      load: { [state] path throws(APIError) in
        if path == "/missing" { throw APIError(404, .notFound, "not found: \(path)", parameter: "lora_path") }
        if path == "/broken" { throw APIError(400, .badRequest, "broken: \(path)", parameter: "lora_path") }
        return state.withLock { state in
          defer { state.next += 1 }
          state.loaded[state.next] = path
          return state.next
        }
      }, unload: { [state] id in state.withLock { $0.loaded[id] = nil } })
  }

  /// Names of this engine's adapters; those given are loaded from `/adapters/NAME`.
  func names(with names: [String] = [], limit: Int = 8) throws -> AdapterNames {
    let adapters = AdapterNames(loader: loader, limit: limit)
    for name in names { try adapters.load(name, path: "/adapters/" + name, replaces: false) }
    return adapters
  }

  var loaded: [Int32: String] { state.withLock { $0.loaded } }
}
