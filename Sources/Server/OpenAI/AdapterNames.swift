internal import Generation

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
  private let entries = Monitor<[String: Entry]>([:])

  package init() {}

  package subscript(name: String) -> Entry? { entries.withLock { $0[name] } }

  package var all: [(name: String, entry: Entry)] {
    entries.withLock { $0.map { (name: $0.key, entry: $0.value) } }.sorted { $0.name < $1.name }
  }

  /// Returns false, and changes nothing, where the name is taken.
  package func add(_ name: String, _ entry: Entry) -> Bool {
    entries.withLock { entries in
      if entries[name] != nil { return false }
      entries[name] = entry
      return true
    }
  }

  package func remove(_ name: String) -> Entry? { entries.withLock { $0.removeValue(forKey: name) } }
}
