internal import Generation

/// How adapters get into the engine and out of it.
package struct AdapterLoader: Sendable {
  /// Reads the adapter in this directory of the server's machine; gives its number.
  package var load: @Sendable (_ path: String) throws(APIError) -> Int32
  /// Requests under way keep the adapter to their end.
  package var unload: @Sendable (_ id: Int32) -> Void

  package init(
    load: @escaping @Sendable (_ path: String) throws(APIError) -> Int32,
    unload: @escaping @Sendable (_ id: Int32) -> Void
  ) {
    self.load = load
    self.unload = unload
  }
}

/// The adapters a server answers with, by the name that requests ask for in `model`.
package final class AdapterNames: Sendable {
  package struct Entry: Sendable, Equatable {
    package let id: Int32
    package let path: String

    package init(id: Int32, path: String) {
      self.id = id
      self.path = path
    }
  }
  /// Most adapters at one time.
  package let limit: Int
  private let loader: AdapterLoader?
  private let entries = Monitor<[String: Entry]>([:])
  /// Held while an adapter is loaded or taken away: one at a time, and lookups go on.
  private let changing = Monitor(())

  /// - Parameter loader: nil where the engine has no room for adapters.
  package init(loader: AdapterLoader? = nil, limit: Int = 0) {
    self.loader = loader
    self.limit = limit
  }

  /// The server was started with room for adapters.
  package var isEnabled: Bool { loader != nil }

  package subscript(name: String) -> Entry? { entries.withLock { $0[name] } }

  package var all: [(name: String, entry: Entry)] {
    entries.withLock { $0.map { (name: $0.key, entry: $0.value) } }.sorted { $0.name < $1.name }
  }

  /// Loads an adapter and gives it a name. Blocks until it is in its place.
  ///
  /// - Parameter replaces: an adapter that has the name already makes way; its requests go on with it to their end.
  /// - Throws: what the client is told; nothing is changed then.
  package func load(_ name: String, path: String, replaces: Bool) throws(APIError) {
    guard let loader else { throw .adaptersNotEnabled }
    try changing.attempt { _ throws(APIError) in
      let (former, count) = entries.withLock { ($0[name], $0.count) }
      if former != nil, !replaces {
        throw .invalid(
          "The lora adapter '\(name)' has already been loaded. If you want to load the adapter in place, set "
            + "'load_inplace' to True.", "lora_name")
      }
      if former == nil, count >= limit {
        throw .invalid(
          "There are \(count) lora adapters and the server was started for at most that many (--max-cpu-loras). "
            + "Unload one first.", "lora_name")
      }
      let id = try loader.load(path)
      entries.withLock { $0[name] = Entry(id: id, path: path) }
      if let former { loader.unload(former.id) }
    }
  }

  /// Takes an adapter's name away, and its memory once no request runs with it.
  package func unload(_ name: String) throws(APIError) {
    guard let loader else { throw .adaptersNotEnabled }
    try changing.attempt { _ throws(APIError) in
      guard let entry = entries.withLock({ $0.removeValue(forKey: name) }) else {
        throw APIError(
          404, .notFound, "The lora adapter '\(name.prefix(200))' cannot be found.", parameter: "lora_name")
      }
      loader.unload(entry.id)
    }
  }
}

extension APIError {
  fileprivate static let adaptersNotEnabled = APIError(
    400, .badRequest, "LoRA is not enabled. Start the server with --enable-lora.", parameter: "lora_name")
}
